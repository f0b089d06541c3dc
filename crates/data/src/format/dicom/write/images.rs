//! The images that a segmentation shows.

use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::attributes::{Element, text};
use crate::error::Action;
use crate::format::dicom::attributes::{Attributes as _, Object};
use crate::format::dicom::files_of;
use crate::{Error, Result};

/// What a segmentation takes from the images that it shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    pub(super) study: Option<String>,
    pub(super) series: Option<String>,
    pub(super) space: Option<String>,
    /// Each file.
    pub(super) instances: Vec<Instance>,
    /// Patient and study.
    pub(super) copied: Vec<Element>,
}

/// A file with an image.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) class: String,
    pub(super) name: String,
    /// Where its first pixel lies, where it is of one slice.
    position: Option<[f64; 3]>,
}

/// How far a slice may be from that which it shows, mm.
const NEAR: f64 = 0.01;

/// Attributes that the standard wants, empty where nothing is known.
pub(super) const COPIED: [(Tag, VR); 9] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::STUDY_ID, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
];

impl Images {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let files = if path.is_dir() {
            files_of(path).map_err(Error::reading(path))?
        } else {
            vec![path.to_owned()]
        };
        let mut images = Self::default();
        for file in &files {
            let object = Object::header(file).map_err(|trouble| trouble.at(file))?;
            if object.is_segmentation() {
                continue;
            }
            let object = object.file;
            let own = |tag| object.text(tag);
            if images.series.is_none() {
                images.study = own(tags::STUDY_INSTANCE_UID);
                images.series = own(tags::SERIES_INSTANCE_UID);
                images.space = own(tags::FRAME_OF_REFERENCE_UID);
                let copied = COPIED.map(|(tag, vr)| text(tag, vr, &own(tag).unwrap_or_default()));
                images.copied = copied.into();
            }
            if images.series != own(tags::SERIES_INSTANCE_UID) {
                return Err(Error::Unsupported {
                    action: Action::Read,
                    path: path.to_owned(),
                    cause: "it holds images of several series".to_owned(),
                    remedy: "put those that the segmentation shows into a folder of their own"
                        .to_owned(),
                });
            }
            let names = own(tags::SOP_CLASS_UID).zip(own(tags::SOP_INSTANCE_UID));
            let position = object.vector(tags::IMAGE_POSITION_PATIENT);
            images.instances.extend(names.map(|(class, name)| Instance { class, name, position }));
        }
        if images.series.is_some() {
            return Ok(images);
        }
        Err(Error::Unsupported {
            action: Action::Read,
            path: path.to_owned(),
            cause: "it holds no DICOM image of a series".to_owned(),
            remedy: "name the folder of the images that the segmentation shows".to_owned(),
        })
    }

    /// The image of the slice whose first pixel lies there.
    pub(super) fn at(&self, position: [f64; 3]) -> Option<&Instance> {
        self.instances.iter().find(|instance| {
            instance.position.is_some_and(|own| {
                own.into_iter().zip(position).all(|(own, wanted)| (own - wanted).abs() < NEAR)
            })
        })
    }
}
