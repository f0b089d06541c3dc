//! Attributes of a DICOM file, as what they mean.

use std::fs;
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::file::{OpenFileOptions, ReadPreamble};
use dicom_object::{DefaultDicomObject, InMemDicomObject};

use super::lengths;
use crate::format::decoded::Trouble;

/// The classes of segmentations: of segments, and of label maps.
const SEGMENTATIONS: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"];

/// The transfer syntax that has the more significant byte first.
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// The transfer syntaxes whose pixels are as they are.
const NATIVE: [&str; 3] = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN];

/// A file that was parsed.
pub(super) struct Object {
    pub(super) file: DefaultDicomObject,
    /// The length of the file, bytes.
    pub(super) length: u64,
}

impl Object {
    /// All of a file.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        Self::read(path, OpenFileOptions::new())
    }

    /// What comes before its pixels.
    pub(super) fn header(path: &Path) -> Result<Self, Trouble> {
        Self::read(path, OpenFileOptions::new().read_until(tags::PIXEL_DATA))
    }

    fn read(path: &Path, options: OpenFileOptions) -> Result<Self, Trouble> {
        let bytes = fs::read(path).map_err(Trouble::Io)?;
        if bytes.len() < 132 {
            return Err(Trouble::damaged("it ends before its first element"));
        }
        lengths::check(&bytes)?;
        let file = options.read_preamble(ReadPreamble::Always).from_reader(&bytes[..]);
        let file = file.map_err(|error| Trouble::damaged(chain(&error)))?;
        Ok(Self { file, length: bytes.len() as u64 })
    }

    /// Which way values are written.
    pub(super) fn syntax(&self) -> &str {
        self.file.meta().transfer_syntax().trim_end_matches('\0')
    }

    /// Whether pixels are packed frame by frame.
    pub(super) fn is_packed(&self) -> bool {
        !NATIVE.contains(&self.syntax())
    }

    pub(super) fn is_segmentation(&self) -> bool {
        self.file.text(tags::SOP_CLASS_UID).is_some_and(|class| SEGMENTATIONS.contains(&&*class))
    }
}

/// An error with what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the attributes of a data set are read as.
pub(super) trait Attributes {
    fn data_set(&self) -> &InMemDicomObject;

    /// A text without the blanks around it; `None` where there is none, or it is empty.
    fn text(&self, tag: Tag) -> Option<String> {
        let element = self.data_set().element_opt(tag).ok().flatten()?;
        let text = element.to_str().ok()?.trim_matches(['\0', ' ']).to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Numbers; `None` where there are none.
    fn numbers(&self, tag: Tag) -> Option<Vec<f64>> {
        let element = self.data_set().element_opt(tag).ok().flatten()?;
        let numbers = element.to_multi_float64().ok()?;
        (!numbers.is_empty() && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
    }

    fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)?.first().copied()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    fn count(&self, tag: Tag) -> Option<usize> {
        self.number(tag).filter(|count| (0.0..1e9).contains(count)).map(|count| count as usize)
    }

    /// Three numbers or six, as positions and orientations have them.
    fn vector<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        self.numbers(tag)?.try_into().ok()
    }

    /// The items of a sequence; none, where there is no such sequence.
    fn items(&self, tag: Tag) -> &[InMemDicomObject] {
        let element = self.data_set().element_opt(tag).ok().flatten();
        element.and_then(|element| element.items()).unwrap_or_default()
    }
}

impl Attributes for InMemDicomObject {
    fn data_set(&self) -> &InMemDicomObject {
        self
    }
}

impl Attributes for DefaultDicomObject {
    fn data_set(&self) -> &InMemDicomObject {
        self
    }
}
