//! What teachers say of each case of a data set, stored once, so that they need not be run each step.

use std::path::{Path, PathBuf};

use data::{Case, Dataset, Description};
use losses::Activation;
use ndarray::{Array4, Axis, stack};
use preprocess::{Restore, Truth};
use serde::{Deserialize, Serialize};
use volume::{Image, SoftLabelMap};

use crate::file::{Versioned, create_folder, read_versioned, write_json};
use crate::{Error, LabelSpace, Predictor, Result, SupervisionConfig, Trained};

/// A folder with what teachers say of each case: `opinions.json`, which says who they are, and for each
/// case `ID.nii.gz`, on the grid of its image.
///
/// A file holds the mean of the teachers' probabilities at the temperature, class after class, in steps of
/// 1/4096, so that it is small; those of classes sum to 1. Each teacher sees the whole image, as when it
/// predicts, but without the temperature that it was calibrated by. So a student meets the same opinion
/// wherever its patch lies, and however the intensities of the patch are varied; where patches are turned
/// and scaled, opinions are, too.
#[derive(Clone, Debug)]
pub struct Opinions {
    root: PathBuf,
    record: OpinionRecord,
}

/// `opinions.json`: whose opinions they are, of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpinionRecord {
    /// The version of this format: 1.
    pub schema: u32,
    /// The name of the data set.
    pub dataset: String,
    /// The names of its classes, background first.
    pub classes: Vec<String>,
    /// How logits became probabilities.
    pub activation: Activation,
    /// What logits were divided by.
    pub temperature: f64,
    /// Who was asked.
    pub teachers: Vec<TeacherRecord>,
    /// The version of the program that asked.
    pub program: String,
}

/// A teacher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecord {
    /// A folder, or `hub:owner/name`, as `supervision.teachers` names it.
    pub name: String,
    /// The SHA-256 hash of its weights.
    pub weights: String,
}

impl Versioned for OpinionRecord {
    const SCHEMA: u32 = 1;
}

/// Probabilities are whole multiples of one over this.
const STEPS: f32 = 4096.0;

impl Opinions {
    /// A folder for what `teachers`, by name, say of a data set; one that is there already is gone on with,
    /// if it is theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where the teachers do not tell the classes of the data set apart;
    /// [`Error::File`], where the folder holds other opinions; and where it cannot be written.
    pub fn create(
        root: &Path,
        description: &Description,
        teachers: &[(String, Trained)],
        temperature: f64,
    ) -> Result<Self> {
        let space = LabelSpace::of(description)?;
        let classes: Vec<String> =
            description.classes.iter().map(|class| class.name.clone()).collect();
        for (name, teacher) in teachers {
            let own: Vec<&str> =
                teacher.config.classes.iter().map(|class| class.name.as_str()).collect();
            if own != classes || teacher.config.activation != space.activation() {
                return Err(Error::Settings(format!(
                    "the teacher {name} tells {} apart, but the classes of {} are {}",
                    own.join(", "),
                    description.name,
                    classes.join(", ")
                )));
            }
        }
        let teacher = |(name, teacher): &(String, Trained)| -> Result<TeacherRecord> {
            Ok(TeacherRecord { name: name.clone(), weights: teacher.weights_hash()? })
        };
        let record = OpinionRecord {
            schema: OpinionRecord::SCHEMA,
            dataset: description.name.clone(),
            classes,
            activation: space.activation(),
            temperature,
            teachers: teachers.iter().map(teacher).collect::<Result<_>>()?,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        create_folder(root)?;
        let path = record_path(root);
        if path.exists() {
            let found: OpinionRecord = read_versioned(&path)?;
            if (OpinionRecord { program: record.program.clone(), ..found }) != record {
                return Err(Error::File {
                    path,
                    reason:
                        "the folder holds what others say, or of something else, or at another \
                             temperature; name another folder"
                            .to_owned(),
                });
            }
        } else {
            write_json(&path, &record)?;
        }
        Ok(Self { root: root.to_owned(), record })
    }

    /// Those that a folder holds.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`], where it holds none.
    pub fn open(root: &Path) -> Result<Self> {
        let path = record_path(root);
        if !path.exists() {
            return Err(Error::File {
                path: root.to_owned(),
                reason: "it has no opinions.json; `sconce distill cache` makes such a folder"
                    .to_owned(),
            });
        }
        Ok(Self { root: root.to_owned(), record: read_versioned(&path)? })
    }

    /// Whose they are.
    pub fn record(&self) -> &OpinionRecord {
        &self.record
    }

    /// The file of a case.
    pub fn file(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.nii.gz"))
    }

    /// Asks the teachers about a case, and writes down what they say.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict_case`], and where the file cannot be written.
    pub fn write(&self, teachers: &[Predictor], case: &Case) -> Result<()> {
        let mut total: Option<Array4<f32>> = None;
        for teacher in teachers {
            let prediction = teacher.predict_case(case)?;
            let own = prediction.temperature();
            let said = prediction.at_temperature(self.record.temperature / own);
            let said = said.probability_image()?.data;
            total = Some(match total {
                Some(total) => total + said,
                None => said,
            });
        }
        let Some(mut mean) = total else {
            return Err(Error::Settings("nobody was asked for an opinion".to_owned()));
        };
        #[expect(clippy::cast_precision_loss, reason = "few teachers")]
        let share = 1.0 / teachers.len() as f32;
        mean.mapv_inplace(|sum| (sum * share * STEPS).round() / STEPS);
        let (path, grid) = (self.file(&case.id), case.image.grid.clone());
        match self.record.activation {
            Activation::Softmax => {
                settle(&mut mean);
                data::write_soft_labels(&path, &SoftLabelMap::new(grid, mean)?)?;
            }
            Activation::Sigmoid => data::write_image(&path, &Image::new(grid, mean)?)?,
        }
        Ok(())
    }

    /// What is said of a case, on the grid that its image was brought to: the probabilities of classes, or
    /// for each region those of outside and inside.
    ///
    /// # Errors
    ///
    /// Where the file of the case is missing, damaged, or of another image.
    pub(crate) fn read(&self, id: &str, restore: &Restore) -> Result<Vec<Truth>> {
        let path = self.file(id);
        let maps = match self.record.activation {
            Activation::Softmax => vec![data::read_soft_labels(&path)?],
            Activation::Sigmoid => {
                let Image { grid, data } = data::read_image(&path)?;
                let region = |inside: ndarray::ArrayView3<'_, f32>| {
                    let outside = inside.mapv(|p| 1.0 - p);
                    SoftLabelMap::new(grid.clone(), stack![Axis(0), outside, inside])
                };
                data.outer_iter().map(region).collect::<Result<_, _>>()?
            }
        };
        let channels =
            self.record.classes.len() - usize::from(self.record.activation == Activation::Sigmoid);
        let found = match self.record.activation {
            Activation::Softmax => maps.first().map_or(0, SoftLabelMap::classes),
            Activation::Sigmoid => maps.len(),
        };
        if found != channels {
            let reason =
                format!("it has {found} channels, not {channels}; remove it, and ask again");
            return Err(Error::File { path, reason });
        }
        let brought = maps.iter().map(|map| restore.bring(map));
        brought.collect::<Result<_, _>>().map_err(|error| Error::File {
            path,
            reason: format!("it is not of the image of the case: {error}"),
        })
    }

    /// That they are of the cases that a run is to see, and say what its settings ask for.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`].
    pub(crate) fn check(
        &self,
        config: &SupervisionConfig,
        dataset: &dyn Dataset,
        space: &LabelSpace,
    ) -> Result<()> {
        let root = self.root.display();
        let refuse =
            |reason: String| Err(Error::Settings(format!("the opinions in {root} {reason}")));
        let description = dataset.description();
        let classes: Vec<&str> =
            description.classes.iter().map(|class| class.name.as_str()).collect();
        if self.record.classes != classes || self.record.activation != space.activation() {
            let theirs = self.record.classes.join(", ");
            return refuse(format!(
                "are of {theirs}, but the classes of {} are {}",
                description.name,
                classes.join(", ")
            ));
        }
        let (wanted, temperature) = (config.temperature.get(), self.record.temperature);
        if (wanted - temperature).abs() > 1e-9 {
            return refuse(format!(
                "were given at temperature {temperature}, but supervision.temperature is {wanted}"
            ));
        }
        let theirs = self.record.teachers.iter().map(|teacher| &teacher.name);
        if !config.teachers.is_empty() && !theirs.clone().eq(&config.teachers) {
            let theirs = theirs.cloned().collect::<Vec<_>>().join(", ");
            return refuse(format!(
                "are those of {theirs}, but supervision.teachers names {}",
                config.teachers.join(", ")
            ));
        }
        let missing: Vec<&String> =
            dataset.ids().iter().filter(|id| !self.file(id).is_file()).collect();
        match missing.first() {
            None => Ok(()),
            Some(first) => refuse(format!(
                "lack {} of {} cases, {first} for one; `sconce distill cache` goes on with them",
                missing.len(),
                dataset.ids().len()
            )),
        }
    }
}

fn record_path(root: &Path) -> PathBuf {
    root.join("opinions.json")
}

/// Gives the most probable class of each voxel what the others leave, so that they sum to 1.
fn settle(probabilities: &mut Array4<f32>) {
    for mut voxel in probabilities.lanes_mut(Axis(0)) {
        let (mut most, mut total) = (0, 0.0);
        for (class, &p) in voxel.iter().enumerate() {
            total += p;
            if p > voxel[most] {
                most = class;
            }
        }
        voxel[most] += 1.0 - total;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::*;

    #[test]
    fn rounded_probabilities_sum_to_one() -> anyhow::Result<()> {
        let third = (STEPS / 3.0).round() / STEPS;
        let values = vec![third, 1.0, third, 0.0, third, 0.0];
        let mut found = Array::from_shape_vec((3, 1, 1, 2), values)?;

        settle(&mut found);

        let sums = found.sum_axis(Axis(0));
        assert_eq!(sums.into_raw_vec_and_offset().0, [1.0, 1.0]);
        assert!((found[[0, 0, 0, 0]] - third).abs() < 1.5 / STEPS);
        Ok(())
    }
}
