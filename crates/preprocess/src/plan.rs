use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Allotted, Budget, MIN_EDGE, voxels};
use crate::fingerprint::{CaseFingerprint, Fingerprint};
use crate::grid_rule::GridRule;
use crate::normalize::{Normalize, NormalizeScheme};
use crate::resample::new_size;
use crate::spline::Interpolation;
use crate::topology::{Topology, topology};
use crate::{Error, Preset, Result};

/// Everything about the data that is decided before training: the file `plan.json` of a model.
///
/// "Axes of the network" are those of the prepared array: the file's axes, turned to S, A and R if
/// `canonical`, and permuted by `transpose`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The version of this format: 1.
    pub schema: u32,
    /// 3 for volumes, 2 for slices and photographs.
    pub rank: usize,
    /// Whether images are turned first so that their axes run nearest to S, A and R.
    pub canonical: bool,
    /// Axis `i` of the network is axis `transpose[i]` of the turned image; slices are taken along
    /// the first.
    pub transpose: [usize; 3],
    /// Whether an empty margin is cut off.
    pub crop_to_nonzero: bool,
    /// How each channel is normalised, with the statistics that it takes.
    pub normalize: Vec<Normalize>,
    /// Whether images are brought to `spacing`; else they keep their own.
    pub resample: bool,
    /// Spacing along the axes of the network, mm. At rank 2, an image keeps its own along the
    /// first axis.
    pub spacing: [f64; 3],
    /// How intensities are interpolated; across thick slices, those of the nearest are taken.
    pub interpolation: Interpolation,
    /// When images are resampled, and where the voxels of the new grid lie.
    #[serde(default, skip_serializing_if = "GridRule::is_nnunet")]
    pub grid: GridRule,
    /// Median size of the resampled cases of the training set, voxels.
    pub median_size: [f64; 3],
    /// What the network sees at once, voxels; the first extent is 1 at rank 2.
    pub patch_size: [usize; 3],
    /// So many slices on either side are channels, too, of what a network for slices sees (2.5D); 0 at rank 3.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context: usize,
    /// How many patches nnU-Net would put into a batch.
    pub batch_size: usize,
}

/// The table `[preprocess]` of a run file: what a plan is to be, where the data are not to decide.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanConfig {
    /// A file of plans in nnU-Net's format, as `sconce dataset plan` and nnU-Net write them: they say all
    /// that the other settings say, and nothing else may be set but `configuration`.
    pub plans: Option<PathBuf>,
    /// Which configuration of `plans`; absent, `3d_fullres`.
    pub configuration: Option<String>,
    /// 2 or 3; absent, 2 where the median image is a single slice, in whatever plane.
    pub rank: Option<usize>,
    /// Spacing along the axes of the network, mm, z y x; absent, the median of the data set.
    pub spacing: Option<[f64; 3]>,
    /// Patch, voxels, z y x, enlarged to what a U-Net can halve; its first extent is 1 at rank 2.
    /// Absent, as large as `memory` allows.
    pub patch_size: Option<[usize; 3]>,
    /// At rank 2, so many slices on either side that the network sees as further channels (2.5D); absent, none.
    pub context: Option<usize>,
    /// One scheme for all channels, or one for each; absent, by the channels' names.
    pub normalize: Option<Vec<NormalizeScheme>>,
    /// Whether to bring images to one spacing; absent, yes.
    pub resample: Option<bool>,
    /// Whether to turn images to S, A and R; absent, yes.
    pub canonical: Option<bool>,
    /// Permutation of the turned axes; absent, that of single or thick slices first.
    pub transpose: Option<[usize; 3]>,
    /// Whether to cut off an empty margin; absent, yes.
    pub crop_to_nonzero: Option<bool>,
    /// How to interpolate intensities; absent, by cubic splines.
    pub interpolation: Option<Interpolation>,
    /// The network that patch and batch are planned for; absent, `plain`.
    pub preset: Option<Preset>,
    /// Memory that patch and batch are planned for, GB, as nnU-Net counts it; absent, what the preset is
    /// made for.
    pub memory: Option<f64>,
}

impl Plan {
    /// The version of the format that is written.
    pub const SCHEMA: u32 = 1;

    /// Makes a plan for a data set by nnU-Net's rules, where `config` leaves the choice.
    ///
    /// `channels` are the names of the channels, which choose the normalisation.
    ///
    /// # Source
    ///
    /// Isensee et al., *nnU-Net*, Nature Methods 18, 2021; rules of nnU-Net v2's
    /// `ExperimentPlanner`.
    ///
    /// # Errors
    ///
    /// [`Error::NoCases`]; [`Error::Channels`], where a case has other channels;
    /// [`Error::NoForeground`], where a CT channel has no labelled voxel to take statistics from;
    /// [`Error::Settings`], where the settings make no sense.
    pub fn new(
        config: &PlanConfig,
        fingerprint: &Fingerprint,
        channels: &[String],
    ) -> Result<Self> {
        let cases = fingerprint.cases();
        if cases.is_empty() {
            return Err(Error::NoCases);
        }
        let expected = channels.len();
        if let Some(case) = cases.iter().find(|case| case.channels != expected) {
            return Err(Error::Channels { expected, actual: case.channels });
        }
        config.check(expected)?;

        let canonical = config.canonical.unwrap_or(true);
        let turned: Vec<([usize; 3], [f64; 3])> =
            cases.iter().map(|case| seen(case, canonical)).collect();
        let natural = target_spacing(&turned);
        let across =
            (0..3).find(|&axis| median(turned.iter().map(|(size, _)| size[axis] as f64)) <= 1.0);
        let rank = config.rank.unwrap_or(if across.is_some() { 2 } else { 3 });
        let transpose =
            config.transpose.unwrap_or_else(|| across.map_or_else(|| coarse_first(natural), first));
        let permuted = |each: [f64; 3]| transpose.map(|axis| each[axis]);
        let spacing = config.spacing.unwrap_or(permuted(natural));
        let resample = config.resample.unwrap_or(true);
        let sizes: Vec<[usize; 3]> = turned
            .iter()
            .map(|&(size, own)| {
                let size = transpose.map(|axis| size[axis]);
                let own = permuted(own);
                let target = if rank == 2 { [own[0], spacing[1], spacing[2]] } else { spacing };
                if resample { new_size(size, own, target) } else { size }
            })
            .collect();
        let median_size =
            std::array::from_fn(|axis| median(sizes.iter().map(|size| size[axis] as f64)));

        let outputs = cases.iter().map(|case| case.classes).max().unwrap_or(0).max(2);
        let data = median_size.iter().product::<f64>() * cases.len() as f64;
        let preset = config.preset.unwrap_or_default();
        let memory = config.memory.unwrap_or(preset.memory());
        let budget = Budget { rank, spacing, median_size, outputs, data, preset, memory };
        let (patch_size, batch_size) = match config.patch_size {
            None => {
                let Allotted { patch_size, batch_size, .. } = budget.plan();
                (patch_size, batch_size)
            }
            Some(patch) => (topology(spacing, patch, MIN_EDGE).patch_size, 2),
        };
        check_patch(patch_size, rank)?;
        let context = config.context.unwrap_or(0);
        if rank == 3 && context > 0 {
            return Err(no_context());
        }
        Ok(Self {
            schema: Self::SCHEMA,
            rank,
            canonical,
            transpose,
            crop_to_nonzero: config.crop_to_nonzero.unwrap_or(true),
            normalize: normalizers(config, fingerprint, channels)?,
            resample,
            spacing,
            interpolation: config.interpolation.unwrap_or(Interpolation::Cubic),
            grid: GridRule::Nnunet,
            median_size,
            patch_size,
            context,
            batch_size,
        })
    }

    /// What a patch has of a case, voxels: [`Plan::patch_size`] and, at rank 2, the slices on either side.
    pub fn seen_size(&self) -> [usize; 3] {
        let [slices, height, width] = self.patch_size;
        [slices + 2 * self.context, height, width]
    }

    /// Channels that the network sees of an image of so many: each slice of each channel.
    pub fn network_channels(&self, channels: usize) -> usize {
        channels * (1 + 2 * self.context)
    }

    /// Where a U-Net for this plan halves its feature maps.
    pub fn topology(&self) -> Topology {
        topology(self.spacing, self.patch_size, MIN_EDGE)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// More slices than this on either side are a volume.
const MOST_CONTEXT: usize = 32;

fn no_context() -> Error {
    Error::Settings(
        "preprocess.context is for networks that see slices, and this one sees volumes; set \
         preprocess.rank = 2, or remove it"
            .to_owned(),
    )
}

/// That a patch is a slice at rank 2, and a volume at rank 3.
fn check_patch(patch_size: [usize; 3], rank: usize) -> Result<()> {
    if (rank == 2) == (patch_size[0] == 1) {
        return Ok(());
    }
    Err(Error::Settings(format!(
        "a patch of {patch_size:?} voxels does not suit rank {rank}: its first extent is 1 at rank \
         2, and more at rank 3; change preprocess.patch_size or preprocess.rank"
    )))
}

impl PlanConfig {
    /// The name of the configuration of [`Self::plans`].
    pub fn configuration(&self) -> &str {
        self.configuration.as_deref().unwrap_or("3d_fullres")
    }

    /// That the settings make sense for images of so many channels, whatever else the data are.
    /// [`Plan::new`] checks it, too; here it costs nothing, before the first case is read.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], which names the setting.
    pub fn check(&self, channels: usize) -> Result<()> {
        let refuse = |text: String| Err(Error::Settings(text));
        let alone = Self {
            plans: self.plans.clone(),
            configuration: self.configuration.clone(),
            ..Self::default()
        };
        if self.plans.is_some() && *self != alone {
            return refuse(
                "preprocess.plans says all of [preprocess]; remove its other settings but \
                 configuration, or plans"
                    .to_owned(),
            );
        }
        if self.plans.is_none() && self.configuration.is_some() {
            return refuse(
                "preprocess.configuration is one of preprocess.plans, which is not set".to_owned(),
            );
        }
        if let Some(rank) = self.rank.filter(|rank| !(2..=3).contains(rank)) {
            return refuse(format!("preprocess.rank is {rank}; use 2 for slices, 3 for volumes"));
        }
        let positive = |mm: &f64| mm.is_finite() && *mm > 0.0;
        if let Some(spacing) = self.spacing.filter(|spacing| !spacing.iter().all(positive)) {
            return refuse(format!("preprocess.spacing is {spacing:?} mm; use positive numbers"));
        }
        if let Some(patch) = self.patch_size.filter(|patch| patch.contains(&0)) {
            return refuse(format!("preprocess.patch_size is {patch:?} voxels; use at least 1"));
        }
        if let Some(patch) = self.patch_size.filter(|&patch| voxels(patch).is_none()) {
            return refuse(format!(
                "preprocess.patch_size is {patch:?}, more than 2^32 voxels; use a smaller patch"
            ));
        }
        if let (Some(patch), Some(rank)) = (self.patch_size, self.rank) {
            check_patch(patch, rank)?;
        }
        if self.context.is_some_and(|context| context > 0) && self.rank == Some(3) {
            return Err(no_context());
        }
        if let Some(context) = self.context.filter(|&context| context > MOST_CONTEXT) {
            return refuse(format!(
                "preprocess.context is {context} slices on either side; use at most {MOST_CONTEXT}, or \
                 preprocess.rank = 3"
            ));
        }
        if let Some(memory) = self.memory.filter(|memory| !positive(memory)) {
            return refuse(format!("preprocess.memory is {memory} GB; use a positive number"));
        }
        let is_permutation = |axes: &[usize; 3]| (0..3).all(|axis| axes.contains(&axis));
        if let Some(axes) = self.transpose.filter(|axes| !is_permutation(axes)) {
            return refuse(format!("preprocess.transpose is {axes:?}; use 0, 1 and 2 once each"));
        }
        match self.normalize.as_ref().map(Vec::len) {
            Some(schemes) if schemes != 1 && schemes != channels => refuse(format!(
                "preprocess.normalize lists {schemes} schemes for {channels} channels; use one for \
                 all, or one for each"
            )),
            _ => Ok(()),
        }
    }
}

/// Size and spacing of a case along the axes on which plans are made.
fn seen(case: &CaseFingerprint, canonical: bool) -> ([usize; 3], [f64; 3]) {
    if canonical {
        (case.orientation.turn(case.size), case.orientation.turn(case.spacing))
    } else {
        (case.size, case.spacing)
    }
}

/// The median spacing; where slices are thick and few, the thin end of theirs.
pub(crate) fn target_spacing(cases: &[([usize; 3], [f64; 3])]) -> [f64; 3] {
    const ANISOTROPY: f64 = 3.0;
    let spacings = |axis: usize| cases.iter().map(move |(_, spacing)| spacing[axis]);
    let mut target: [f64; 3] = std::array::from_fn(|axis| median(spacings(axis)));
    let size: [f64; 3] =
        std::array::from_fn(|axis| median(cases.iter().map(|(size, _)| size[axis] as f64)));
    let coarse = coarse_first(target)[0];
    let others = (0..3).filter(|&axis| axis != coarse);
    let coarsest_other = others.clone().map(|axis| target[axis]).fold(0.0, f64::max);
    let shortest_other = others.map(|axis| size[axis]).fold(f64::INFINITY, f64::min);
    if target[coarse] > ANISOTROPY * coarsest_other && size[coarse] * ANISOTROPY < shortest_other {
        let thin = percentile(spacings(coarse), 0.1);
        // Not thinner than the other axes.
        target[coarse] = if thin < coarsest_other { coarsest_other + 1e-5 } else { thin };
    }
    target
}

/// The axis of the largest spacing, then the others in their order. Spacings that differ by less
/// than a thousandth are the same.
fn coarse_first(spacing: [f64; 3]) -> [usize; 3] {
    let mut coarsest = 0;
    for axis in 1..3 {
        if spacing[axis] > spacing[coarsest] * 1.001 {
            coarsest = axis;
        }
    }
    first(coarsest)
}

/// This axis, then the others in their order.
fn first(axis: usize) -> [usize; 3] {
    match axis {
        0 => [0, 1, 2],
        1 => [1, 0, 2],
        _ => [2, 0, 1],
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(values, 0.5)
}

/// The value at a share `q` of the way from the smallest to the largest, by rank.
fn percentile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = q * last as f64;
    let low = crate::real::index(position.floor());
    let high = sorted[(low + 1).min(last)];
    sorted[low] + (high - sorted[low]) * position.fract()
}

fn normalizers(
    config: &PlanConfig,
    fingerprint: &Fingerprint,
    channels: &[String],
) -> Result<Vec<Normalize>> {
    let masked = median(fingerprint.cases().iter().map(|case| case.kept)) < 0.75;
    let of = |(channel, name): (usize, &String)| {
        let scheme = match config.normalize.as_deref() {
            Some([all]) => *all,
            Some(each) => each[channel],
            None => NormalizeScheme::for_channel(name, masked),
        };
        Ok(match scheme {
            NormalizeScheme::Ct => {
                let foreground = fingerprint.foreground(channel);
                let found =
                    foreground.ok_or_else(|| Error::NoForeground { channel: name.clone() })?;
                let (lower, upper) = (found.quantile(0.005), found.quantile(0.995));
                Normalize::Ct { mean: found.mean, std: found.std, lower, upper }
            }
            NormalizeScheme::ZScore => Normalize::ZScore { masked: false },
            NormalizeScheme::ZScoreMasked => Normalize::ZScore { masked: true },
            NormalizeScheme::RescaleTo01 => Normalize::RescaleTo01,
            NormalizeScheme::RgbTo01 => Normalize::RgbTo01,
            NormalizeScheme::None => Normalize::None,
        })
    };
    channels.iter().enumerate().map(of).collect()
}
