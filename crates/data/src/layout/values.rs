use std::fmt::Write as _;
use std::path::Path;

use crate::{Class, Description, Error, Result};

/// From the values of label files to class indices.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    classes: Vec<Class>,
    /// The class of each value, or [`UNKNOWN`].
    table: Vec<u16>,
    declared: Vec<u16>,
    wording: Wording,
}

/// Where a user changes what values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    /// In the settings of a layout.
    Settings,
    /// In `dataset.json`.
    DatasetJson,
}

const UNKNOWN: u16 = u16::MAX;

impl Values {
    /// A table for the classes of `description`, in whose files `ignore` means "do not look here".
    ///
    /// Where regions overlap, values stay what they are.
    pub(crate) fn new(
        description: &Description,
        ignore: Option<u16>,
        wording: Wording,
    ) -> Result<Self> {
        let classes = &description.classes;
        if classes.len() < 2 {
            return Err(Error::settings(
                format!("{} classes are too few", classes.len()),
                "declare the background and at least one more",
            ));
        }
        let mut table = vec![UNKNOWN; 1 << 16];
        let regions = description.has_regions();
        for (index, class) in (0..UNKNOWN).zip(classes) {
            if class.values.is_empty() || class.values.contains(&UNKNOWN) {
                return Err(Error::settings(
                    format!("class {} has no label value below {UNKNOWN}", class.name),
                    "give it one",
                ));
            }
            for &value in &class.values {
                table[usize::from(value)] = if regions { value } else { index };
            }
        }
        if let (Some(value), Some(index)) = (ignore, description.ignore) {
            table[usize::from(value)] = index;
        }
        let known = |&value: &u16| table[usize::from(value)] != UNKNOWN;
        let declared = (0..UNKNOWN).filter(known).collect();
        Ok(Self { classes: classes.clone(), table, declared, wording })
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Replaces each value by its class.
    ///
    /// # Errors
    ///
    /// [`Error::LabelValues`], where a value has no class.
    pub(crate) fn translate(&self, path: &Path, labels: &mut [u16]) -> Result<()> {
        let strange = labels.iter().any(|&value| self.table[usize::from(value)] == UNKNOWN);
        if strange {
            let mut found = labels.to_vec();
            found.sort_unstable();
            found.dedup();
            let proposal = self.proposal(&found);
            let (path, declared) = (path.to_owned(), self.declared.clone());
            return Err(Error::LabelValues { path, found, declared, proposal });
        }
        for label in labels {
            *label = self.table[usize::from(*label)];
        }
        Ok(())
    }

    /// Classes that fit the values that were found.
    fn proposal(&self, found: &[u16]) -> String {
        if found.len() > 32 {
            return match self.wording {
                Wording::Settings if self.classes.len() == 2 => {
                    "if it is a picture of a mask, set `threshold = 127` and the values 0 and 1"
                        .to_owned()
                }
                _ => "so many values are no classes: is it a label file?".to_owned(),
            };
        }
        let strange: Vec<u16> =
            found.iter().copied().filter(|value| !self.declared.contains(value)).collect();
        // Values that nobody uses may be meant by those that nobody declared, in their order.
        let mut classes = self.classes.clone();
        let idle: Vec<usize> = (0..classes.len())
            .filter(|&class| !classes[class].values.iter().any(|value| found.contains(value)))
            .collect();
        if idle.len() == strange.len() {
            for (&class, &value) in idle.iter().zip(&strange) {
                classes[class].values = vec![value];
            }
        } else {
            classes
                .extend(strange.iter().map(|&value| Class::new(format!("label_{value}"), [value])));
        }
        self.worded(&classes)
    }

    fn worded(&self, classes: &[Class]) -> String {
        let mut text = String::new();
        for class in classes {
            let comma = if text.is_empty() { "" } else { ", " };
            let Class { name, values, .. } = class;
            let written = match (self.wording, values.as_slice()) {
                (Wording::Settings, _) => {
                    write!(text, "{comma}{{ name = {name:?}, values = {values:?} }}")
                }
                (Wording::DatasetJson, [value]) => write!(text, "{comma}{name:?}: {value}"),
                (Wording::DatasetJson, _) => write!(text, "{comma}{name:?}: {values:?}"),
            };
            written.expect("a string takes all that is written to it");
        }
        match self.wording {
            Wording::Settings => format!("set `classes = [{text}]`"),
            Wording::DatasetJson => format!("write `\"labels\": {{{text}}}` in dataset.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(classes: Vec<Class>) -> Description {
        Description {
            name: "test".to_owned(),
            channels: vec!["CT".to_owned()],
            classes,
            raters: Vec::new(),
            ignore: None,
            regions_class_order: Vec::new(),
            independent: false,
        }
    }

    fn message(classes: Vec<Class>, wording: Wording, labels: &[u16]) -> String {
        let values = Values::new(&description(classes), None, wording).unwrap();
        values.translate(Path::new("a.png"), &mut labels.to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn a_mask_of_0_and_255_gets_the_classes_that_fit() {
        let classes = vec![Class::new("background", [0]), Class::new("nodule", [1])];

        assert_eq!(
            message(classes.clone(), Wording::Settings, &[0, 255, 255]),
            "cannot read a.png: it holds the label values [0, 255], but classes are declared for \
             [0, 1] only; set `classes = [{ name = \"background\", values = [0] }, \
             { name = \"nodule\", values = [255] }]`",
        );
        assert!(message(classes, Wording::DatasetJson, &[0, 1, 7]).ends_with(
            "write `\"labels\": {\"background\": 0, \"nodule\": 1, \"label_7\": 7}` in \
                 dataset.json"
        ));
    }

    #[test]
    fn many_values_are_no_classes() {
        let classes = vec![Class::new("background", [0]), Class::new("polyp", [255])];
        let greys: Vec<u16> = (0..=255).collect();

        assert!(message(classes, Wording::Settings, &greys).contains("threshold = 127"));
    }

    #[test]
    fn values_become_classes_unless_regions_overlap() -> anyhow::Result<()> {
        let apart = vec![Class::new("background", [0, 9]), Class::new("b", [4, 5])];
        let over =
            vec![Class::new("bg", [0]), Class::new("whole", [4, 5]), Class::new("core", [5])];
        let file = [0, 9, 4, 5];

        let mut labels = file;
        let values = Values::new(&description(apart), None, Wording::Settings)?;
        values.translate(Path::new("a"), &mut labels)?;
        assert_eq!(labels, [0, 0, 1, 1]);

        let mut labels = [0, 4, 5];
        let values = Values::new(&description(over), None, Wording::Settings)?;
        values.translate(Path::new("a"), &mut labels)?;
        assert_eq!(labels, [0, 4, 5]);
        Ok(())
    }

    #[test]
    fn the_ignore_value_comes_after_all_classes() -> anyhow::Result<()> {
        let classes = vec![Class::new("background", [0]), Class::new("a", [10])];
        let description = Description { ignore: Some(2), ..description(classes) };
        let mut labels = [0, 10, 11];

        Values::new(&description, Some(11), Wording::Settings)?
            .translate(Path::new("a"), &mut labels)?;

        assert_eq!(labels, [0, 1, 2]);
        Ok(())
    }
}
