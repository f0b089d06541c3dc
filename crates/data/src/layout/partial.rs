use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{Array4, Axis};
use registry::Positive;
use serde::{Deserialize, Serialize};
use volume::{Label, LabelMap, SoftLabelMap};

use super::{expect_data_folder, name_of};
use crate::{
    Case, Class, Dataset, Description, Error, HowRead, Layout, LayoutConfig, Problem, Result,
    recognize,
};

/// Several data sets as one, each of which labels some of the classes.
///
/// ```text
/// root
/// ├── kidneys       a data set of any layout, with kidneys labelled
/// └── livers        another, with livers labelled
/// ```
///
/// ```toml
/// [[data.partial.sets]]
/// folder = "kidneys"                 # absent layout: recognised, as by `sconce dataset summary`
/// [[data.partial.sets]]
/// folder = "livers"
/// weight = 2.0                       # patches are twice as often from here
/// layout.nnunet_raw = {}
/// ```
///
/// Classes of one name are one class, whatever value it has in the files of a set; the classes are those of all sets, in the
/// order in which they are met. Each is decided by itself ([`Description::independent`]): a case says nothing
/// ([`Dataset::labelled`]) of what its set has no class for, so that it is neither there nor absent. The case `case01` of the
/// folder `kidneys` is `kidneys_case01`.
///
/// Sets must show the same channels; their own classes must not overlap; and either all or none have several raters.
///
/// # Source
///
/// Liu, Zhang, Chen et al.: *CLIP-Driven Universal Model for Organ Segmentation and Tumor Detection*, ICCV 2023,
/// [arXiv:2301.00785](https://arxiv.org/abs/2301.00785), section 3.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Partial {
    /// The sets.
    pub sets: Vec<PartialSet>,
}

/// One of the data sets of a [`Partial`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialSet {
    /// Its folder, within the data folder.
    pub folder: PathBuf,
    /// How often a training patch is one of its, in proportion to other sets, however many cases it has.
    #[serde(default = "once")]
    pub weight: Positive,
    /// How its folder is laid out; absent, as the folder itself says ([`recognize`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Box<LayoutConfig>>,
}

fn once() -> Positive {
    Positive::literal(1.0)
}

impl Layout for Partial {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        expect_data_folder(root)?;
        if self.sets.is_empty() {
            return Err(Error::settings(
                "`[data.partial]` names no data set",
                "add a table `[[data.partial.sets]]` with its folder",
            ));
        }
        let open = |set: &PartialSet| -> Result<Box<dyn Dataset>> {
            let folder = root.join(&set.folder);
            match &set.layout {
                Some(layout) => layout.open(&folder),
                None => recognize(&folder)?.open(&folder),
            }
        };
        let sets = self.sets.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Union::of(self, name_of(root), sets)?))
    }

    fn is_label_name(&self, name: &str) -> bool {
        self.layouts().any(|layout| layout.is_label_name(name))
    }

    fn how_read(&self) -> HowRead {
        self.layouts().next().map(Layout::how_read).unwrap_or_default()
    }
}

impl Partial {
    /// The layouts that are known without looking into folders.
    fn layouts(&self) -> impl Iterator<Item = &LayoutConfig> {
        self.sets.iter().filter_map(|set| set.layout.as_deref())
    }
}

/// The opened sets.
#[derive(Debug)]
struct Union {
    description: Description,
    ids: Vec<String>,
    sets: Vec<Set>,
    /// The set of each case, and its name there.
    places: BTreeMap<String, (usize, String)>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Set {
    dataset: Box<dyn Dataset>,
    /// What each index of its labels is in the union.
    index: Vec<u16>,
    /// The classes of the union that it labels.
    labelled: Vec<usize>,
    /// How often each of its cases is drawn.
    weight: f64,
}

impl Union {
    fn of(config: &Partial, name: String, datasets: Vec<Box<dyn Dataset>>) -> Result<Self> {
        let classes = classes(config, &datasets)?;
        let count = u16::try_from(classes.len()).map_err(|_| {
            Error::settings("the data sets have too many classes", "leave some out")
        })?;
        let mut raters: Vec<String> = datasets
            .iter()
            .flat_map(|dataset| dataset.description().raters.iter().cloned())
            .collect();
        raters.sort();
        raters.dedup();
        let ignores = datasets.iter().any(|dataset| dataset.description().ignore.is_some());
        let description = Description {
            name,
            channels: datasets[0].description().channels.clone(),
            raters,
            ignore: ignores.then_some(count),
            regions_class_order: (1..count).collect(),
            independent: true,
            classes,
        };
        let mut union = Self {
            description,
            ids: Vec::new(),
            sets: Vec::new(),
            places: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (set, dataset) in config.sets.iter().zip(datasets) {
            union.add(set, dataset)?;
        }
        union.ids = union.places.keys().cloned().collect();
        Ok(union)
    }

    fn add(&mut self, config: &PartialSet, dataset: Box<dyn Dataset>) -> Result<()> {
        let folder = config.folder.display();
        let known =
            |class: &Class| self.description.classes.iter().position(|it| it.name == class.name);
        let foreground = dataset.description().classes.iter().skip(1);
        let labelled: Vec<usize> = foreground.filter_map(known).collect();
        let index = std::iter::once(0).chain(labelled.iter().copied());
        // What is to be ignored comes after all classes, in a set as in the union.
        let index = index.map(|class| u16::try_from(class).unwrap_or(u16::MAX));
        let index: Vec<u16> = index.chain(self.description.ignore).collect();
        let name = config.folder.to_string_lossy().replace(['/', '\\'], "_");
        for id in dataset.ids() {
            let place = (self.sets.len(), id.clone());
            if self.places.insert(format!("{name}_{id}"), place).is_some() {
                return Err(Error::settings(
                    format!("two cases of `[data.partial]` would be called {name}_{id}"),
                    format!("name the folder {folder} once, or rename it"),
                ));
            }
        }
        self.problems.extend(dataset.problems().iter().cloned());
        let weight = config.weight.get() / dataset.ids().len().max(1) as f64;
        let mut labelled = labelled;
        labelled.sort_unstable();
        self.sets.push(Set { dataset, index, labelled, weight });
        Ok(())
    }

    fn place(&self, id: &str) -> Option<(&Set, &str)> {
        let (set, own) = self.places.get(id)?;
        Some((&self.sets[*set], own))
    }
}

/// The classes of all sets, which must fit together.
fn classes(config: &Partial, datasets: &[Box<dyn Dataset>]) -> Result<Vec<Class>> {
    let mut classes = vec![Class::new("background", [0])];
    let first = datasets[0].description();
    for (set, dataset) in config.sets.iter().zip(datasets) {
        let (description, folder) = (dataset.description(), set.folder.display());
        if description.has_regions() {
            return Err(Error::settings(
                format!("classes of {folder} overlap"),
                "give each set classes that exclude each other",
            ));
        }
        if description.channels != first.channels {
            return Err(Error::settings(
                format!(
                    "images of {folder} have the channels {}, but those of {} have {}",
                    description.channels.join(", "),
                    config.sets[0].folder.display(),
                    first.channels.join(", ")
                ),
                "name data sets whose images show the same",
            ));
        }
        if description.raters.is_empty() != first.raters.is_empty() {
            return Err(Error::settings(
                format!(
                    "one of {folder} and {} has several raters, and the other has not",
                    config.sets[0].folder.display()
                ),
                "name data sets of which all or none have",
            ));
        }
        for class in description.classes.iter().skip(1) {
            if !classes.iter().any(|known| known.name == class.name) {
                let value = u16::try_from(classes.len()).unwrap_or(u16::MAX);
                classes.push(Class::new(class.name.clone(), [value]));
            }
        }
    }
    Ok(classes)
}

impl Set {
    /// Labels of the set as labels of the union with so many classes.
    fn translated(&self, label: Label, classes: usize) -> Label {
        let hard = |mut labels: LabelMap| {
            labels
                .data
                .mapv_inplace(|label| self.index.get(usize::from(label)).copied().unwrap_or(label));
            labels
        };
        match label {
            Label::Hard(labels) => Label::Hard(hard(labels)),
            Label::Raters(masks) => {
                let masks = masks.iter().map(|mask| hard(mask.clone())).collect();
                Label::raters(masks).expect("as many masks on one grid as before")
            }
            Label::Soft(soft) => {
                let [d, h, w] = soft.grid.size;
                let mut data = Array4::zeros((classes, d, h, w));
                for (own, probabilities) in self.index.iter().zip(soft.data.outer_iter()) {
                    data.index_axis_mut(Axis(0), usize::from(*own)).assign(&probabilities);
                }
                Label::Soft(SoftLabelMap { grid: soft.grid, data })
            }
        }
    }
}

impl Dataset for Union {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let (set, own) = self.place(id).ok_or_else(|| Error::UnknownCase {
            id: id.to_owned(),
            dataset: self.description.name.clone(),
        })?;
        let case = set.dataset.read(own)?;
        let classes = self.description.classes.len();
        let label = case.label.map(|label| set.translated(label, classes));
        Ok(Case { id: id.to_owned(), label, ..case })
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        // A patient of two sets is one patient.
        match self.place(id) {
            Some((set, own)) => match set.dataset.group(own) {
                group if group == own => id,
                group => group,
            },
            None => id,
        }
    }

    fn raters(&self, id: &str) -> Vec<&str> {
        self.place(id).map(|(set, own)| set.dataset.raters(own)).unwrap_or_default()
    }

    fn labelled(&self, id: &str) -> Option<&[usize]> {
        let (set, _) = self.place(id)?;
        let all = set.labelled.len() + 1 == self.description.classes.len();
        (!all).then_some(&set.labelled)
    }

    fn weight(&self, id: &str) -> f64 {
        self.place(id).map_or(1.0, |(set, _)| set.weight)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.place(id).map(|(set, own)| set.dataset.files(own)).unwrap_or_default()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
