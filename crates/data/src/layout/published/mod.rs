//! Published data sets, as they are downloaded: one module for each.

pub(crate) mod bids;
pub(crate) mod brats;
pub(crate) mod brats2023;
pub(crate) mod brats2024;
pub(crate) mod bus2017;
pub(crate) mod busi;
pub(crate) mod cvc_clinicdb;
pub(crate) mod dfuc2022;
pub(crate) mod drive;
pub(crate) mod dsb2018;
pub(crate) mod endotect;
pub(crate) mod fuseg;
pub(crate) mod isic2018;
pub(crate) mod kits19;
pub(crate) mod kits23;
pub(crate) mod kits_raters;
pub(crate) mod kvasir_seg;
pub(crate) mod lidc_slices;
pub(crate) mod lits;
pub(crate) mod qubiq;

use std::fmt;
use std::path::Path;

use registry::Documentation;
use serde::Serialize;

use super::{Patterns, Unlabelled, expect_data_folder};
use crate::{
    Dataset, Error, HowRead, Layout, LayoutConfig, Pairs, Pattern, Problem, ProblemKind, Raters,
    Result, Severity,
};

/// Where a published data set comes from, and how to tell that it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// What it is called, and of what it is.
    pub title: &'static str,
    /// Where it is applied for or downloaded.
    pub page: &'static str,
    /// What must be done there, and what is downloaded.
    pub steps: &'static str,
    /// Under which terms it may be used, as far as its page says so.
    pub licence: &'static str,
    /// How many labelled cases it has when it is whole; 0 where editions or parts differ.
    pub cases: usize,
    /// The text of its module, and its struct there, whose comments say how its folder looks.
    #[serde(skip)]
    file: &'static str,
    #[serde(skip)]
    kind: &'static str,
}

impl Source {
    /// That a folder holds none of its files, which would have these names.
    fn not_in(&self, root: &Path, wanted: &[String]) -> Error {
        Error::NoCases {
            path: root.to_owned(),
            pattern: wanted.join("` or `"),
            remedy: format!("give the folder of {} as it was unpacked", self.title),
        }
    }

    /// What is to be remarked of a folder that holds less of it, or more, than there is.
    ///
    /// `whole` is what [`Layout::whole`] says of the part or edition that is looked at.
    pub fn remark(&self, dataset: &dyn Dataset, whole: usize) -> Option<Problem> {
        let found = dataset.ids().len();
        (whole > 0 && found != whole).then(|| {
            let message = format!(
                "{} has {whole} labelled cases when it is whole, this folder {found}; complete it, or go on with \
                 what there is",
                self.title
            );
            Problem::new(Severity::Warning, ProblemKind::Description, message)
        })
    }

    /// How its folder looks, what to know of it, who made it, and the settings of its layout.
    pub fn documentation(&self) -> Documentation {
        Documentation::of(self.file, self.kind)
    }
}

/// The settings of a published data set, which know its files by name.
pub(crate) trait Published: fmt::Debug + Send + Sync {
    /// Where it comes from.
    const SOURCE: &'static Source;

    /// Whether the names of its files are its own, so that it is known by them.
    const TELLING: bool = true;

    /// How many labelled cases the part or edition that is meant has; 0 where that is not known.
    fn whole(&self) -> usize {
        Self::SOURCE.cases
    }

    /// How its files may be named, the most usual first: the first that finds a case is taken.
    fn forms(&self) -> Vec<LayoutConfig>;

    /// Where a file lies that tells the set from others with the same names, one of these; none, where its
    /// names are enough.
    fn signs(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<P: Published> Layout for P {
    fn open(&self, root: &Path) -> Result<Box<dyn Dataset>> {
        expect_data_folder(root)?;
        let mut wanted = Vec::new();
        for form in self.forms() {
            match form.open(root) {
                Err(Error::NoCases { pattern, .. }) => wanted.push(pattern),
                outcome => return outcome,
            }
        }
        Err(Self::SOURCE.not_in(root, &wanted))
    }

    fn is_label_name(&self, name: &str) -> bool {
        self.forms().iter().any(|form| form.is_label_name(name))
    }

    fn how_read(&self) -> HowRead {
        self.forms().first().map(Layout::how_read).unwrap_or_default()
    }

    fn source(&self) -> Option<&'static Source> {
        Some(Self::SOURCE)
    }

    fn whole(&self) -> usize {
        Published::whole(self)
    }

    fn knows(&self, root: &Path) -> Result<bool> {
        if !Self::TELLING {
            return Ok(false);
        }
        let signs = self.signs();
        if !signs.is_empty() {
            let signs = signs.into_iter().map(Pattern::new).collect::<Result<Vec<_>>>()?;
            return Patterns::new(signs).find_any(root);
        }
        for form in self.forms() {
            if form.knows(root)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Images and labels of these names; images without a label are left out.
fn pairs(files: &[[impl AsRef<str>; 2]]) -> Pairs {
    let [image, label] = patterns(files);
    Pairs { image, label, unlabelled: Unlabelled::LeaveOut, ..Pairs::default() }
}

/// Images and raters' masks of these names; images without a mask are left out.
fn raters(files: &[[impl AsRef<str>; 2]]) -> Raters {
    let [image, label] = patterns(files);
    Raters { image, label, unlabelled: Unlabelled::LeaveOut, ..Raters::default() }
}

fn patterns(files: &[[impl AsRef<str>; 2]]) -> [Patterns; 2] {
    [0, 1].map(|which| {
        let texts = files.iter().map(|pair| pair[which].as_ref());
        let pattern = |text| Pattern::new(text).expect("a pattern in the source is well formed");
        Patterns::new(texts.map(pattern).collect::<Vec<_>>())
    })
}

/// The same names in the folder itself, and one and two folders below it.
fn at_any_depth<const N: usize>(files: &[[String; N]]) -> Vec<[String; N]> {
    let mut deep = Vec::new();
    for above in ["", "*/", "*/*/"] {
        let below = |names: &[String; N]| names.each_ref().map(|name| format!("{above}{name}"));
        deep.extend(files.iter().map(below));
    }
    deep
}

fn colours() -> Vec<String> {
    ["R", "G", "B"].map(str::to_owned).to_vec()
}
