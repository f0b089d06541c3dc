use std::array;
use std::collections::BTreeMap;

use super::{
    ActivationSettings, Architecture, ArchitectureSettings, Configuration, ForegroundIntensities,
    NormSettings, Plans, ResamplingSettings,
};
use crate::budget::{Allotted, Budget, MIN_EDGE};
use crate::fingerprint::Fingerprint;
use crate::normalize::NormalizeScheme;
use crate::plan::{median, target_spacing};
use crate::resample::new_size;
use crate::topology::topology;
use crate::{Error, Preset, Result};

/// What nnU-Net's planning depends on, besides the data.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanningConfig {
    /// The name of the data set.
    pub dataset: String,
    /// The names of the channels.
    pub channels: Vec<String>,
    /// How many labels or regions the data set has, with background and the label to ignore.
    pub labels: usize,
    /// The network.
    pub preset: Preset,
    /// Memory of the device, GB, as nnU-Net counts it.
    pub memory: f64,
    /// How nnU-Net reads the images.
    pub reader: Reader,
}

/// nnU-Net's classes that read images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// `SimpleITKIO`: NIfTI, NRRD and MetaImage.
    SimpleItk,
    /// `NaturalImage2DIO`: PNG, BMP and other pictures, which have no spacing across.
    NaturalImage2d,
    /// `Tiff3DIO`: stacks.
    Tiff3d,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::SimpleItk => "SimpleITKIO",
            Self::NaturalImage2d => "NaturalImage2DIO",
            Self::Tiff3d => "Tiff3DIO",
        }
    }
}

/// What is planned, and what led to it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plans.
    pub plans: Plans,
    pub(super) config: PlanningConfig,
    pub(super) cases: usize,
    /// The share of images that is left without empty margins.
    pub(super) kept: f64,
    /// Whether the coarsest axis was given the spacing of its finer cases.
    pub(super) refined: bool,
    /// What decided on patches and batches, by configuration.
    pub(super) allotted: BTreeMap<String, Allotted>,
}

/// The spacing that nnU-Net gives images that have none across.
const ACROSS: f64 = 999.0;

/// nnU-Net's plans for a data set: 2D, and for volumes 3D at full and, where patches would see too
/// little of an image, at lower resolution.
///
/// Axes are those of the files' arrays, as nnU-Net's `SimpleITKIO`, `NaturalImage2DIO` and `Tiff3DIO` read them:
/// images are not turned.
///
/// # Source
///
/// `ExperimentPlanner` and `ResEncUNetPlanner` of nnU-Net 2.8.
///
/// # Errors
///
/// [`Error::NoCases`]; [`Error::Channels`], where a case has other channels;
/// [`Error::Settings`], where the memory is no positive number.
pub fn plan_networks(config: PlanningConfig, fingerprint: &Fingerprint) -> Result<Planned> {
    let cases = fingerprint.cases();
    let expected = config.channels.len();
    if cases.is_empty() {
        return Err(Error::NoCases);
    }
    if let Some(case) = cases.iter().find(|case| case.channels != expected) {
        return Err(Error::Channels { expected, actual: case.channels });
    }
    if !(config.memory.is_finite() && config.memory > 0.0) {
        let text = format!("a memory of {} GB; use a positive number", config.memory);
        return Err(Error::Settings(text));
    }
    let across = |spacing: [f64; 3]| match config.reader {
        Reader::NaturalImage2d => [ACROSS, spacing[1], spacing[2]],
        _ => spacing,
    };
    let seen: Vec<([usize; 3], [f64; 3])> =
        cases.iter().map(|case| (case.size, across(case.spacing))).collect();
    let target = target_spacing(&seen);
    let middle: [f64; 3] =
        array::from_fn(|axis| median(seen.iter().map(|(_, spacing)| spacing[axis])));
    let transpose = coarsest_first(target);
    let permuted = |each: [f64; 3]| transpose.map(|axis| each[axis]);
    let resampled: Vec<[usize; 3]> =
        seen.iter().map(|&(size, spacing)| new_size(size, spacing, target)).collect();
    let of_sizes = |sizes: &[[usize; 3]]| -> [f64; 3] {
        permuted(array::from_fn(|axis| median(sizes.iter().map(|size| size[axis] as f64))))
    };
    let size = of_sizes(&resampled);
    let kept = median(cases.iter().map(|case| case.kept));
    let planner = Planner { config: &config, masked: kept < 0.75, cases: cases.len() as f64 };
    let mut configurations = BTreeMap::new();
    let mut allotted = BTreeMap::new();
    for (name, configuration, decided) in planner.configurations(permuted(target), size) {
        configurations.insert(name.to_owned(), configuration);
        allotted.extend(decided.map(|decided| (name.to_owned(), decided)));
    }

    let original: Vec<[usize; 3]> = seen.iter().map(|&(size, _)| size).collect();
    let plans = Plans {
        dataset_name: config.dataset.clone(),
        plans_name: plans_name(config.preset).to_owned(),
        original_median_spacing_after_transp: permuted(middle),
        original_median_shape_after_transp: of_sizes(&original).map(rounded),
        image_reader_writer: config.reader.name().to_owned(),
        transpose_forward: transpose,
        transpose_backward: inverse(transpose),
        configurations,
        experiment_planner_used: planner_name(config.preset).to_owned(),
        label_manager: "LabelManager".to_owned(),
        foreground_intensity_properties_per_channel: intensities(fingerprint, expected),
    };
    let refined = target.iter().zip(middle).any(|(target, middle)| *target < middle);
    Ok(Planned { plans, cases: cases.len(), kept, refined, allotted, config })
}

/// A configuration, its name, and what decided on its patch and batch.
type Entry = (&'static str, Configuration, Option<Allotted>);

/// What the configurations of a data set share.
struct Planner<'a> {
    config: &'a PlanningConfig,
    masked: bool,
    cases: f64,
}

impl Planner<'_> {
    fn configurations(&self, spacing: [f64; 3], size: [f64; 3]) -> Vec<Entry> {
        let voxels = size.iter().product::<f64>();
        let (mut flat, decided) = self.configuration("2d", spacing, size, voxels);
        flat.batch_dice = Some(true);
        let mut all = vec![("2d", flat, Some(decided))];
        #[expect(clippy::float_cmp, reason = "a median of whole numbers")]
        if size[0] == 1.0 {
            return all;
        }
        let (mut full, decided) = self.configuration("3d_fullres", spacing, size, voxels);
        let low = self.low_resolution(&full, spacing, size);
        full.batch_dice = Some(low.is_some());
        all.push(("3d_fullres", full, Some(decided)));
        if let Some((mut low, decided)) = low {
            low.batch_dice = Some(false);
            low.next_stage = Some("3d_cascade_fullres".to_owned());
            all.push(("3d_lowres", low, Some(decided)));
            let cascade = Configuration {
                inherits_from: Some("3d_fullres".to_owned()),
                previous_stage: Some("3d_lowres".to_owned()),
                ..Configuration::default()
            };
            all.push(("3d_cascade_fullres", cascade, None));
        }
        all
    }

    /// Where a patch sees less than a quarter of an image: the finest resolution at which it does not,
    /// unless that is nearly the full one.
    fn low_resolution(
        &self,
        full: &Configuration,
        spacing: [f64; 3],
        size: [f64; 3],
    ) -> Option<(Configuration, Allotted)> {
        const LEAST_SEEN: f64 = 0.25;
        const STEP: f64 = 1.03;
        let seen = |configuration: &Configuration| -> f64 {
            configuration.patch_size.iter().flatten().map(|&voxels| voxels as f64).product()
        };
        let whole = size.iter().product::<f64>();
        let (mut patch, mut voxels) = (seen(full), whole);
        let mut coarse = spacing;
        let mut found = None;
        while patch / voxels < LEAST_SEEN {
            let most = coarse.into_iter().fold(0.0, f64::max);
            let lags = coarse.map(|mm| most / mm > 2.0);
            let all = !lags.contains(&true);
            for (mm, lags) in coarse.iter_mut().zip(lags) {
                if all || lags {
                    *mm *= STEP;
                }
            }
            let shrunk: [f64; 3] = array::from_fn(|axis| spacing[axis] / coarse[axis] * size[axis]);
            voxels = shrunk.iter().product();
            let shrunk = shrunk.map(f64::round_ties_even);
            let low = self.configuration("3d_lowres", coarse, shrunk, voxels);
            patch = seen(&low.0);
            found = Some(low);
        }
        found.filter(|_| whole / voxels >= 2.0)
    }

    /// A configuration for images of that size, of which all cases have `voxels` on average.
    fn configuration(
        &self,
        name: &str,
        spacing: [f64; 3],
        size: [f64; 3],
        voxels: f64,
    ) -> (Configuration, Allotted) {
        let PlanningConfig { channels, labels, preset, memory, .. } = self.config;
        let (preset, rank) = (*preset, if name == "2d" { 2 } else { 3 });
        let data = voxels * self.cases;
        let budget = Budget {
            rank,
            spacing,
            median_size: size,
            outputs: *labels,
            data,
            preset,
            memory: *memory,
        };
        let allotted = budget.plan();
        let Allotted { patch_size: patch, batch_size, .. } = allotted;
        let first = 3 - rank;
        let resampling = |is_seg, order| {
            Some(ResamplingSettings { is_seg, order, order_z: 0, force_separate_z: None })
        };
        let function = || Some("resample_data_or_seg_to_shape".to_owned());
        let schemes: Vec<NormalizeScheme> =
            channels.iter().map(|name| NormalizeScheme::for_channel(name, self.masked)).collect();
        let configuration = Configuration {
            // Residual networks read what was prepared for the plain one, where that is the same.
            data_identifier: Some(match (preset, name) {
                (Preset::Plain, _) | (_, "2d" | "3d_fullres") => format!("nnUNetPlans_{name}"),
                _ => format!("{}_{name}", plans_name(preset)),
            }),
            preprocessor_name: Some("DefaultPreprocessor".to_owned()),
            batch_size: Some(batch_size),
            patch_size: Some(patch[first..].to_vec()),
            median_image_size_in_voxels: Some(size[first..].to_vec()),
            spacing: Some(spacing[first..].to_vec()),
            normalization_schemes: Some(
                schemes.iter().map(|scheme| scheme_name(*scheme).to_owned()).collect(),
            ),
            use_mask_for_norm: Some(
                schemes.iter().map(|scheme| *scheme == NormalizeScheme::ZScoreMasked).collect(),
            ),
            resampling_fn_data: function(),
            resampling_fn_seg: function(),
            resampling_fn_data_kwargs: resampling(false, 3),
            resampling_fn_seg_kwargs: resampling(true, 1),
            resampling_fn_probabilities: function(),
            resampling_fn_probabilities_kwargs: resampling(false, 1),
            architecture: Some(architecture(preset, rank, spacing, patch)),
            ..Configuration::default()
        };
        (configuration, allotted)
    }
}

fn architecture(preset: Preset, rank: usize, spacing: [f64; 3], patch: [usize; 3]) -> Architecture {
    let found = topology(spacing, patch, MIN_EDGE);
    let stages = found.strides.len();
    let axes = |all: &[[usize; 3]]| -> Vec<Vec<usize>> {
        all.iter().map(|axes| axes[3 - rank..].to_vec()).collect()
    };
    let down = (0..stages).map(|stage| preset.down(stage)).collect();
    let (n_conv_per_stage, n_blocks_per_stage, class) = if preset.is_residual() {
        (None, Some(down), "ResidualEncoderUNet")
    } else {
        (Some(down), None, "PlainConvUNet")
    };
    Architecture {
        network_class_name: format!("dynamic_network_architectures.architectures.unet.{class}"),
        arch_kwargs: ArchitectureSettings {
            n_stages: stages,
            features_per_stage: (0..stages).map(|stage| Preset::features(stage, rank)).collect(),
            conv_op: format!("torch.nn.modules.conv.Conv{rank}d"),
            kernel_sizes: axes(&found.kernel_sizes),
            strides: axes(&found.strides),
            n_conv_per_stage,
            n_blocks_per_stage,
            n_conv_per_stage_decoder: vec![preset.up(); stages - 1],
            conv_bias: true,
            norm_op: format!("torch.nn.modules.instancenorm.InstanceNorm{rank}d"),
            norm_op_kwargs: NormSettings { eps: 1e-5, affine: true },
            dropout_op: None,
            dropout_op_kwargs: None,
            nonlin: "torch.nn.LeakyReLU".to_owned(),
            nonlin_kwargs: ActivationSettings { negative_slope: None, inplace: true },
        },
        kw_requires_import: ["conv_op", "norm_op", "dropout_op", "nonlin"]
            .map(str::to_owned)
            .to_vec(),
    }
}

fn intensities(
    fingerprint: &Fingerprint,
    channels: usize,
) -> BTreeMap<String, ForegroundIntensities> {
    let of = |channel: usize| {
        let found = fingerprint.foreground(channel)?;
        Some((
            channel.to_string(),
            ForegroundIntensities {
                max: found.max.into(),
                mean: found.mean,
                median: found.quantile(0.5),
                min: found.min.into(),
                percentile_00_5: found.quantile(0.005),
                percentile_99_5: found.quantile(0.995),
                std: found.std,
            },
        ))
    };
    (0..channels).filter_map(of).collect()
}

/// The first of the coarsest axes, then the others in their order.
fn coarsest_first(spacing: [f64; 3]) -> [usize; 3] {
    let mut coarsest = 0;
    for axis in 1..3 {
        if spacing[axis] > spacing[coarsest] {
            coarsest = axis;
        }
    }
    match coarsest {
        0 => [0, 1, 2],
        1 => [1, 0, 2],
        _ => [2, 0, 1],
    }
}

fn inverse(axes: [usize; 3]) -> [usize; 3] {
    let mut back = [0; 3];
    for (to, from) in axes.into_iter().enumerate() {
        back[from] = to;
    }
    back
}

fn rounded(value: f64) -> usize {
    crate::real::index(value.round_ties_even())
}

fn scheme_name(scheme: NormalizeScheme) -> &'static str {
    match scheme {
        NormalizeScheme::Ct => "CTNormalization",
        NormalizeScheme::ZScore | NormalizeScheme::ZScoreMasked => "ZScoreNormalization",
        NormalizeScheme::RescaleTo01 => "RescaleTo01Normalization",
        NormalizeScheme::RgbTo01 => "RGBTo01Normalization",
        NormalizeScheme::None => "NoNormalization",
    }
}

fn plans_name(preset: Preset) -> &'static str {
    match preset {
        Preset::Plain => "nnUNetPlans",
        Preset::ResencM => "nnUNetResEncUNetMPlans",
        Preset::ResencL => "nnUNetResEncUNetLPlans",
        Preset::ResencXl => "nnUNetResEncUNetXLPlans",
    }
}

fn planner_name(preset: Preset) -> &'static str {
    match preset {
        Preset::Plain => "ExperimentPlanner",
        Preset::ResencM => "nnUNetPlannerResEncM",
        Preset::ResencL => "nnUNetPlannerResEncL",
        Preset::ResencXl => "nnUNetPlannerResEncXL",
    }
}
