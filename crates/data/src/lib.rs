//! Image files and data set folders, read into cases.

mod case;
mod check;
mod error;
mod format;
mod layout;
mod phantom;
mod problem;
mod split;

use std::fmt;
use std::path::Path;

pub use crate::case::{Case, Class, Dataset, Description};
pub use crate::check::{
    ChannelSummary, ClassSummary, RaterCount, Report, Spread, Summary, check, summary,
};
pub use crate::error::{Action, Error, Result};
pub use crate::format::{
    ImageInfo, axis_codes, read_image, read_label_map, read_soft_labels, write_image,
    write_label_map, write_soft_labels,
};
pub use crate::layout::{LabelGeometry, Pattern, Patterns};
pub use crate::phantom::{Phantom, PhantomClasses};
pub use crate::problem::{Problem, ProblemKind, Severity};
pub use crate::split::{Fold, NNUNET_SEED, k_fold, read_splits, write_splits};

use crate::layout::{nnunet_raw, pairs, raters};

/// How a folder becomes a data set: the settings of a folder convention, without the folder.
pub trait Layout: fmt::Debug + Send + Sync {
    /// Opens the data set at `root`, and lists its cases without reading their images.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be listed, its description makes no sense, or it holds no case.
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>>;
}

registry::registry! {
    /// Every layout of this crate, as a config file names it.
    pub enum LayoutConfig: Layout {
        "nnunet_raw" => nnunet_raw::NnunetRaw,
        "pairs" => pairs::Pairs,
        "raters" => raters::Raters,
        "phantom" => phantom::PhantomConfig,
    }
}
