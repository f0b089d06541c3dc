//! What teachers say of each case of a data set, stored once, so that they need not be run each step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data::{Case, Dataset, Description};
use losses::Activation;
use ndarray::{Array4, Axis, stack};
use preprocess::{Restore, Truth};
use serde::{Deserialize, Serialize};
use volume::{Image, SoftLabelMap};

use crate::calibrate::LogitScaling;
use crate::config::PredictConfig;
use crate::file::{
    Versioned, create_folder, file_name, read_json, read_versioned, sha256, write_json,
};
use crate::{Error, LabelSpace, Predictor, Result, SupervisionConfig, Trained};

/// A folder with what teachers say of each case: `opinions.json`, which says who they are, and for each
/// case `ID.nii.gz`, on the grid of its image.
///
/// A file holds the mean of the teachers' probabilities at the temperature, class after class, in steps of
/// 1/4096, so that it is small; those of classes sum to 1. Each teacher sees the whole image, as when it
/// predicts, but without the temperature that it was calibrated by. So a student meets the same opinion
/// wherever its patch lies, and however the intensities of the patch are varied; where patches are turned
/// and scaled, opinions are, too.
///
/// `images.json` keeps the SHA-256 hash of the voxels that the teachers saw of each case, so that opinions of
/// other images are noticed. A run holds the opinions of all its cases in memory, four bytes for each class
/// and voxel of the network's grid, of regions twice that.
#[derive(Clone, Debug)]
pub struct Opinions {
    root: PathBuf,
    record: OpinionRecord,
    /// The hash of the image of each case that was asked about.
    images: BTreeMap<String, String>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecord {
    /// A folder, or `hub:owner/name`, as `supervision.teachers` names it.
    pub name: String,
    /// The SHA-256 hash of its weights.
    pub weights: String,
    /// How it predicted.
    pub predict: PredictConfig,
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
    /// [`Error::Settings`], where the teachers do not see such images, or do not tell the classes of the data
    /// set apart;
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
            if teacher.config.channels != description.channels {
                return Err(Error::Settings(format!(
                    "the teacher {name} is of images of {}, but those of {} are of {}",
                    teacher.config.channels.join(", "),
                    description.name,
                    description.channels.join(", ")
                )));
            }
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
            let (weights, predict) = (teacher.weights_hash()?, teacher.config.predict.clone());
            Ok(TeacherRecord { name: name.clone(), weights, predict })
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
            if let Some(difference) = difference(&found, &record) {
                let reason = format!("it is of {difference}; name another folder");
                return Err(Error::File { path, reason });
            }
        } else {
            write_json(&path, &record)?;
        }
        Ok(Self { root: root.to_owned(), record, images: read_images(root)? })
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
        Ok(Self {
            root: root.to_owned(),
            record: read_versioned(&path)?,
            images: read_images(root)?,
        })
    }

    /// Whose they are.
    pub fn record(&self) -> &OpinionRecord {
        &self.record
    }

    /// The file of a case. Of its id, what may be no part of a file's name is written as `%2f`.
    pub fn file(&self, id: &str) -> PathBuf {
        self.root.join(format!("{}.nii.gz", file_name(id)))
    }

    /// Whether the teachers were asked about a case.
    pub fn has(&self, id: &str) -> bool {
        self.images.contains_key(id) && self.file(id).is_file()
    }

    /// Asks the teachers about a case, and writes down what they say; their predictors apply
    /// [`Calibration::None`](crate::calibrate::Calibration::None).
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict_case`]; [`Error::Settings`], where a teacher is calibrated; and where the file
    /// cannot be written.
    pub fn write(&mut self, teachers: &[Predictor], case: &Case) -> Result<()> {
        let mut total: Option<Array4<f32>> = None;
        for teacher in teachers {
            teacher.expect_uncalibrated()?;
            let prediction = teacher.predict_case(case)?;
            let said = prediction.scaled(&LogitScaling::Temperature(self.record.temperature));
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
        // In this order: what is listed is there.
        self.images.insert(case.id.clone(), hash(&case.image)?);
        write_json(&images_path(&self.root), &self.images)
    }

    /// What is said of a case, on the grid that its image was brought to: the probabilities of classes, or
    /// for each region those of outside and inside.
    ///
    /// # Errors
    ///
    /// [`Error::File`], where the file of the case is missing, damaged, or of another image.
    pub(crate) fn read(&self, case: &Case, restore: &Restore) -> Result<Vec<Truth>> {
        let path = self.file(&case.id);
        let wrong = |reason: String| Error::File {
            path: path.clone(),
            reason: format!("{reason}; remove it, and run `sconce distill cache` again"),
        };
        if self.images.get(&case.id) != Some(&hash(&case.image)?) {
            return Err(wrong("it is of another image than that of the case".to_owned()));
        }
        let maps = self.maps(&path).map_err(|error| wrong(error.to_string()))?;
        let channels =
            self.record.classes.len() - usize::from(self.record.activation == Activation::Sigmoid);
        let found = match self.record.activation {
            Activation::Softmax => maps.first().map_or(0, SoftLabelMap::classes),
            Activation::Sigmoid => maps.len(),
        };
        if found != channels {
            return Err(wrong(format!("it has {found} channels, not {channels}")));
        }
        let brought = maps.into_iter().map(|map| restore.bring(map));
        brought.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))
    }

    /// What a file holds: the probabilities of classes, or for each region those of outside and inside.
    fn maps(&self, path: &Path) -> Result<Vec<SoftLabelMap>> {
        if self.record.activation == Activation::Softmax {
            return Ok(vec![data::read_soft_labels(path)?]);
        }
        let Image { grid, data } = data::read_image(path)?;
        let region = |inside: ndarray::ArrayView3<'_, f32>| {
            let outside = inside.mapv(|p| 1.0 - p);
            SoftLabelMap::new(grid.clone(), stack![Axis(0), outside, inside])
        };
        Ok(data.outer_iter().map(region).collect::<Result<_, _>>()?)
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
        let (named, asked) = (config.teachers.len(), self.record.teachers.len());
        if named > 0 && named != asked {
            return refuse(format!(
                "have {asked} for a number of teachers, but supervision.teachers names {named}"
            ));
        }
        let missing: Vec<&String> = dataset.ids().iter().filter(|id| !self.has(id)).collect();
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

/// What one record is of and the other not.
fn difference(found: &OpinionRecord, wanted: &OpinionRecord) -> Option<&'static str> {
    let weights = |record: &OpinionRecord| -> Vec<(String, PredictConfig)> {
        let teachers = record.teachers.iter();
        teachers.map(|teacher| (teacher.weights.clone(), teacher.predict.clone())).collect()
    };
    if weights(found) != weights(wanted) {
        Some("other teachers, or of these before they were trained or set anew")
    } else if (found.temperature - wanted.temperature).abs() > 1e-9 {
        Some("another temperature")
    } else if found.classes != wanted.classes || found.activation != wanted.activation {
        Some("other classes")
    } else {
        (found.dataset != wanted.dataset).then_some("another data set")
    }
}

/// The hash of the voxels of an image.
fn hash(image: &Image) -> Result<String> {
    let bytes: Vec<u8> = image.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    sha256(bytes.as_slice()).map_err(Error::io(Path::new("an image in memory")))
}

fn images_path(root: &Path) -> PathBuf {
    root.join("images.json")
}

fn read_images(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = images_path(root);
    if path.exists() { read_json(&path) } else { Ok(BTreeMap::new()) }
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
