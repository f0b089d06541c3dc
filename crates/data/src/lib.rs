//! Image files and data set folders, read into cases.
//!
//! The only crate that opens image files. It reads local files, and nothing else: no cache, no
//! sampling, no augmentation, no network.
//!
//! | to do | use |
//! |---|---|
//! | read a file | [`read_image`], [`read_label_map`], [`read_soft_labels`] |
//! | write one | [`write_image`], [`write_label_map`], [`write_soft_labels`] |
//! | see what a file holds | [`ImageInfo`] |
//! | find images to predict, or labels to compare | [`find_images`], giving [`FoundImages`], [`ImageFiles`], [`ReadImage`]; [`label_files`]; [`prediction_files`], giving [`PredictionFiles`] |
//! | open a folder | [`LayoutConfig`], the table of [`Layout`]s; [`recognize`] guesses which |
//! | … of nnU-Net or the decathlon | [`NnunetRaw`] |
//! | … with an image and a label for each case | [`Pairs`] |
//! | … with the masks of several raters | [`Raters`] |
//! | … with a list of files | [`Csv`] |
//! | … of several sets, each with labels for some classes | [`Partial`], a list of [`PartialSet`]s |
//! | … of BIDS | [`Bids`] |
//! | … as a published set is downloaded | [`Qubiq`], [`Lits`], [`Kits19`], [`Kits23`], [`KitsRaters`], [`Brats`], [`Brats2023`], [`Brats2024`], [`LidcSlices`], [`Drive`], [`CvcClinicdb`], [`KvasirSeg`], [`Endotect`], [`Isic2018`] with its [`Part`]s, [`Dsb2018`], [`Busi`], [`Bus2017`], [`Fuseg`], [`Dfuc2022`]; [`Source`] says where to get it |
//! | … that does not exist: make one | [`PhantomConfig`], [`Phantom`], [`PhantomClasses`], [`PhantomOrgan`] |
//! | … of Parquet files (feature `parquet`) | `Parquet` |
//! | stream equal-sized cases as candle tensors (feature `parquet`) | `batches` |
//! | say where files are | [`Pattern`], [`Patterns`], [`LabelGeometry`], [`Unlabelled`] |
//! | read cases | [`Dataset`], [`Case`], [`Description`], [`Class`] |
//! | read nnU-Net's `dataset.json` by itself | [`NnunetDescription`] |
//! | mend a copy of a folder | [`mend`], giving [`Mended`] |
//! | find what is wrong | [`check()`], [`check_with_folds`], on several machines [`look`] and [`check_looked`], giving [`Report`], [`Problem`], [`ProblemKind`], [`Severity`] |
//! | see what is there | [`summary()`], [`summary_with`], giving [`Summary`], [`Spread`], [`ChannelSummary`], [`ClassSummary`], [`RaterCount`] |
//! | write a data set in another layout | [`convert()`], [`ConvertTo`] |
//! | hold cases out | [`Fold`], [`Subset`], [`SplitRule`], [`k_fold`], [`read_splits`], [`write_splits`], [`NNUNET_SEED`] |
//!
//! | format, each a feature | read | labels written | images written | probabilities written | geometry |
//! |---|---|---|---|---|---|
//! | `nifti`: 1 and 2, single files and pairs, compressed or not | yes | yes, as NIfTI-1 | yes | yes | kept |
//! | `nrrd`: `.nrrd` and `.nhdr`; raw, gzip, text | yes | yes, `.nrrd` | yes | yes | kept |
//! | `metaimage`: `.mha` and `.mhd`; raw, zlib, text | yes | yes, `.mha` | yes | yes | kept |
//! | `tiff`: pages are slices | yes | yes | yes | yes | none |
//! | `png`: a single slice | yes | yes | 8 bits | no | none |
//! | `dicom`: a folder with a series, files of one slice or many, segmentations; raw, JPEG, JPEG 2000, RLE | yes | binary segmentation | no | fractional segmentation | kept |
//! | `npz`: class probabilities as nnU-Net saves them | yes | no | no | half precision, by [`write_npz`] | none: that of the image |
//! | `gif`: a single slice in up to 256 colours | yes | no | no | no | none |
//! | `jpeg`: a single slice, not exact | yes | no: it loses them | 8 bits, grey | no | none |
//!
//! Arrays come as `(C, D, H, W)`, slowest axis first; a picture has one slice. Axes are turned in
//! the readers, once; nothing is reoriented or resampled. Errors name file, cause and remedy in one
//! line ([`Error`], [`Action`]); no file makes this crate panic.
//!
//! # Examples
//!
//! ```
//! use sconce_data::{Dataset, Fold, Phantom, PhantomConfig};
//!
//! // Ten small 2D cases, each marked by three raters.
//! let config = PhantomConfig { cases: 10, size: [1, 32, 32], raters: 3, ..Default::default() };
//! let phantom = Phantom::new(config)?;
//! let fold = Fold::new(&phantom, 5, 0, sconce_data::NNUNET_SEED)?;
//! assert_eq!(fold.val, ["case01", "case08"]);
//!
//! let case = phantom.read(&fold.val[0])?;
//! assert_eq!(case.image.data.shape(), [1, 1, 32, 32]);
//! # Ok::<(), sconce_data::Error>(())
//! ```

#[cfg(feature = "parquet")]
mod batches;
mod case;
mod check;
mod convert;
mod error;
mod format;
mod inputs;
mod layout;
mod mend;
mod phantom;
mod problem;
mod recognize;
mod split;
mod subset;

use std::fmt;
use std::path::Path;

#[cfg(feature = "parquet")]
pub use crate::batches::batches;
pub use crate::case::{Case, Class, Dataset, Description};
pub use crate::check::{
    ChannelSummary, ClassSummary, Looked, RaterCount, Report, Spread, Summary, check, check_looked,
    check_with_folds, look, summary, summary_with,
};
pub use crate::convert::{ConvertTo, convert};
pub use crate::error::{Action, Error, Result};
#[cfg(feature = "npz")]
pub use crate::format::write_npz;
pub use crate::format::{
    ImageInfo, read_image, read_label_map, read_soft_labels, write_image, write_label_map,
    write_soft_labels,
};
#[cfg(feature = "dicom")]
pub use crate::format::{SegmentationOf, write_fractional_segmentation, write_segmentation};
pub use crate::inputs::{
    FoundImages, HowRead, ImageFiles, PredictionFiles, ReadImage, find_images, label_files,
    prediction_files,
};
pub use crate::layout::partial::PartialSet;
pub use crate::layout::published::isic2018::Part;
pub use crate::layout::{LabelGeometry, NnunetDescription, Pattern, Patterns, Source, Unlabelled};
pub use crate::mend::{Mended, mend};
pub use crate::phantom::{Phantom, PhantomClasses, PhantomOrgan};
pub use crate::problem::{Problem, ProblemKind, Severity};
pub use crate::recognize::recognize;
pub use registry::Documentation;

pub use crate::split::{Fold, NNUNET_SEED, SplitRule, k_fold, read_splits, write_splits};
pub use crate::subset::Subset;

#[cfg(feature = "parquet")]
use crate::layout::parquet as parquet_rows;
use crate::layout::published::{
    bids, brats, brats2023, brats2024, bus2017, busi, cvc_clinicdb, dfuc2022, drive, dsb2018,
    endotect, fuseg, isic2018, kits_raters, kits19, kits23, kvasir_seg, lidc_slices, lits, qubiq,
};
use crate::layout::{csv, nnunet_raw, pairs, partial, raters};

/// How a folder becomes a data set: the settings of a folder convention, without the folder.
pub trait Layout: fmt::Debug + Send + Sync {
    /// Opens the data set at `root`, and lists its cases without reading their images.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be listed, its description makes no sense, or it holds no case.
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>>;

    /// Whether a file of this name, without its folders, is called as label files of this layout
    /// are, and as its images are not. `false` where the layout tells them apart by other means.
    fn is_label_name(&self, _name: &str) -> bool {
        false
    }

    /// How its image files are read, where that is not as they say themselves: so are images that a network is to predict
    /// which was trained on such a data set.
    fn how_read(&self) -> HowRead {
        HowRead::default()
    }

    /// Where the data set comes from, where this is the layout of a single one.
    fn source(&self) -> Option<&'static Source> {
        None
    }

    /// How many labelled cases the data set has when it is whole; 0 where that is not known.
    fn whole(&self) -> usize {
        self.source().map_or(0, |source| source.cases)
    }

    /// Whether the names of a folder's files are of this layout, and not merely such as it could be told to read.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be listed.
    fn knows(&self, root: &Path) -> Result<bool> {
        let _ = root;
        Ok(false)
    }
}

impl Layout for LayoutConfig {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        self.as_dyn().open(root)
    }

    fn is_label_name(&self, name: &str) -> bool {
        self.as_dyn().is_label_name(name)
    }

    fn how_read(&self) -> HowRead {
        self.as_dyn().how_read()
    }

    fn source(&self) -> Option<&'static Source> {
        self.as_dyn().source()
    }

    fn whole(&self) -> usize {
        self.as_dyn().whole()
    }

    fn knows(&self, root: &Path) -> Result<bool> {
        self.as_dyn().knows(root)
    }
}

registry::registry! {
    /// Every layout of this crate, as a config file names it.
    pub enum LayoutConfig: Layout {
        "nnunet_raw" => nnunet_raw::NnunetRaw,
        "pairs" => pairs::Pairs,
        "raters" => raters::Raters,
        "phantom" => phantom::PhantomConfig,
        #[cfg(feature = "parquet")]
        "parquet" => parquet_rows::Parquet,
        "csv" => csv::Csv,
        "partial" => partial::Partial,
        "bids" => bids::Bids,
        "qubiq" => qubiq::Qubiq,
        "lits" => lits::Lits,
        "kits23" => kits23::Kits23,
        "kits19" => kits19::Kits19,
        "kits_raters" => kits_raters::KitsRaters,
        "brats" => brats::Brats,
        "brats2023" => brats2023::Brats2023,
        "brats2024" => brats2024::Brats2024,
        "lidc_slices" => lidc_slices::LidcSlices,
        "drive" => drive::Drive,
        "cvc_clinicdb" => cvc_clinicdb::CvcClinicdb,
        "kvasir_seg" => kvasir_seg::KvasirSeg,
        "endotect" => endotect::Endotect,
        "isic2018" => isic2018::Isic2018,
        "dsb2018" => dsb2018::Dsb2018,
        "busi" => busi::Busi,
        "bus2017" => bus2017::Bus2017,
        "fuseg" => fuseg::Fuseg,
        "dfuc2022" => dfuc2022::Dfuc2022,
    }
}
