//! Images one after the other, or one read while another is predicted and a third is written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use anyhow::{anyhow, bail};
use sconce::data::ReadImage;
use sconce::engine::{Ensemble, PreparedImage, Segmentation};
use sconce::volume::{Grid, Image};

use super::files::Work;
use super::manifest::Made;

/// What becomes of images.
#[derive(Debug)]
pub(super) struct Pipeline<'a> {
    pub(super) networks: &'a Ensemble,
    pub(super) made: &'a Made,
    /// Whether memory has room for three images.
    pub(super) overlap: bool,
}

/// How far it has come: which image, and what share of it has been seen.
pub(super) type Seen<'a> = dyn FnMut(usize, f64) + 'a;

/// What became of an image: which one, and why it failed.
pub(super) type Done<'a> = dyn FnMut(usize, anyhow::Result<()>) + 'a;

struct Ready {
    image: Option<Image>,
    /// Where what is said is to lie.
    grid: Grid,
    prepared: PreparedImage,
}

struct Said {
    image: Option<Image>,
    grid: Grid,
    segmentation: Segmentation,
}

impl Pipeline<'_> {
    /// Predicts all images. One that fails does not cost the others.
    pub(super) fn run(&self, works: &[Work], seen: &mut Seen<'_>, done: &mut Done<'_>) {
        if !self.overlap || works.len() < 2 {
            for (at, work) in works.iter().enumerate() {
                let said = self.read(work).and_then(|ready| self.see(work, ready, at, seen));
                done(at, said.and_then(|said| self.write(work, said)));
            }
            return;
        }
        thread::scope(|scope| {
            // Nothing waits on the way: what is read is taken before the next is begun.
            let (to_networks, ready) = sync_channel(0);
            let (to_files, said) = sync_channel(0);
            let (to_all, outcomes) = channel();
            scope.spawn(move || {
                for (at, work) in works.iter().enumerate() {
                    if to_networks.send((at, self.read(work))).is_err() {
                        break;
                    }
                }
            });
            scope.spawn(move || {
                for (at, said) in said {
                    let said: anyhow::Result<Said> = said;
                    let outcome = said.and_then(|said| self.write(&works[at], said));
                    if to_all.send((at, outcome)).is_err() {
                        break;
                    }
                }
            });
            for (at, ready) in ready {
                let said = ready.and_then(|ready| self.see(&works[at], ready, at, seen));
                if to_files.send((at, said)).is_err() {
                    break;
                }
                for (at, outcome) in outcomes.try_iter() {
                    done(at, outcome);
                }
            }
            drop(to_files);
            for (at, outcome) in outcomes {
                done(at, outcome);
            }
        });
    }

    fn read(&self, work: &Work) -> anyhow::Result<Ready> {
        caught(|| self.read_image(work))
    }

    fn read_image(&self, work: &Work) -> anyhow::Result<Ready> {
        let ReadImage { image, grid } = work.case.read(self.networks.channels())?;
        if self.networks.rank() == 3 && image.grid.is_planar() {
            bail!(
                "the image is a single slice, and the network is for volumes; give the volume that the slice is of, or a \
                 network for slices"
            );
        }
        let prepared = self.networks.prepare(&image)?;
        Ok(Ready { image: work.needs_image().then_some(image), grid, prepared })
    }

    fn see(
        &self,
        work: &Work,
        ready: Ready,
        at: usize,
        seen: &mut Seen<'_>,
    ) -> anyhow::Result<Said> {
        let Ready { image, grid, prepared } = ready;
        let share = |tile: usize, tiles: usize| tile as f64 / tiles.max(1) as f64;
        let mut tick = |tile, tiles| seen(at, share(tile, tiles));
        let run = || Ok(self.networks.segment(&prepared, work.wanted(), &mut tick)?);
        let segmentation = caught(run)?;
        Ok(Said { image, grid, segmentation })
    }

    fn write(&self, work: &Work, said: Said) -> anyhow::Result<()> {
        let Said { image, grid, segmentation } = said;
        caught(|| work.write(self.networks, (image.as_ref(), &grid), segmentation, self.made))
    }
}

/// What `run` returns; a defect of this program that one image meets is not to cost the others.
fn caught<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(anyhow!(
            "a defect of this program: {}; please report it",
            said.unwrap_or("it does not say why")
        ))
    })
}
