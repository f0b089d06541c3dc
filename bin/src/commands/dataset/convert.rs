//! `sconce dataset convert`: image files in another format, data sets in another layout.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sconce::data::{self, ConvertTo, ImageInfo, SegmentationOf};
use serde::Serialize;

use super::{Source, shared};
use crate::output::{Output, Usage};
use crate::progress::Progress;

/// What the values of a file are.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Intensities
    #[default]
    Image,
    /// Labels: whole numbers, stored as such
    Labels,
    /// Class probabilities, which sum to 1
    Probabilities,
}

/// The layout that is wanted.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Layout {
    NnunetRaw,
    Pairs,
    Raters,
}

/// Of what a segmentation in DICOM is.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The images that labels written as .dcm show, a file or folder of DICOM: patient, study and frame of reference are
    /// theirs
    #[arg(long = "of", value_name = "IMAGES", conflicts_with = "to")]
    images: Option<PathBuf>,
    /// Names of the classes of labels written as .dcm, background first, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "to")]
    classes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Written {
    output: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<usize>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cases {
            Some(cases) => write!(f, "wrote {cases} cases to {}", self.output.display()),
            None => write!(f, "wrote {}", self.output.display()),
        }
    }
}

/// Converts a data set where a layout is wanted, and else a single image.
pub(super) fn run(
    source: &Source,
    output: &Path,
    to: Option<Layout>,
    kind: Kind,
    of: &Of,
) -> anyhow::Result<Output> {
    let Some(to) = to else {
        // That it is an image is said by the reader.
        ImageInfo::read(&source.path).map_err(|error| {
            if source.path.is_dir() && data::recognize(&source.path).is_ok() {
                anyhow::Error::from(Usage(format!(
                    "{} is no single image; say with --to which layout is wanted",
                    source.path.display()
                )))
            } else {
                error.into()
            }
        })?;
        let segmentation = SegmentationOf { images: of.images.as_deref(), classes: &of.classes };
        let is_dicom = output.extension().is_some_and(|it| it.eq_ignore_ascii_case("dcm"));
        if (of.images.is_some() || !of.classes.is_empty()) && !is_dicom {
            let text = "--of and --classes are for segmentations in DICOM; name the output .dcm";
            return Err(Usage(text.to_owned()).into());
        }
        match kind {
            Kind::Labels if is_dicom => {
                let labels = data::read_label_map(&source.path)?;
                data::write_segmentation(output, &labels, segmentation)?;
            }
            Kind::Probabilities if is_dicom => {
                let labels = data::read_soft_labels(&source.path)?;
                data::write_fractional_segmentation(output, &labels, segmentation)?;
            }
            Kind::Image => data::write_image(output, &data::read_image(&source.path)?)?,
            Kind::Labels => data::write_label_map(output, &data::read_label_map(&source.path)?)?,
            Kind::Probabilities => {
                data::write_soft_labels(output, &data::read_soft_labels(&source.path)?)?;
            }
        }
        return Ok(Output::of(&Written { output: output.to_owned(), cases: None }));
    };
    let (dataset, _) = source.open()?;
    let to = match to {
        Layout::NnunetRaw => ConvertTo::NnunetRaw,
        Layout::Pairs => ConvertTo::Pairs,
        Layout::Raters => ConvertTo::Raters,
    };
    let progress = Mutex::new(Progress::new("convert"));
    data::convert(dataset.as_ref(), output, to, &|done, total| {
        shared(&progress).count("cases", done, total);
    })?;
    shared(&progress).finish();
    let cases = Some(dataset.ids().len());
    Ok(Output::of(&Written { output: output.to_owned(), cases }))
}
