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
    /// Of each file, its class and itself.
    pub(super) instances: Vec<(String, String)>,
    /// Patient and study.
    pub(super) copied: Vec<Element>,
}

/// Attributes that the standard wants, empty where nothing is known.
pub(super) const COPIED: [(Tag, VR); 8] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::STUDY_ID, VR::SH),
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
            let names = own(tags::SOP_CLASS_UID).zip(own(tags::SOP_INSTANCE_UID));
            images.instances.extend(names);
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
}
