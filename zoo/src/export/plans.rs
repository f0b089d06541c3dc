//! A plan and a network, in the words of nnU-Net's `plans.json`.

use std::collections::BTreeMap;

use engine::{NetworkConfig, Trained};
use models::{ModelConfig, ResidualUnet, Unet};
use preprocess::nnunet::{
    ActivationSettings, Architecture, ArchitectureSettings, Configuration, ForegroundIntensities,
    NormSettings, Plans, ResamplingSettings,
};
use preprocess::{GridRule, Interpolation, Normalize, Plan};

/// The plans of a network that has one configuration; where nnU-Net has no place for it, why.
pub(super) fn plans(network: &Trained, configuration: &str) -> Result<Plans, String> {
    let Trained { config, plan, .. } = network;
    refuse(plan)?;
    let first = 3 - plan.rank;
    let resampling = |is_seg, order| {
        Some(ResamplingSettings { is_seg, order, order_z: 0, force_separate_z: None })
    };
    let order = match plan.interpolation {
        Interpolation::Nearest => 0,
        Interpolation::Linear => 1,
        Interpolation::Quadratic => 2,
        Interpolation::Cubic => 3,
    };
    let function = || {
        let name = if plan.resample { "resample" } else { "no_resampling" };
        Some(format!("{name}_data_or_seg_to_shape"))
    };
    let (mut schemes, mut masks) = (Vec::new(), Vec::new());
    let mut intensities = BTreeMap::new();
    for (channel, normalize) in plan.normalize.iter().enumerate() {
        let (name, masked, known) = scheme(normalize)?;
        schemes.push(name.to_owned());
        masks.push(masked);
        intensities.insert(channel.to_string(), known);
    }
    let settings = Configuration {
        data_identifier: Some(format!("nnUNetPlans_{configuration}")),
        preprocessor_name: Some("DefaultPreprocessor".to_owned()),
        batch_size: Some(plan.batch_size),
        patch_size: Some(plan.patch_size[first..].to_vec()),
        median_image_size_in_voxels: Some(plan.median_size[first..].to_vec()),
        spacing: Some(plan.spacing[first..].to_vec()),
        normalization_schemes: Some(schemes),
        use_mask_for_norm: Some(masks),
        resampling_fn_data: function(),
        resampling_fn_data_kwargs: resampling(false, order),
        resampling_fn_seg: function(),
        resampling_fn_seg_kwargs: resampling(true, 1),
        resampling_fn_probabilities: function(),
        resampling_fn_probabilities_kwargs: resampling(false, 1),
        architecture: Some(architecture(config)?),
        batch_dice: Some(false),
        ..Configuration::default()
    };
    let mut back = [0; 3];
    for (axis, &of) in plan.transpose.iter().enumerate() {
        back[of] = axis;
    }
    Ok(Plans {
        dataset_name: config.dataset.clone(),
        plans_name: "nnUNetPlans".to_owned(),
        original_median_spacing_after_transp: plan.spacing,
        original_median_shape_after_transp: plan.median_size.map(voxels),
        image_reader_writer: if plan.canonical { "NibabelIOWithReorient" } else { "SimpleITKIO" }
            .to_owned(),
        transpose_forward: plan.transpose,
        transpose_backward: back,
        configurations: BTreeMap::from([(configuration.to_owned(), settings)]),
        experiment_planner_used: "ExperimentPlanner".to_owned(),
        label_manager: "LabelManager".to_owned(),
        foreground_intensity_properties_per_channel: intensities,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of voxels")]
fn voxels(extent: f64) -> usize {
    extent.round() as usize
}

/// What nnU-Net would do in another way.
fn refuse(plan: &Plan) -> Result<(), String> {
    if plan.context > 0 {
        return Err(
            "it sees neighbouring slices as channels, which nnU-Net does not offer".to_owned()
        );
    }
    if plan.grid != GridRule::Nnunet {
        return Err("it resamples as MONAI does, which nnU-Net does not".to_owned());
    }
    if !plan.crop_to_nonzero {
        return Err(
            "it was trained on images whose empty margin stays, and nnU-Net always cuts it off"
                .to_owned(),
        );
    }
    Ok(())
}

/// nnU-Net's name of a normalisation, whether it is masked, and what it knows of intensities.
fn scheme(normalize: &Normalize) -> Result<(&'static str, bool, ForegroundIntensities), String> {
    let none = ForegroundIntensities {
        max: 0.0,
        mean: 0.0,
        median: 0.0,
        min: 0.0,
        percentile_00_5: 0.0,
        percentile_99_5: 0.0,
        std: 1.0,
    };
    Ok(match *normalize {
        Normalize::Ct { mean, std, lower, upper } => {
            let known = ForegroundIntensities {
                max: upper,
                mean,
                median: mean,
                min: lower,
                percentile_00_5: lower,
                percentile_99_5: upper,
                std,
            };
            ("CTNormalization", false, known)
        }
        Normalize::ZScore { masked } => ("ZScoreNormalization", masked, none),
        Normalize::RescaleTo01 => ("RescaleTo01Normalization", false, none),
        Normalize::RgbTo01 => ("RGBTo01Normalization", false, none),
        Normalize::None => ("NoNormalization", false, none),
        _ => return Err(format!("nnU-Net has no normalisation {normalize:?}")),
    })
}

fn architecture(config: &NetworkConfig) -> Result<Architecture, String> {
    let rank = config.interface.rank;
    let class = |name: &str| format!("dynamic_network_architectures.architectures.unet.{name}");
    let common =
        |features: &[usize], stages: (&[Vec<usize>], &[Vec<usize>]), bias, eps, slope: f64| {
            ArchitectureSettings {
                n_stages: features.len(),
                features_per_stage: features.to_vec(),
                conv_op: format!("torch.nn.modules.conv.Conv{rank}d"),
                strides: or_default(stages.0, features.len(), |stage| {
                    vec![if stage == 0 { 1 } else { 2 }; rank]
                }),
                kernel_sizes: or_default(stages.1, features.len(), |_| vec![3; rank]),
                n_conv_per_stage: None,
                n_blocks_per_stage: None,
                n_conv_per_stage_decoder: Vec::new(),
                conv_bias: bias,
                norm_op: format!("torch.nn.modules.instancenorm.InstanceNorm{rank}d"),
                norm_op_kwargs: NormSettings { eps, affine: true },
                dropout_op: None,
                dropout_op_kwargs: None,
                nonlin: "torch.nn.LeakyReLU".to_owned(),
                nonlin_kwargs: ActivationSettings { negative_slope: Some(slope), inplace: true },
            }
        };
    let instance = |norm: models::Norm| match norm {
        models::Norm::Instance => Ok(()),
        _ => Err("its norms are not instance norms, which nnU-Net's are".to_owned()),
    };
    let (name, arch_kwargs) = match &config.architecture {
        ModelConfig::Unet(unet) => {
            let Unet { features_per_stage: features, strides, kernel_sizes, norm, .. } = unet;
            instance(*norm)?;
            let count = features.len();
            let stages = (strides.as_slice(), kernel_sizes.as_slice());
            let settings = ArchitectureSettings {
                n_conv_per_stage: Some(or_default(&unet.n_conv_per_stage, count, |_| 2)),
                n_conv_per_stage_decoder: or_default(
                    &unet.n_conv_per_stage_decoder,
                    count - 1,
                    |_| 2,
                ),
                ..common(features, stages, unet.conv_bias, unet.norm_eps, unet.negative_slope)
            };
            if unet.nonlin_first {
                return Err(
                    "its activations come before its norms, which nnU-Net's plans cannot say"
                        .to_owned(),
                );
            }
            ("PlainConvUNet", settings)
        }
        ModelConfig::ResidualUnet(unet) => {
            let ResidualUnet { features_per_stage: features, strides, kernel_sizes, norm, .. } =
                unet;
            instance(*norm)?;
            let count = features.len();
            let stages = (strides.as_slice(), kernel_sizes.as_slice());
            let blocks = |stage: usize| [1, 3, 4].get(stage).copied().unwrap_or(6);
            let settings = ArchitectureSettings {
                n_blocks_per_stage: Some(or_default(&unet.n_blocks_per_stage, count, blocks)),
                n_conv_per_stage_decoder: or_default(
                    &unet.n_conv_per_stage_decoder,
                    count - 1,
                    |_| 1,
                ),
                ..common(features, stages, unet.conv_bias, unet.norm_eps, unet.negative_slope)
            };
            ("ResidualEncoderUNet", settings)
        }
        other => return Err(format!("its network, {}, is none of nnU-Net's", other.name())),
    };
    let imported = ["conv_op", "norm_op", "dropout_op", "nonlin"].map(str::to_owned);
    Ok(Architecture {
        network_class_name: class(name),
        arch_kwargs,
        kw_requires_import: imported.to_vec(),
    })
}

/// What a network says of its stages, or what an empty list stands for.
fn or_default<T: Clone>(said: &[T], count: usize, default: impl Fn(usize) -> T) -> Vec<T> {
    if said.is_empty() { (0..count).map(default).collect() } else { said.to_vec() }
}
