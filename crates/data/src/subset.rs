use std::path::PathBuf;

use crate::{Case, Dataset, Description, Problem, Result};

/// Some cases of a data set.
#[derive(Debug)]
pub struct Subset<'a> {
    dataset: &'a dyn Dataset,
    ids: Vec<String>,
}

impl<'a> Subset<'a> {
    /// The cases of these names, which are sorted; what the data set does not have cannot be read.
    pub fn new(dataset: &'a dyn Dataset, mut ids: Vec<String>) -> Self {
        ids.sort();
        ids.dedup();
        Self { dataset, ids }
    }
}

impl Dataset for Subset<'_> {
    fn description(&self) -> &Description {
        self.dataset.description()
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn read(&self, id: &str) -> Result<Case> {
        self.dataset.read(id)
    }

    fn group<'a>(&'a self, id: &'a str) -> &'a str {
        self.dataset.group(id)
    }

    fn raters(&self, id: &str) -> Vec<&str> {
        self.dataset.raters(id)
    }

    fn files(&self, id: &str) -> Vec<PathBuf> {
        self.dataset.files(id)
    }

    fn problems(&self) -> &[Problem] {
        self.dataset.problems()
    }
}
