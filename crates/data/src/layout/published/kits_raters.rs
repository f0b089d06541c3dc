use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ndarray::Array3;
use serde::{Deserialize, Serialize};
use volume::{Grid, Label, LabelMap};

use super::Source;
use super::kits23::ABOVE;
use crate::layout::index::{Index, Search};
use crate::layout::reading::{ImageRules, LabelRules};
use crate::layout::values::{Values, Wording};
use crate::layout::{LabelGeometry, Patterns, name_of};
use crate::{Case, Class, Dataset, Description, Error, Layout, Pattern, Problem, Result};

/// KiTS23 and KiTS21 with the annotators one by one: kidneys, tumours and cysts in CT.
///
/// ```text
/// root
/// └── case_00000                        or below `dataset` or `kits21/data`, as in the repositories
///     ├── imaging.nii.gz
///     └── instances                     of 2021: segmentations
///         ├── kidney_instance-1_annotation-1.nii.gz
///         ├── kidney_instance-1_annotation-2.nii.gz
///         └── tumor_instance-1_annotation-1.nii.gz
/// ```
///
/// A rater's mask is made up of that annotation of every instance: first the kidneys, then cysts, then
/// tumours, each over what is there. Some instances were marked once only; that annotation then stands for
/// all raters. Annotation 1 of one case and of another need not be by the same person.
///
/// # Source
///
/// Heller et al.: *The KiTS21 Challenge*, 2023, [arXiv:2307.01984](https://arxiv.org/abs/2307.01984).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KitsRaters {
    /// What masks must say of where their voxels lie.
    pub label_geometry: LabelGeometry,
}

/// What file names call the classes after the background, in their order.
const REGIONS: [&str; 3] = ["kidney", "tumor", "cyst"];
/// The same, in the order in which they are painted.
const PAINTED: [u16; 3] = [1, 3, 2];
const SOURCE: Source = Source {
    title: "KiTS23 and KiTS21 with each annotator",
    page: "https://github.com/neheller/kits23",
    steps: "clone the repository (or that of kits21), install it, and run its download command for the images",
    licence: "CC BY-NC-SA 4.0",
    file: include_str!("kits_raters.rs"),
    kind: "KitsRaters",
    cases: 0,
};

impl Layout for KitsRaters {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        let patterns = |text: &dyn Fn(&str) -> String| -> Result<Vec<Pattern>> {
            ABOVE.iter().map(|above| Pattern::new(text(above))).collect()
        };
        let images = patterns(&|above| format!("{above}{{id}}/imaging.nii.gz"))?;
        let labels = |folder: &str| {
            patterns(&|above| {
                format!("{above}{{id}}/{folder}/{{instance}}_annotation-{{rater}}.nii.gz")
            })
        };
        let (new, old) = (labels("instances")?, labels("segmentations")?);
        let old_ones = Patterns::new(old.clone()).find_any(root)?;
        let search = Search {
            images: &images,
            labels: if old_ones { &old } else { &new },
            id: None,
            group: None,
            channels: &[],
        };
        let mut index = match search.run(root) {
            Err(Error::NoCases { pattern, .. }) => return Err(SOURCE.not_in(root, &[pattern])),
            outcome => outcome?,
        };
        index.leave_out_unlabelled();
        if index.cases.is_empty() {
            return Err(
                SOURCE.not_in(root, &new.iter().map(Pattern::to_string).collect::<Vec<_>>())
            );
        }
        let raters: BTreeSet<&String> = index
            .cases
            .values()
            .flat_map(|entry| entry.labels.iter().filter_map(|(rater, _)| rater.as_ref()))
            .collect();
        let mut classes = vec![Class::new("background", [0])];
        classes.extend(
            (1..).zip(["kidney", "tumour", "cyst"]).map(|(value, name)| Class::new(name, [value])),
        );
        let description = Description {
            name: name_of(root),
            channels: vec!["CT".to_owned()],
            classes,
            raters: raters.into_iter().cloned().collect(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        };
        let images = ImageRules { channels: 1, spacing: None, slices_are_channels: false };
        // An instance's file tells inside from outside.
        let of_file = Description {
            classes: vec![Class::new("background", [0]), Class::new("instance", [1])],
            ..description.clone()
        };
        let labels = LabelRules {
            values: Values::new(&of_file, None, Wording::Settings)?,
            threshold: None,
            geometry: self.label_geometry,
        };
        Ok(Box::new(KitsFolder { description, index, images, labels }))
    }

    fn source(&self) -> Option<&'static Source> {
        Some(&SOURCE)
    }
}

fn background(grid: &Grid) -> LabelMap {
    let [depth, height, width] = grid.size;
    let data = Array3::zeros((depth, height, width));
    LabelMap::new(grid.clone(), data).expect("it has the size of the grid")
}

/// An opened folder of images and annotated instances.
#[derive(Debug)]
struct KitsFolder {
    description: Description,
    index: Index,
    images: ImageRules,
    labels: LabelRules,
}

/// The annotations of one instance, by rater, and the class that it is of.
type Instances<'a> = BTreeMap<String, (u16, BTreeMap<&'a str, &'a Path>)>;

fn instances(labels: &[(Option<String>, PathBuf)]) -> Result<Instances<'_>> {
    let mut instances = Instances::new();
    for (rater, path) in labels {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (name, _) = name.split_once("_annotation-").unwrap_or_default();
        let region = name.split('_').next().unwrap_or_default();
        let class = (1..).zip(REGIONS).find(|&(_, known)| known == region);
        let Some((class, _)) = class else {
            return Err(Error::Description {
                path: path.clone(),
                cause: format!("it is an annotation of \"{region}\""),
                remedy: format!("there are {}; rename or remove it", REGIONS.join(", ")),
            });
        };
        let of_instance = instances.entry(name.to_owned()).or_insert((class, BTreeMap::new()));
        of_instance.1.insert(rater.as_deref().unwrap_or_default(), path);
    }
    Ok(instances)
}

impl Dataset for KitsFolder {
    fn description(&self) -> &Description {
        &self.description
    }

    fn ids(&self) -> &[String] {
        &self.index.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        let entry = self.index.entry(id, &self.description)?;
        let image = self.images.read(id, &entry.images)?;
        let instances = instances(&entry.labels)?;
        let mut masks = Vec::new();
        for rater in self.raters(id) {
            let mut mask = background(&image.grid);
            for class in PAINTED {
                for (_, annotations) in instances.values().filter(|(of, _)| *of == class) {
                    let own = annotations.get(rater).or_else(|| annotations.values().next());
                    let Some(path) = own else { continue };
                    let instance = self.labels.read(id, path, &image.grid)?;
                    mask.data.zip_mut_with(&instance.data, |mask, &inside| {
                        if inside == 1 {
                            *mask = class;
                        }
                    });
                }
            }
            masks.push(mask);
        }
        let label = Label::raters(masks).expect("all masks lie on the grid of the image");
        Ok(Case { id: id.to_owned(), image, label: Some(label) })
    }

    fn raters(&self, id: &str) -> Vec<&str> {
        self.index.raters(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.index.files(id)
    }

    fn problems(&self) -> &[Problem] {
        &self.index.problems
    }
}
