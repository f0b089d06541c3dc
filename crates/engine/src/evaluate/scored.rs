//! The classes that are scored.

use std::collections::BTreeSet;

use data::Class;
use metrics::{Froc, Reliability};
use serde::{Deserialize, Serialize};

use super::score::MEAN;
use crate::Result;
use crate::label_space::foreground_labels;

/// A class that is scored, and what is pooled of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Scored {
    pub(super) name: String,
    /// The label values that it consists of.
    pub(super) values: Vec<u16>,
    /// Its place among the channels of probabilities.
    pub(super) channel: usize,
    /// Its probabilities in all cases.
    pub(super) table: Option<Reliability>,
    pub(super) froc: Froc,
}

impl Scored {
    /// The same class, of no case.
    pub(super) fn fresh(&self) -> Self {
        let (name, values) = (self.name.clone(), self.values.clone());
        Self { name, values, channel: self.channel, table: None, froc: Froc::default() }
    }

    /// Adds what was pooled of other cases.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(table) = &other.table {
            self.add_table(table)?;
        }
        self.froc.merge(other.froc);
        Ok(())
    }

    /// Adds the probabilities of a case.
    pub(super) fn add_table(&mut self, table: &Reliability) -> Result<()> {
        match &mut self.table {
            Some(sum) => sum.merge(table)?,
            None => self.table = Some(table.clone()),
        }
        Ok(())
    }
}

/// Labels, name and channel of each class but the background.
pub(super) fn foreground(classes: &[Class], regions: bool) -> Vec<(Vec<u16>, String, usize)> {
    let names = classes.iter().skip(1).map(|class| class.name.clone());
    let first = usize::from(!regions);
    let foreground = foreground_labels(classes, regions).into_iter().zip(names).zip(first..);
    foreground.map(|((values, name), channel)| (values, name, channel)).collect()
}

/// The classes with names that differ from each other, and from what their mean is called.
pub(super) fn told_apart(classes: Vec<(Vec<u16>, String, usize)>) -> Vec<Scored> {
    let mut taken = BTreeSet::from([MEAN.to_owned()]);
    let different = |(at, (values, mut name, channel)): (usize, (Vec<u16>, String, usize))| {
        while !taken.insert(name.clone()) {
            name = format!("{name} (class {})", at + 1);
        }
        Scored { name, values, channel, table: None, froc: Froc::default() }
    };
    classes.into_iter().enumerate().map(different).collect()
}
