//! `dataset.json`, as nnU-Net and the Medical Segmentation Decathlon write it.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{Class, Description, Error, Result};

/// The fields that are used, of both generations.
#[derive(Debug, Deserialize)]
struct Raw {
    name: Option<String>,
    channel_names: Option<Ordered<String>>,
    modality: Option<Ordered<String>>,
    labels: Ordered<Values>,
    #[serde(rename = "numTraining")]
    num_training: Option<usize>,
    file_ending: Option<String>,
    regions_class_order: Option<Vec<u16>>,
    dataset: Option<Ordered<Listed>>,
    training: Option<Vec<Listed>>,
}

/// A JSON object in the order of its keys, which says how regions are painted.
#[derive(Debug)]
struct Ordered<V>(Vec<(String, V)>);

/// What a label's name stands for, or, in the first generation, what a value's name is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(u16),
    Several(Vec<u16>),
    Name(String),
}

/// A case that the file lists by its paths.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Listed {
    #[serde(alias = "image")]
    pub(super) images: Paths,
    pub(super) label: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Paths {
    One(String),
    Several(Vec<String>),
}

/// What nnU-Net's `dataset.json` says of the images and labels that a network was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct NnunetDescription {
    /// Its name, channels and classes; `regions_class_order` is there whenever nnU-Net takes the classes for regions, which it
    /// does as soon as one has several values, whether regions overlap or not.
    pub description: Description,
    /// How the names of image files end, such as `.nii.gz`.
    pub file_ending: Option<String>,
}

impl NnunetDescription {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`Error::Description`], where it does not say what channels and labels there are, or not as nnU-Net does.
    pub fn read(path: &Path) -> Result<Self> {
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let json = DatasetJson::read(path, folder.to_string_lossy().into_owned())?;
        let DatasetJson { mut description, file_ending, ignore_value, order, .. } = json;
        let several = description.classes.iter().any(|class| class.values.len() > 1);
        if several && !description.has_regions() {
            let regions = description.classes.len() - 1;
            description.regions_class_order =
                order.filter(|order| order.len() == regions).ok_or_else(|| Error::Description {
                    path: path.to_owned(),
                    cause: format!("its labels are regions, but regions_class_order does not have {regions} values"),
                    remedy: "write it as nnU-Net's dataset_format.md says".to_owned(),
                })?;
            description.ignore = ignore_value;
        }
        Ok(Self { description, file_ending })
    }
}

/// What a `dataset.json` says.
#[derive(Debug)]
pub(super) struct DatasetJson {
    pub(super) description: Description,
    /// The value in label files that means "do not look here".
    pub(super) ignore_value: Option<u16>,
    pub(super) num_training: Option<usize>,
    pub(super) file_ending: Option<String>,
    /// How regions are painted, where it says so.
    order: Option<Vec<u16>>,
    /// Cases with a name of their own (second generation).
    pub(super) named: Option<Vec<(String, Listed)>>,
    /// Cases named by their files (first generation).
    pub(super) listed: Option<Vec<Listed>>,
}

impl DatasetJson {
    pub(super) fn read(path: &Path, name: String) -> Result<Self> {
        let wrong = |cause: String| Error::Description {
            path: path.to_owned(),
            cause,
            remedy: "write it as nnU-Net's dataset_format.md says".to_owned(),
        };
        let text = fs::read_to_string(path).map_err(Error::reading(path))?;
        let raw: Raw = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;

        let channels = raw.channel_names.or(raw.modality);
        let channels = channels
            .ok_or_else(|| wrong("it has neither channel_names nor modality".to_owned()))?;
        let channels = by_number(channels.0).map_err(&wrong)?;
        let (classes, ignore_value) = classes(raw.labels.0).map_err(&wrong)?;
        let count =
            u16::try_from(classes.len()).map_err(|_| wrong("too many labels".to_owned()))?;
        let mut description = Description {
            name: raw.name.filter(|name| !name.is_empty()).unwrap_or(name),
            channels,
            classes,
            raters: Vec::new(),
            ignore: ignore_value.map(|_| count),
            regions_class_order: Vec::new(),
            independent: false,
        };
        if description.has_regions() {
            description.ignore = ignore_value;
            description.regions_class_order = raw.regions_class_order.clone().unwrap_or_default();
            let regions = description.classes.len() - 1;
            if description.regions_class_order.len() != regions {
                return Err(wrong(format!(
                    "its labels are regions, but regions_class_order does not have {regions} values"
                )));
            }
        }
        Ok(Self {
            description,
            ignore_value,
            num_training: raw.num_training,
            file_ending: raw.file_ending,
            order: raw.regions_class_order,
            named: raw.dataset.map(|dataset| dataset.0),
            listed: raw.training.filter(|training| !training.is_empty()),
        })
    }
}

/// The names of channels "0", "1", …
fn by_number(channels: Vec<(String, String)>) -> Result<Vec<String>, String> {
    let mut numbered = Vec::with_capacity(channels.len());
    for (number, name) in channels {
        let number: usize =
            number.parse().map_err(|_| format!("channel \"{number}\" is no number"))?;
        numbered.push((number, name));
    }
    numbered.sort_unstable();
    if numbered.is_empty() || !numbered.iter().enumerate().all(|(at, (number, _))| at == *number) {
        return Err("channels are not numbered 0, 1, …".to_owned());
    }
    Ok(numbered.into_iter().map(|(_, name)| name).collect())
}

/// The classes, background first, and the value to be ignored.
fn classes(labels: Vec<(String, Values)>) -> Result<(Vec<Class>, Option<u16>), String> {
    let (mut classes, mut ignore, mut regions) = (Vec::new(), None, false);
    for (key, value) in labels {
        let (name, values) = match value {
            Values::One(value) => (key, vec![value]),
            Values::Several(values) => {
                // A list of one value is that value.
                regions |= values.len() > 1;
                (key, values)
            }
            // The first generation has it the other way round.
            Values::Name(name) => {
                let value =
                    key.parse().map_err(|_| format!("label \"{key}\" is no value of a voxel"))?;
                (name, vec![value])
            }
        };
        if name == "ignore" {
            ignore = values.first().copied();
        } else {
            classes.push(Class::new(name, values));
        }
    }
    if !regions {
        classes.sort_by(|a, b| a.values.cmp(&b.values));
    }
    let Some(background) = classes.iter().position(|class| class.values == [0]) else {
        return Err("no label has the value 0, for the background".to_owned());
    };
    let background = classes.remove(background);
    classes.insert(0, background);
    Ok((classes, ignore))
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Ordered<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DatasetJson> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        DatasetJson::read(file.path(), "folder".to_owned())
    }

    #[test]
    fn both_generations_mean_the_same() -> anyhow::Result<()> {
        let new = read(
            r#"{"channel_names": {"0": "T2", "1": "ADC"}, "file_ending": ".nii.gz",
                "labels": {"TZ": 2, "background": 0, "PZ": 1}, "numTraining": 3}"#,
        )?;
        let old = read(
            r#"{"modality": {"1": "ADC", "0": "T2"}, "tensorImageSize": "4D", "numTraining": 3,
                "labels": {"0": "background", "1": "PZ", "2": "TZ"}, "training": []}"#,
        )?;

        assert_eq!(new.description, old.description);
        assert_eq!(new.description.channels, ["T2", "ADC"]);
        assert_eq!(new.description.classes[2], Class::new("TZ", [2]));
        assert_eq!(new.description.name, "folder");
        Ok(())
    }

    #[test]
    fn regions_keep_their_order_and_their_values() -> anyhow::Result<()> {
        let text = |order: &str| {
            format!(
                r#"{{"channel_names": {{"0": "T1"}}, "file_ending": ".nii.gz", "numTraining": 1,
                    "labels": {{"background": 0, "whole": [1, 2, 3], "core": [2, 3],
                                "active": 3, "ignore": 4}}{order}}}"#
            )
        };
        let json = read(&text(r#", "regions_class_order": [1, 2, 3]"#))?;

        let names: Vec<_> = json.description.classes.iter().map(|class| &class.name).collect();
        assert_eq!(names, ["background", "whole", "core", "active"]);
        assert_eq!(json.description.regions_class_order, [1, 2, 3]);
        assert_eq!((json.ignore_value, json.description.ignore), (Some(4), Some(4)));
        assert!(json.description.has_regions());
        let error = read(&text("")).unwrap_err().to_string();
        assert!(error.contains("regions_class_order does not have 3 values"), "{error}");
        Ok(())
    }

    #[test]
    fn errors_say_what_is_missing() {
        let error = |text: &str| read(text).unwrap_err().to_string();

        assert!(error("{").contains("EOF while parsing"));
        assert!(error(r#"{"labels": {"a": 0}}"#).contains("neither channel_names nor modality"));
        let channels = r#"{"modality": {"0": "CT"}, "labels": "#;
        assert!(error(&format!("{channels}{{\"a\": 1}}}}")).contains("no label has the value 0"));
        assert!(error(&format!("{channels}{{\"x\": \"a\"}}}}")).contains("no value of a voxel"));
    }
}
