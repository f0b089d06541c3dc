//! Trained networks in nnU-Net's own folders, as far as these tests need them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use candle::Tensor;
use candle::pickle::read_all_with_key;
use data::Class;
use engine::{NetworkConfig, PredictConfig, Trained, WeightsMetadata};
use golden::number;
use losses::Activation;
use models::{Interface, ModelConfig, ResidualUnet, Unet, canonical_name};
use preprocess::{GridRule, Interpolation, Normalize, NormalizeScheme, Plan};
use serde_json::Value;

/// The network of a fold; `mirror_axes` are counted among the axes that the network has.
pub(super) fn read(
    folder: &Path,
    configuration: &str,
    fold: u64,
    mirror_axes: &[usize],
) -> anyhow::Result<Trained> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).context(name.to_owned());
    let (plans, dataset) = (text("plans.json")?, text("dataset.json")?);
    let (classes, regions_class_order) = classes(&dataset)?;
    let plans: Value = serde_json::from_str(&plans)?;
    let dataset: Value = serde_json::from_str(&dataset)?;
    let settings = &plans["configurations"][configuration];
    let plan = plan(&plans, settings)?;
    let regions = !regions_class_order.is_empty();
    let mut mirrored = [false; 3];
    for axis in mirror_axes {
        mirrored[axis + 3 - plan.rank] = true;
    }
    let channels: BTreeMap<usize, String> =
        serde_json::from_value(dataset["channel_names"].clone())?;
    let config = NetworkConfig {
        schema: NetworkConfig::SCHEMA,
        dataset: plans["dataset_name"].as_str().unwrap_or_default().to_owned(),
        architecture: architecture(&settings["architecture"])?,
        interface: Interface {
            channels: channels.len(),
            classes: classes.len() - usize::from(regions),
            rank: plan.rank,
        },
        activation: if regions { Activation::Sigmoid } else { Activation::Softmax },
        channels: channels.into_values().collect(),
        orientation: None,
        spacing: None,
        previous_labels: Vec::new(),
        classes,
        regions_class_order,
        mirror_axes: mirrored,
        predict: PredictConfig::default(),
        text: None,
        temperature: 1.0,
        vector_scaling: None,
    };
    let checkpoint = folder.join(format!("fold_{fold}/checkpoint_final.pth"));
    let metadata = WeightsMetadata::of(&config, None);
    Ok(Trained { config, plan, parameters: parameters(&checkpoint)?, metadata })
}

fn parameters(checkpoint: &Path) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let tensors = read_all_with_key(checkpoint, Some("network_weights"))?;
    let kept = tensors
        .into_iter()
        .filter_map(|(name, tensor)| canonical_name(&name).map(|name| (name.to_owned(), tensor)));
    let kept: BTreeMap<String, Tensor> = kept.collect();
    ensure!(!kept.is_empty(), "{} holds no tensor", checkpoint.display());
    Ok(kept)
}

fn architecture(value: &Value) -> anyhow::Result<ModelConfig> {
    fn list<T: serde::de::DeserializeOwned>(value: &Value) -> anyhow::Result<T> {
        serde_json::from_value(value.clone()).context("not a list of numbers")
    }
    let (class, settings) = (value["network_class_name"].as_str(), &value["arch_kwargs"]);
    let class = class.and_then(|class| class.rsplit('.').next()).context("no class")?;
    let features_per_stage = list(&settings["features_per_stage"])?;
    let n_conv_per_stage_decoder = list(&settings["n_conv_per_stage_decoder"])?;
    let (strides, kernel_sizes) = (list(&settings["strides"])?, list(&settings["kernel_sizes"])?);
    let conv_bias = settings["conv_bias"].as_bool().context("no conv_bias")?;
    let norm_eps = number(&settings["norm_op_kwargs"]["eps"])?;
    Ok(match class {
        "PlainConvUNet" => ModelConfig::from(Unet {
            features_per_stage,
            n_conv_per_stage: list(&settings["n_conv_per_stage"])?,
            n_conv_per_stage_decoder,
            strides,
            kernel_sizes,
            conv_bias,
            norm_eps,
            ..Unet::default()
        }),
        "ResidualEncoderUNet" => ModelConfig::from(ResidualUnet {
            features_per_stage,
            n_blocks_per_stage: list(&settings["n_blocks_per_stage"])?,
            n_conv_per_stage_decoder,
            strides,
            kernel_sizes,
            conv_bias,
            norm_eps,
            ..ResidualUnet::default()
        }),
        other => anyhow::bail!("{other} is not built"),
    })
}

/// The classes in the order of the network's channels, and how regions are painted.
fn classes(text: &str) -> anyhow::Result<(Vec<Class>, Vec<u16>)> {
    let dataset: Value = serde_json::from_str(text)?;
    let labels = dataset["labels"].as_object().context("no labels")?;
    let mut classes = Vec::new();
    for (name, values) in labels.iter().filter(|(name, _)| *name != "ignore") {
        let values: Vec<u16> = match values {
            Value::Array(_) => serde_json::from_value(values.clone())?,
            one => vec![serde_json::from_value(one.clone())?],
        };
        classes.push(Class::new(name.clone(), values));
    }
    if dataset["regions_class_order"].is_null() {
        classes.sort_by_key(|class| class.values[0]);
        return Ok((classes, Vec::new()));
    }
    // Regions come in the order of their keys, which the text alone still knows.
    let start = text.find("\"labels\"").context("no labels")?;
    classes.sort_by_key(|class| text[start..].find(&format!("\"{}\"", class.name)));
    Ok((classes, serde_json::from_value(dataset["regions_class_order"].clone())?))
}

fn plan(plans: &Value, settings: &Value) -> anyhow::Result<Plan> {
    let spacing: Vec<f64> = serde_json::from_value(settings["spacing"].clone())?;
    let patch: Vec<usize> = serde_json::from_value(settings["patch_size"].clone())?;
    let schemes: Vec<String> = serde_json::from_value(settings["normalization_schemes"].clone())?;
    let masks: Vec<bool> = serde_json::from_value(settings["use_mask_for_norm"].clone())?;
    let normalize = schemes.iter().zip(masks).enumerate().map(|(channel, (scheme, masked))| {
        let known = &plans["foreground_intensity_properties_per_channel"][channel.to_string()];
        let known = |key: &str| number(&known[key]);
        Ok(match NormalizeScheme::for_channel(scheme.trim_end_matches("Normalization"), masked) {
            NormalizeScheme::Ct => Normalize::Ct {
                mean: known("mean")?,
                std: known("std")?,
                lower: known("percentile_00_5")?,
                upper: known("percentile_99_5")?,
            },
            NormalizeScheme::ZScore | NormalizeScheme::ZScoreMasked => Normalize::ZScore { masked },
            NormalizeScheme::RescaleTo01 => Normalize::RescaleTo01,
            NormalizeScheme::RgbTo01 => Normalize::RgbTo01,
            _ => Normalize::None,
        })
    });
    let rank = spacing.len();
    let along = |axis: usize| (axis + rank).checked_sub(3);
    Ok(Plan {
        schema: Plan::SCHEMA,
        rank,
        canonical: false,
        transpose: serde_json::from_value(plans["transpose_forward"].clone())?,
        crop_to_nonzero: true,
        normalize: normalize.collect::<anyhow::Result<_>>()?,
        resample: true,
        spacing: std::array::from_fn(|axis| along(axis).map_or(1.0, |axis| spacing[axis])),
        interpolation: Interpolation::Cubic,
        grid: GridRule::Nnunet,
        median_size: [1.0; 3],
        patch_size: std::array::from_fn(|axis| along(axis).map_or(1, |axis| patch[axis])),
        context: 0,
        batch_size: 2,
    })
}
