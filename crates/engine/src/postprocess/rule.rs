use std::fmt;
use std::path::Path;

use ndarray::Array3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use volume::{Components, Connectivity, LabelMap, fill_holes};

use crate::{Error, Result, file};

/// What is done to labels, in this order, once networks have spoken: the file `postprocess.json` of a model.
///
/// Labels are those of label files. Probabilities stay what the networks said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Postprocess {
    /// The version of this format: 1.
    pub schema: u32,
    /// How probable a class must be, where that is not as nnU-Net has it; first of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// Then these.
    pub steps: Vec<PostprocessStep>,
}

impl Default for Postprocess {
    fn default() -> Self {
        Self { schema: Self::SCHEMA, thresholds: Vec::new(), steps: Vec::new() }
    }
}

/// How probable a class must be to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The class, by its label.
    pub label: u16,
    /// A voxel whose most probable class this is, but with no more than this probability, is background; of regions that may
    /// overlap, a voxel is within where it has more.
    pub probability: f64,
}

/// One thing that is done to labels. Parts of a mask touch at faces, edges or corners, as in nnU-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PostprocessStep {
    /// Of the voxels with any of these labels, those outside the largest connected part become background; where several are
    /// largest, all of them stay.
    KeepLargest {
        /// Taken together.
        labels: Vec<u16>,
    },
    /// Connected parts of these labels with less than this volume become background.
    RemoveSmall {
        /// Taken together.
        labels: Vec<u16>,
        /// mm³.
        mm3: f64,
    },
    /// Background that these labels enclose, which does not touch the border of the image by faces, gets the first of them. In a
    /// single slice, holes are those of the plane.
    FillHoles {
        /// Taken together.
        labels: Vec<u16>,
    },
}

impl Postprocess {
    /// The version of the format that is written.
    pub const SCHEMA: u32 = 1;

    /// The name of its file in the folder of a model.
    pub const FILE: &str = "postprocess.json";

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::File`], where it makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let rule: Self = file::read_json(path)?;
        rule.check().map_err(|reason| Error::File { path: path.to_owned(), reason })?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != Self::SCHEMA {
            return Err(format!("its schema is {}, and {} is known", self.schema, Self::SCHEMA));
        }
        for step in &self.steps {
            let labels = step.labels();
            if labels.is_empty() || labels.contains(&0) {
                return Err("each step needs labels, none of which is 0, the background".to_owned());
            }
            if let PostprocessStep::RemoveSmall { mm3, .. } = step
                && (mm3.is_nan() || *mm3 < 0.0)
            {
                return Err(format!("a volume of {mm3} mm³ is none"));
            }
        }
        let out = |it: &&Threshold| it.label == 0 || !(0.0..=1.0).contains(&it.probability);
        match self.thresholds.iter().find(out) {
            Some(Threshold { label, probability }) => Err(format!(
                "label {label} cannot have the threshold {probability}; labels above 0 have one from 0 to 1"
            )),
            None => Ok(()),
        }
    }

    /// The labels that it speaks of.
    pub fn labels(&self) -> Vec<u16> {
        let of_steps = self.steps.iter().flat_map(|step| step.labels().iter().copied());
        let mut labels: Vec<u16> =
            of_steps.chain(self.thresholds.iter().map(|it| it.label)).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        self.thresholds.is_empty() && self.steps.is_empty()
    }

    /// Takes the steps. (Thresholds are of probabilities: [`Ensemble::segment`](crate::Ensemble::segment) minds them.)
    pub fn apply(&self, labels: &mut LabelMap) {
        let voxel = labels.grid.voxel_volume();
        for step in &self.steps {
            step.apply(&mut labels.data, voxel);
        }
    }
}

impl PostprocessStep {
    fn labels(&self) -> &[u16] {
        match self {
            Self::KeepLargest { labels }
            | Self::RemoveSmall { labels, .. }
            | Self::FillHoles { labels } => labels,
        }
    }

    fn apply(&self, data: &mut Array3<u16>, voxel: f64) {
        let belongs = |label: &u16| self.labels().contains(label);
        match self {
            Self::KeepLargest { .. } => {
                let parts = Components::of(data, belongs, Connectivity::Corners);
                let most = parts.sizes().iter().copied().max().unwrap_or(0);
                remove(data, &parts, |size| size < most);
            }
            Self::RemoveSmall { mm3, .. } => {
                let parts = Components::of(data, belongs, Connectivity::Corners);
                remove(data, &parts, |size| (size as f64) * voxel < *mm3);
            }
            Self::FillHoles { labels } => {
                let filled = fill_holes(data, belongs);
                data.zip_mut_with(&filled, |label, &filled| {
                    if filled && *label == 0 {
                        *label = labels[0];
                    }
                });
            }
        }
    }
}

fn remove(data: &mut Array3<u16>, parts: &Components, goes: impl Fn(usize) -> bool) {
    let gone: Vec<bool> = parts.sizes().iter().map(|&size| goes(size)).collect();
    if gone.contains(&true) {
        data.zip_mut_with(parts.labels(), |label, &part| {
            if part > 0 && gone[part as usize - 1] {
                *label = 0;
            }
        });
    }
}

impl fmt::Display for PostprocessStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.labels().iter().map(ToString::to_string).collect();
        let labels = labels.join(", ");
        match self {
            Self::KeepLargest { .. } => write!(f, "keep the largest part of {labels}"),
            Self::RemoveSmall { mm3, .. } => write!(f, "remove parts of {labels} below {mm3} mm³"),
            Self::FillHoles { .. } => write!(f, "fill holes of {labels}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use volume::Grid;

    use super::*;

    fn after(step: PostprocessStep, data: Array3<u16>) -> anyhow::Result<Array3<u16>> {
        let (d, h, w) = data.dim();
        let mut labels = LabelMap::new(Grid::new([d, h, w], [2.0, 1.0, 0.5])?, data)?;
        Postprocess { steps: vec![step], ..Postprocess::default() }.apply(&mut labels);
        Ok(labels.data)
    }

    #[test]
    fn the_largest_part_stays_and_all_that_are_as_large() -> anyhow::Result<()> {
        let of = |labels: &[u16]| PostprocessStep::KeepLargest { labels: labels.to_vec() };
        let data = array![[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 1]]];
        // By corners, 1 and 2 are one part with 4 voxels.
        let both = array![[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 0]]];
        assert_eq!(after(of(&[1, 2]), data.clone())?, both);
        let alone = array![[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 0]]];
        assert_eq!(after(of(&[1]), data.clone())?, alone);
        assert_eq!(after(of(&[2]), data.clone())?, data);
        let equal = array![[[3, 0, 3, 0, 0, 3]]];
        assert_eq!(after(of(&[3]), equal.clone())?, equal);
        assert_eq!(after(of(&[7]), data.clone())?, data, "nothing of it is there");
        Ok(())
    }

    #[test]
    fn small_parts_go_by_their_volume() -> anyhow::Result<()> {
        let data = array![[[1, 1, 0, 1, 0, 2]]];
        let of = |mm3| PostprocessStep::RemoveSmall { labels: vec![1], mm3 };
        // A voxel has 1 mm³.
        assert_eq!(after(of(2.0), data.clone())?, array![[[1, 1, 0, 0, 0, 2]]]);
        assert_eq!(after(of(1.0), data.clone())?, data);
        Ok(())
    }

    #[test]
    fn holes_are_filled_with_background_alone_lost() -> anyhow::Result<()> {
        let data = array![[[1, 1, 1, 1], [1, 0, 2, 1], [1, 1, 1, 1], [0, 0, 0, 0]]];
        let filled = array![[[1, 1, 1, 1], [1, 1, 2, 1], [1, 1, 1, 1], [0, 0, 0, 0]]];
        // The 2 beside the hole is no background, and so is part of it.
        assert_eq!(after(PostprocessStep::FillHoles { labels: vec![1] }, data)?, filled);
        Ok(())
    }

    #[test]
    fn rules_without_sense_are_refused() -> anyhow::Result<()> {
        let read = |text: &str| -> anyhow::Result<String> {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join(Postprocess::FILE);
            std::fs::write(&path, text)?;
            Ok(match Postprocess::read(&path) {
                Ok(rule) => format!("{rule:?}"),
                Err(error) => error.to_string(),
            })
        };
        let good = r#"{"schema":1,"thresholds":[{"label":1,"probability":0.3}],"steps":[{"keep_largest":{"labels":[1]}}]}"#;
        assert!(read(good)?.contains("KeepLargest"));
        for (text, reason) in [
            (r#"{"schema":2,"steps":[]}"#, "schema is 2"),
            (r#"{"schema":1,"steps":[{"keep_largest":{"labels":[]}}]}"#, "needs labels"),
            (r#"{"schema":1,"steps":[{"fill_holes":{"labels":[0]}}]}"#, "needs labels"),
            (r#"{"schema":1,"steps":[{"remove_small":{"labels":[1],"mm3":-1}}]}"#, "is none"),
            (r#"{"schema":1,"steps":[{"explode":{"labels":[1]}}]}"#, "explode"),
            (r#"{"schema":1,"thresholds":[{"label":1,"probability":1.5}],"steps":[]}"#, "1.5"),
        ] {
            assert!(read(text)?.contains(reason), "{text}: {}", read(text)?);
        }
        Ok(())
    }
}
