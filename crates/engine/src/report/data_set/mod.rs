//! A data set as a page: what its cases are like, at a glance.

mod look;
mod page;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use data::{Dataset, Summary};

use self::look::{Looked, picture};
use crate::{LabelSpace, Provenance, Result};

/// Values of all cases together that the intensities of a channel are drawn with.
const VALUES: usize = 1 << 22;

/// A [`Summary`] and a page that shows it: sizes and spacings, pictures of `pictures` cases with their labels,
/// intensities of each channel, volumes of each class, and how far raters agree.
///
/// The page is one file, as [`html`](super::html) makes it. `observe` hears how many of how many cases are done,
/// from any thread; those that are shown are read twice.
///
/// # Errors
///
/// Where labels do not fit the data set's description. Cases that cannot be read are counted, as in
/// [`data::summary`].
pub fn data_set(
    dataset: &dyn Dataset,
    pictures: usize,
    provenance: &Provenance,
    observe: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Summary, String)> {
    let space = LabelSpace::of(dataset.description())?;
    // As many as a curve needs, and not more than memory has room for in a set of any size.
    let values = (VALUES / dataset.ids().len().max(1)).clamp(16, 400);
    let looked: Mutex<BTreeMap<String, Looked>> = Mutex::default();
    let summary = data::summary_with(
        dataset,
        &|case, voxels| {
            let found = Looked::at(case, voxels, dataset.description(), &space, values);
            let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
            looked.insert(case.id.clone(), found);
        },
        observe,
    );
    let looked = looked.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Vec::new();
    for id in spread(&looked, pictures) {
        // It could be read a moment ago.
        if let Ok(case) = dataset.read(id) {
            shown.push(picture(&case, dataset.description(), &space)?);
        }
    }
    let page = page::page(&summary, &looked, &shown, provenance);
    Ok((summary, page))
}

/// So many cases from first to last, rather of those that have foreground.
fn spread(looked: &BTreeMap<String, Looked>, count: usize) -> Vec<&String> {
    let full: Vec<&String> =
        looked.iter().filter(|(_, found)| found.has_foreground()).map(|(id, _)| id).collect();
    let ids = if full.is_empty() { looked.keys().collect() } else { full };
    let count = count.min(ids.len());
    (0..count).map(|index| ids[index * ids.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_are_shown_are_spread_over_the_set() {
        let with = |volume: f64| Looked { volumes: vec![9.0, volume], ..Looked::default() };
        let mut looked: BTreeMap<String, Looked> =
            (0..10).map(|index| (format!("{index}"), with(1.0))).collect();

        assert_eq!(spread(&looked, 3), ["0", "3", "6"]);
        assert_eq!(spread(&looked, 99).len(), 10);
        for index in ["0", "1", "2"] {
            looked.insert(index.to_owned(), with(0.0));
        }
        assert_eq!(spread(&looked, 2), ["3", "6"]);
        for found in looked.values_mut() {
            found.volumes[1] = 0.0;
        }
        assert_eq!(spread(&looked, 2), ["0", "5"]);
    }
}
