//! How much memory a prediction will take.

use ndarray::Array4;
use nn::PreparedWeights;
use volume::Grid;

use super::{Ensemble, Predictor, Wanted};
use crate::memory::{PROGRAM, TAKEN, bytes, probes};
use crate::spare_memory::spare_memory;
use crate::{MemoryMeter, Result, resident_memory};

/// What an ensemble takes in memory for an image, in all that it does; of the machine, not of a GPU.
///
/// It is more than what was measured for images of many sizes, by a tenth to a half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionNeeds {
    /// What the program, its weights and the networks take at work, whatever the image, bytes.
    program: f64,
    /// While a file is read and made ready for the networks, bytes; part of it stays until they have seen it.
    reading: f64,
    /// While the networks look at it, bytes.
    seeing: f64,
    /// While the files of its prediction are written, bytes.
    writing: f64,
}

impl PredictionNeeds {
    /// Beside the program.
    fn most(&self) -> f64 {
        self.reading.max(self.seeing).max(self.writing)
    }

    /// One image after the other, each read, seen and written before the next is read, bytes.
    pub fn alone(&self) -> u64 {
        whole(self.program + self.most())
    }

    /// One image is read while the networks look at another, and a third is written, bytes.
    pub fn overlapping(&self) -> u64 {
        whole(self.program + self.reading + self.seeing + self.writing)
    }

    /// What is enough for both images.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            program: self.program.max(other.program),
            reading: self.reading.max(other.reading),
            seeing: self.seeing.max(other.seeing),
            writing: self.writing.max(other.writing),
        }
    }
}

/// With what lies between the blocks that are held.
fn whole(held: f64) -> u64 {
    PROGRAM + bytes(TAKEN * held)
}

/// Memory that a program can have: what it holds already, and what nobody uses, of the machine or of the container or cluster
/// job that it runs in, bytes.
pub fn available_memory() -> u64 {
    spare_memory() + resident_memory().unwrap_or(0)
}

/// What networks take at work, found out with small tiles.
#[derive(Clone, Copy, Debug)]
pub struct NetworkNeeds {
    /// What the program holds beside, and one tile, bytes.
    bytes: f64,
}

/// Bytes of a value in single precision.
const VALUE: f64 = 4.0;
/// Bytes of a voxel while a file is unpacked: the file's own voxels, and those in double precision where it is scaled.
const UNPACKED: f64 = 8.0;
/// Copies of the slices that a tile has: sums, those that no further tile changes, those that wait, and both as one.
const SLABS: f64 = 4.0;

impl Ensemble {
    /// Lets the networks look at two small tiles, and concludes what one tile takes; `meter` counts.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn probe(&self, meter: &dyn MemoryMeter, wanted: Wanted) -> Result<NetworkNeeds> {
        let before = meter.held() as f64;
        let mut most: f64 = 0.0;
        let mut forms = 0.0;
        for group in self.all_groups() {
            // What is made of the weights of all stays; that of one is in what its tile takes.
            let own = group.most_of_forms();
            most = most.max(group.probe(meter, wanted.disagreement)? - own);
            forms += own;
        }
        Ok(NetworkNeeds { bytes: before + forms + most.max(0.0) })
    }

    /// What an image takes whose file has `channels` channels on `grid`.
    ///
    /// `network` is what [`Ensemble::probe`] found; without it, a guess that is more than what any network of this program
    /// takes.
    pub fn needs(
        &self,
        grid: &Grid,
        channels: usize,
        wanted: Wanted,
        network: Option<NetworkNeeds>,
    ) -> PredictionNeeds {
        let voxels = |size: [usize; 3]| size.iter().map(|&extent| extent as f64).product::<f64>();
        let file = voxels(grid.size);
        let count = channels;
        let channels = channels as f64;
        let classes = self.config().interface.classes as f64;
        let apart = |group: &Predictor| group.outputs(wanted.disagreement) as f64;
        let (mut ready, mut preparing, mut slabs) = (0.0, 0.0_f64, 0.0);
        for group in &self.groups {
            let size = group.plan.network_size(grid);
            let patch = group.plan.patch_size;
            let padded: [usize; 3] = std::array::from_fn(|axis| size[axis].max(patch[axis]));
            let seen = group.config.interface.channels / (1 + 2 * group.plan.context);
            let own = VALUE * seen as f64 * voxels(size);
            // The copy that is turned and cut; what a channel is on the way to its grid.
            preparing =
                preparing.max(VALUE * channels * file + own + 2.0 * VALUE * voxels(size).max(file));
            let deep = if size == padded && group.plan.context == 0 { 1.0 } else { 2.0 };
            ready += deep * own;
            let slices = voxels([patch[0].min(padded[0]), padded[1], padded[2]]);
            slabs += VALUE * slices * (SLABS * apart(group) + 1.0);
        }
        let raw = VALUE * channels * file;
        let several = if channels > 1.0 { 2.0 } else { 1.0 };
        let maps = f64::from(u8::from(wanted.entropy)) + f64::from(u8::from(wanted.disagreement));
        let probabilities = if wanted.probabilities { VALUE * classes * file } else { 0.0 };
        let canvas = 2.0 * file + VALUE * maps * file + probabilities;
        // Where networks see slices that are not the same, the mean of all is held beside what one says.
        let turned = if self.sees_alike() {
            0.0
        } else {
            VALUE * classes * file * if wanted.probabilities { 1.0 } else { 2.0 }
        };
        let plane = VALUE * largest_plane(grid);
        let threads = rayon::current_num_threads() as f64;
        let planes = if wanted == Wanted::default() && self.speaks_in_logits() {
            5.0 * threads * plane
        } else {
            let classes = self.config().interface.classes;
            at_once(classes, largest_plane(grid)) as f64 * COPIES * classes as f64 * plane
        };
        let before = match &self.previous {
            Some(previous) => previous.needs(grid, count, Wanted::default(), network).most(),
            None => 0.0,
        };
        let tile = network.map_or_else(|| self.guess(), |found| found.bytes);
        PredictionNeeds {
            program: tile,
            reading: (raw * several + UNPACKED * file)
                .max(raw + preparing + ready)
                .max(raw + before),
            seeing: raw + ready + slabs + canvas + planes + turned,
            // Labels as they are written, masks of one class, and what is packed.
            writing: raw + canvas + 8.0 * file + probabilities,
        }
    }

    /// Whether all networks see an image turned and cut in one way, whatever the image.
    fn sees_alike(&self) -> bool {
        let way = |group: &Predictor| {
            (group.plan.canonical, group.plan.transpose, group.plan.crop_to_nonzero)
        };
        self.groups.iter().all(|group| way(group) == way(&self.groups[0]))
    }

    /// Whether labels need no probabilities.
    fn speaks_in_logits(&self) -> bool {
        self.groups.len() == 1 && self.thresholds.iter().all(Option::is_none)
    }

    /// More than what any network of this program takes for a tile, with what the program holds.
    fn guess(&self) -> f64 {
        let of_group = |group: &Predictor| {
            let patch: usize = group.plan.patch_size.iter().product();
            MOST_OF_VOXEL * (patch * group.tiles_at_once()) as f64
        };
        let forms: f64 = self.all_groups().map(Predictor::most_of_forms).sum();
        let held = resident_memory().unwrap_or(0) as f64;
        held + forms + self.all_groups().map(of_group).fold(0.0, f64::max)
    }

    /// Its networks, and those that speak first.
    fn all_groups(&self) -> impl Iterator<Item = &Predictor> {
        self.groups.iter().chain(self.previous.iter().flat_map(|previous| &previous.groups))
    }
}

/// How many slices of all classes are made at once: enough for all threads, but no more than a gigabyte.
pub(super) fn at_once(classes: usize, plane: f64) -> usize {
    let most = 1e9 / (COPIES * VALUE * classes as f64 * plane);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few slices")]
    let most = most as usize;
    most.clamp(1, 2 * rayon::current_num_threads())
}

/// Arrays of all classes while a slice becomes an answer.
const COPIES: f64 = 3.0;

/// Bytes for a voxel of a tile: more than 64 values that are held of it ten times.
const MOST_OF_VOXEL: f64 = 3000.0;
/// What is made of weights, and kept, as a share of them.
const FORMS: f64 = 3.6;

impl Predictor {
    /// What is made of its weights and kept, bytes, at most.
    fn most_of_forms(&self) -> f64 {
        FORMS * VALUE * self.parameters as f64
    }

    /// What the tiles take that are looked at together, bytes.
    fn probe(&self, meter: &dyn MemoryMeter, apart: bool) -> Result<f64> {
        let (plan, rank) = (&self.plan, self.config.interface.rank);
        let stride = self.models.iter().map(|member| member.model.stride());
        let stride: Vec<usize> = (0..rank)
            .map(|axis| stride.clone().map(|stride| stride[axis]).max().unwrap_or(1))
            .collect();
        let mut found = [(0.0, 0.0); 2];
        for ((_, size), found) in probes((1, plan.patch_size), &stride).into_iter().zip(&mut found)
        {
            let [d, h, w] = size;
            let channels = self.config.interface.channels / (1 + 2 * plan.context);
            let tile = Array4::<f32>::zeros((channels, d + 2 * plan.context, h, w));
            let before = meter.held();
            meter.set_back();
            // What is made of weights for small tiles is not kept.
            let weights = PreparedWeights::default();
            let run = || self.settings.precision.run(|| self.tile(&tile.view(), apart));
            let run = || weights.within(run);
            nn::step_scope(&self.device, run)?;
            let most = meter.most().saturating_sub(before) as f64;
            *found = ((d * h * w) as f64, most);
        }
        let [(small, least), (large, most)] = found;
        let patch: usize = plan.patch_size.iter().product();
        let of_voxel = (most - least).max(0.0) / (large - small).max(1.0);
        let one = most + of_voxel * (patch as f64 - large).max(0.0);
        Ok(one * self.tiles_at_once() as f64)
    }
}

/// Voxels of the largest slice, along any axis.
fn largest_plane(grid: &Grid) -> f64 {
    let [d, h, w] = grid.size;
    (d * h).max(d * w).max(h * w) as f64
}
