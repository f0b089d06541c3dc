//! Plans in nnU-Net's own format, so that either system can use what the other has planned.

mod explain;
mod legacy;
mod planner;
mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::legacy::LegacyArchitecture;
pub use self::planner::{Planned, PlanningConfig, Reader, plan_networks};
pub use self::read::Stages;

/// The file `nnUNetPlans.json` of nnU-Net v2.
///
/// # Source
///
/// `ExperimentPlanner.plan_experiment` of nnU-Net 2.8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plans {
    /// The data set, `Dataset004_Hippocampus` for instance.
    pub dataset_name: String,
    /// What the plans are called, `nnUNetPlans` for instance.
    pub plans_name: String,
    /// Median spacing of the training cases, mm, along the axes of the network.
    pub original_median_spacing_after_transp: [f64; 3],
    /// Median size of the training cases without empty margins, voxels, along the axes of the network.
    pub original_median_shape_after_transp: [usize; 3],
    /// nnU-Net's class that reads the images.
    pub image_reader_writer: String,
    /// Axis `i` of the network is axis `transpose_forward[i]` of the image's array.
    pub transpose_forward: [usize; 3],
    /// The way back.
    pub transpose_backward: [usize; 3],
    /// What was planned, by the name of the configuration.
    pub configurations: BTreeMap<String, Configuration>,
    /// nnU-Net's class that planned.
    pub experiment_planner_used: String,
    /// nnU-Net's class that interprets labels.
    pub label_manager: String,
    /// Intensities of the foreground, by the number of the channel.
    #[serde(alias = "foreground_intensity_properties_by_modality")]
    pub foreground_intensity_properties_per_channel: BTreeMap<String, ForegroundIntensities>,
}

/// The distribution of a channel's intensities in the foreground of all training cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ForegroundIntensities {
    pub max: f64,
    pub mean: f64,
    pub median: f64,
    pub min: f64,
    pub percentile_00_5: f64,
    pub percentile_99_5: f64,
    pub std: f64,
}

/// One entry of [`Plans::configurations`]; absent settings are those of the configuration that it inherits
/// from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// The configuration that has the settings that are absent here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherits_from: Option<String>,
    /// The folder of the preprocessed data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_identifier: Option<String>,
    /// nnU-Net's class that preprocesses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocessor_name: Option<String>,
    /// Patches of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Voxels along the axes of the network, without that across slices in 2D.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<Vec<usize>>,
    /// Median size of the resampled cases, voxels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_image_size_in_voxels: Option<Vec<f64>>,
    /// Spacing, mm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Vec<f64>>,
    /// For each channel, nnU-Net's class that normalises it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalization_schemes: Option<Vec<String>>,
    /// For each channel, whether only what is not outside the patient counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_mask_for_norm: Option<Vec<bool>>,
    /// nnU-Net's function that resamples images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_data: Option<String>,
    /// nnU-Net's function that resamples labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_seg: Option<String>,
    /// What the former is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_data_kwargs: Option<ResamplingSettings>,
    /// What the latter is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_seg_kwargs: Option<ResamplingSettings>,
    /// nnU-Net's function that brings predictions back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_probabilities: Option<String>,
    /// What it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resampling_fn_probabilities_kwargs: Option<ResamplingSettings>,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The network, as nnU-Net before 2.4 says it.
    #[serde(flatten)]
    pub legacy: LegacyArchitecture,
    /// Whether Dice is taken of the whole batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_dice: Option<bool>,
    /// The configuration whose predictions are further channels of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_stage: Option<String>,
    /// The configuration that reads the predictions of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_stage: Option<String>,
}

/// How nnU-Net's `resample_data_or_seg_to_shape` interpolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResamplingSettings {
    /// Whether label by label.
    pub is_seg: bool,
    /// The order of the spline.
    pub order: u8,
    /// That across thick slices.
    pub order_z: u8,
    /// Whether slices are always resampled apart; absent, where they are thick.
    pub force_separate_z: Option<bool>,
}

/// A network, by the name of its class in Python and what that is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The class.
    pub network_class_name: String,
    /// Its settings.
    pub arch_kwargs: ArchitectureSettings,
    /// Which of them name something in Python.
    #[serde(rename = "_kw_requires_import", default)]
    pub kw_requires_import: Vec<String>,
}

/// Settings of nnU-Net's U-Nets; one that is not known here would change what a network computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchitectureSettings {
    /// The number of resolutions.
    pub n_stages: usize,
    /// Channels of each stage, finest first.
    pub features_per_stage: Vec<usize>,
    /// The class of convolutions.
    pub conv_op: String,
    /// Extents of each stage's kernels.
    pub kernel_sizes: Vec<Vec<usize>>,
    /// The stride of each stage's first convolution.
    pub strides: Vec<Vec<usize>>,
    /// Convolutions of each stage on the way down, of a plain U-Net.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_conv_per_stage: Option<Vec<usize>>,
    /// Residual blocks of each stage, of a U-Net that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_blocks_per_stage: Option<Vec<usize>>,
    /// Convolutions of each stage on the way up, coarsest first.
    pub n_conv_per_stage_decoder: Vec<usize>,
    /// Whether convolutions add an offset.
    pub conv_bias: bool,
    /// The class of norms.
    pub norm_op: String,
    /// What norms are told.
    pub norm_op_kwargs: NormSettings,
    /// The class of dropout; none.
    pub dropout_op: Option<String>,
    /// What dropout is told.
    pub dropout_op_kwargs: Option<serde_json::Value>,
    /// The class of activations.
    pub nonlin: String,
    /// What activations are told.
    pub nonlin_kwargs: ActivationSettings,
}

/// What norms are told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormSettings {
    /// Added to the variance.
    pub eps: f64,
    /// Whether scale and offset are learnt.
    pub affine: bool,
}

/// What activations are told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationSettings {
    /// The slope below 0; absent, PyTorch's 0.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_slope: Option<f64>,
    /// Whether in place.
    pub inplace: bool,
}
