//! Whether memory has room for what is asked for, before anything is begun.

use anyhow::bail;
use sconce::engine::{Ensemble, MemoryMeter as _, PredictionNeeds, available_memory};
use sconce::volume::Grid;

use super::files::Work;
use crate::allocator::Meter;
use crate::memory_size::enough;
use crate::output::Usage;

/// What an image is, by its header, where that is an image that there can be: another will be refused by itself.
fn size(work: &Work) -> Option<Grid> {
    let grid = work.case.grid().ok()?;
    let voxels: f64 = grid.size.iter().map(|&extent| extent as f64).product();
    (voxels <= f64::from(u32::MAX)).then_some(grid)
}

/// What memory has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// For reading and writing while networks predict.
    pub(super) overlap: bool,
}

/// Compares what the images take with `limit`, or with what is free.
///
/// Sizes are those in the headers of files; an image whose header cannot be read will fail by itself, and takes nothing.
pub(super) fn plan(
    works: &[Work],
    networks: &Ensemble,
    limit: Option<u64>,
) -> anyhow::Result<Room> {
    let available = limit.unwrap_or_else(available_memory);
    let sizes: Vec<_> = works.iter().filter_map(|work| Some((work, size(work)?))).collect();
    let channels = networks.channels();
    let most = |network| {
        let needs = sizes
            .iter()
            .map(|(work, grid)| (networks.needs(grid, channels, work.wanted(), network), *work));
        let largest = |a: (PredictionNeeds, _), b: (PredictionNeeds, _)| {
            if b.0.alone() > a.0.alone() { b } else { a }
        };
        let all = needs.clone().map(|(needs, _)| needs).reduce(PredictionNeeds::max);
        needs.reduce(largest).zip(all)
    };
    // A guess that is more than any network takes costs nothing.
    let Some((_, all)) = most(None) else { return Ok(Room { overlap: true }) };
    if limit.is_none() && all.overlapping() <= available {
        return Ok(Room { overlap: true });
    }
    let wanted = works.first().map(Work::wanted).unwrap_or_default();
    let found = networks.probe(&Meter, wanted)?;
    Meter.set_back();
    let Some(((alone, work), all)) = most(Some(found)) else { return Ok(Room { overlap: true }) };
    if alone.alone() > available {
        // What the program holds besides is not the same to the byte each time.
        let (needed, id) = (enough(alone.alone() + alone.alone() / 32), &work.case.id);
        if limit.is_some() {
            let usage =
                format!("--memory is {}, but predicting {id} takes {needed}", enough(available));
            return Err(Usage(format!("{usage}; give --memory {needed} or more")).into());
        }
        bail!(
            "predicting {id} takes {needed}, and {} are free; end other programs, or give --memory {needed} to try \
             nevertheless",
            enough(available)
        );
    }
    Ok(Room { overlap: all.overlapping() <= available })
}
