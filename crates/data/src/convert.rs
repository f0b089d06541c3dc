//! Data sets written in another layout.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Axis;
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use volume::{Image, Label, LabelMap};

use crate::format::replace::replace_json;
use crate::{
    Case, Class, Dataset, Description, Error, LayoutConfig, Pairs, Pattern, Patterns, Raters,
    Result, write_image, write_label_map, write_soft_labels,
};

/// A layout that data sets are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvertTo {
    /// nnU-Net's raw folder: one file for each channel, and a `dataset.json`.
    NnunetRaw,
    /// An image and a label for each case, hard or soft.
    Pairs,
    /// An image and each rater's mask for each case.
    Raters,
}

/// Writes a data set in another layout, as NIfTI: the same voxels on the same grids.
///
/// | | labels | values in label files |
/// |---|---|---|
/// | [`ConvertTo::NnunetRaw`] | hard | consecutive, "do not look here" after them |
/// | [`ConvertTo::Pairs`] | hard or soft | consecutive; of overlapping regions as they are |
/// | [`ConvertTo::Raters`] | of several raters | the same |
///
/// Cases that belong together stay known as such, but in nnU-Net's layout, which has no words for that. What says how the
/// folder is laid out is written last, so that an interrupted conversion is not taken for a data set.
///
/// `progress` hears how many of how many cases are done, from any thread.
///
/// # Errors
///
/// Where `output` holds something already, a case cannot be read or written, or its label is of a kind that the
/// layout does not have.
pub fn convert(
    dataset: &dyn Dataset,
    output: &Path,
    to: ConvertTo,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<()> {
    if output.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::settings(
            format!("{} is not empty", output.display()),
            "name a folder that is not there yet",
        ));
    }
    let ids = dataset.ids();
    // What holds for the whole set is said before anything is written.
    if dataset.description().independent {
        return Err(Error::settings(
            "cases of this data set label some of its classes, which no other layout can say",
            "convert each of its sets by itself",
        ));
    }
    let several = !dataset.description().raters.is_empty();
    if let Some(first) = ids.first()
        && several != (to == ConvertTo::Raters)
    {
        return Err(if several { by_several(first, to) } else { by_nobody(first) });
    }
    let outcome = write_all(dataset, output, to, progress);
    if outcome.is_err() {
        // It was empty before.
        let _ = fs::remove_dir_all(output);
    }
    outcome
}

fn write_all(
    dataset: &dyn Dataset,
    output: &Path,
    to: ConvertTo,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<()> {
    let ids = dataset.ids();
    let grouped = ids.iter().any(|id| dataset.group(id) != id);
    let regions = dataset.description().has_regions().then(|| consecutive(dataset.description()));
    let done = AtomicUsize::new(0);
    progress(0, ids.len());
    let soft = ids.par_iter().map(|id| {
        let case = dataset.read(id)?;
        let soft = matches!(case.label, Some(Label::Soft(_)));
        let group = grouped.then(|| dataset.group(id));
        let writer = Writer { output, regions: regions.as_deref() };
        match to {
            ConvertTo::NnunetRaw => writer.nnunet(&case)?,
            ConvertTo::Pairs => writer.pair(&case, group)?,
            ConvertTo::Raters => writer.raters(&case, group, &dataset.raters(id))?,
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, ids.len());
        Ok(soft)
    });
    let soft: Vec<bool> = soft.collect::<Result<_>>()?;
    let description = dataset.description();
    match to {
        ConvertTo::NnunetRaw => {
            replace_json(&output.join("dataset.json"), &dataset_json(description, ids.len()))
        }
        ConvertTo::Pairs => {
            let soft = soft.contains(&true);
            replace_json(&output.join("layout.json"), &pairs(description, grouped, soft)?)
        }
        ConvertTo::Raters => {
            replace_json(&output.join("layout.json"), &raters(description, grouped)?)
        }
    }
}

/// Writes cases below a folder.
struct Writer<'a> {
    output: &'a Path,
    /// What becomes of values where regions overlap.
    regions: Option<&'a [u16]>,
}

impl Writer<'_> {
    fn place(&self, parts: &[&str]) -> Result<PathBuf> {
        if let Some(part) =
            parts.iter().find(|part| part.contains(['/', '\\']) || part.starts_with(".."))
        {
            return Err(Error::settings(
                format!("\"{part}\" is no name of a file"),
                "name cases, groups and raters without / and \\, by the setting `id`",
            ));
        }
        let path = parts.iter().fold(self.output.to_owned(), |path, part| path.join(part));
        let folder = path.parent().unwrap_or(self.output);
        fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        Ok(path)
    }

    fn nnunet(&self, case: &Case) -> Result<()> {
        let id = &case.id;
        for (channel, data) in case.image.data.axis_iter(Axis(0)).enumerate() {
            let data = data.to_owned().insert_axis(Axis(0));
            let image = Image::new(case.image.grid.clone(), data).expect("on the image's own grid");
            write_image(self.place(&["imagesTr", &format!("{id}_{channel:04}.nii.gz")])?, &image)?;
        }
        match &case.label {
            None => Ok(()),
            Some(Label::Hard(labels)) => {
                let path = self.place(&["labelsTr", &format!("{id}.nii.gz")])?;
                match self.regions {
                    Some(table) => {
                        let data = labels.data.mapv(|value| table[usize::from(value)]);
                        let labels = LabelMap::new(labels.grid.clone(), data);
                        write_label_map(path, &labels.expect("on the labels' own grid"))
                    }
                    None => write_label_map(path, labels),
                }
            }
            Some(Label::Raters(_)) => Err(by_several(id, ConvertTo::NnunetRaw)),
            Some(Label::Soft(_)) => Err(unsuited(
                id,
                "its label is soft, and nnU-Net takes one label map for each case",
                "convert to pairs",
            )),
        }
    }

    fn pair(&self, case: &Case, group: Option<&str>) -> Result<()> {
        let name = format!("{}.nii.gz", case.id);
        let path = |kind: &str| match group {
            Some(group) => self.place(&[kind, group, &name]),
            None => self.place(&[kind, &name]),
        };
        write_image(path("images")?, &case.image)?;
        match &case.label {
            None => Ok(()),
            Some(Label::Hard(labels)) => write_label_map(path("labels")?, labels),
            Some(Label::Soft(labels)) => write_soft_labels(path("labels")?, labels),
            Some(Label::Raters(_)) => Err(by_several(&case.id, ConvertTo::Pairs)),
        }
    }

    fn raters(&self, case: &Case, group: Option<&str>, names: &[&str]) -> Result<()> {
        let place = |name: &str| match group {
            Some(group) => self.place(&[group, &case.id, name]),
            None => self.place(&[&case.id, name]),
        };
        write_image(place("image.nii.gz")?, &case.image)?;
        let masks: Vec<&LabelMap> = match &case.label {
            None => Vec::new(),
            Some(Label::Raters(masks)) => masks.iter().collect(),
            Some(_) => return Err(by_nobody(&case.id)),
        };
        for (name, mask) in names.iter().zip(masks) {
            write_label_map(place(&format!("rater-{name}.nii.gz"))?, mask)?;
        }
        Ok(())
    }
}

fn by_several(id: &str, to: ConvertTo) -> Error {
    let cause = match to {
        ConvertTo::NnunetRaw => {
            "several raters marked it, and nnU-Net takes one label map for each case"
        }
        _ => "several raters marked it",
    };
    unsuited(id, cause, "convert to raters, or fuse them first, with `sconce labels fuse`")
}

fn by_nobody(id: &str) -> Error {
    unsuited(id, "nobody says who marked it", "convert to pairs")
}

fn unsuited(id: &str, cause: &str, remedy: &str) -> Error {
    Error::settings(format!("case {id}: {cause}"), remedy)
}

/// The classes as converted files number them.
fn numbered(description: &Description) -> Vec<Class> {
    if description.has_regions() {
        return description.classes.clone();
    }
    let classes = (0..).zip(&description.classes);
    classes.map(|(number, class)| Class::new(&class.name, [number])).collect()
}

/// Where regions overlap: the value of each file's value, in their order without gaps, as nnU-Net asks for it; the one that
/// is not to be looked at comes last.
fn consecutive(description: &Description) -> Vec<u16> {
    let mut values: Vec<u16> =
        description.classes.iter().flat_map(|class| &class.values).copied().collect();
    values.sort_unstable();
    values.dedup();
    values.extend(description.ignore);
    let mut table = vec![0; 1 << 16];
    for (number, value) in (0..).zip(values) {
        table[usize::from(value)] = number;
    }
    table
}

/// The same data set with values as nnU-Net wants them.
fn for_nnunet(description: &Description) -> Description {
    let mut described = Description { classes: numbered(description), ..description.clone() };
    if description.has_regions() {
        let table = consecutive(description);
        let new = |value: &mut u16| *value = table[usize::from(*value)];
        described.classes.iter_mut().flat_map(|class| &mut class.values).for_each(new);
        described.regions_class_order.iter_mut().for_each(new);
        described.ignore.iter_mut().for_each(new);
    }
    described
}

fn dataset_json(description: &Description, cases: usize) -> Value {
    let description = &for_nnunet(description);
    let channels = description.channels.iter().enumerate();
    let channels: Map<String, Value> =
        channels.map(|(number, name)| (number.to_string(), json!(name))).collect();
    let mut labels = Map::new();
    for class in description.classes.clone() {
        let values = match class.values.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        labels.insert(class.name, values);
    }
    if let Some(ignore) = description.ignore {
        labels.insert("ignore".to_owned(), json!(ignore));
    }
    let mut all = json!({
        "name": description.name,
        "channel_names": channels,
        "labels": labels,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    });
    if description.has_regions() {
        all["regions_class_order"] = json!(description.regions_class_order);
    }
    all
}

fn patterns(text: &str) -> Result<Patterns> {
    Ok(Patterns::new([Pattern::new(text)?]))
}

fn pairs(description: &Description, grouped: bool, soft: bool) -> Result<LayoutConfig> {
    let folder = if grouped { "{group}/" } else { "" };
    Ok(Pairs {
        image: patterns(&format!("images/{folder}{{id}}.nii.gz"))?,
        label: patterns(&format!("labels/{folder}{{id}}.nii.gz"))?,
        id: grouped.then(|| Pattern::new("{id}")).transpose()?,
        group: grouped.then(|| Pattern::new("{group}")).transpose()?,
        channels: description.channels.clone(),
        classes: numbered(description),
        regions_class_order: description.regions_class_order.clone(),
        ignore: description.ignore,
        soft,
        ..Pairs::default()
    }
    .into())
}

fn raters(description: &Description, grouped: bool) -> Result<LayoutConfig> {
    let folder = if grouped { "{group}/" } else { "" };
    Ok(Raters {
        image: patterns(&format!("{folder}{{id}}/image.nii.gz"))?,
        label: patterns(&format!("{folder}{{id}}/rater-{{rater}}.nii.gz"))?,
        id: grouped.then(|| Pattern::new("{id}")).transpose()?,
        group: grouped.then(|| Pattern::new("{group}")).transpose()?,
        channels: description.channels.clone(),
        classes: numbered(description),
        ..Raters::default()
    }
    .into())
}
