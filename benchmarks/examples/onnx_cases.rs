//! Model folders with a network of each kind, and what they say: `interop/onnx_models.py` asks a runtime of ONNX whether
//! it says the same.
//!
//! `onnx_cases FOLDER [--few]` makes `FOLDER/NAME_RANKd` for each, with `cases.safetensors` beside the model: inputs
//! `images.0`, `images.1`, … and calibrated logits `logits.0`, … of one image, of two, and of another size.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use candle::{Device, Tensor};
use sconce::engine::{NetworkConfig, Trained, WeightsMetadata};
use sconce::models::{Architecture as _, Input, Interface, ModelConfig};
use sconce::nn::Parameters;
use serde_json::json;

/// One of each kind; then what their settings change.
const KINDS: &[(&str, &str)] = &[
    ("unet", r#"{"unet": {"features_per_stage": [6, 8, 16]}}"#),
    ("residual_unet", r#"{"residual_unet": {"features_per_stage": [6, 8, 16]}}"#),
    (
        "monai_unet",
        r#"{"monai_unet": {"channels": [6, 8, 16], "strides": [2, 2], "num_res_units": 2}}"#,
    ),
    ("basic_unet", r#"{"basic_unet": {"features": [6, 6, 8, 8, 16, 6]}}"#),
    (
        "dyn_unet",
        r#"{"dyn_unet": {"filters": [6, 8, 16], "kernel_size": [3, 3, 3], "strides": [1, 2, 2]}}"#,
    ),
    ("segresnet", r#"{"segresnet": {}}"#),
    ("attention_unet", r#"{"attention_unet": {"channels": [6, 8, 16], "strides": [2, 2]}}"#),
    ("miscnn_unet", r#"{"miscnn_unet": {"n_filters": 6, "depth": 3}}"#),
    (
        "smp_unet",
        r#"{"smp_unet": {"encoder": "mobilenet_v2", "decoder_channels": [16, 8, 8, 8, 8]}}"#,
    ),
    (
        "fpn",
        r#"{"fpn": {"encoder": "efficientnet_b0", "decoder_pyramid_channels": 16,
            "decoder_segmentation_channels": 32}}"#,
    ),
    (
        "w_net",
        r#"{"w_net": {"encoder": "resnet18", "decoder_pyramid_channels": 16,
            "decoder_segmentation_channels": 32}}"#,
    ),
    (
        "deeplabv3",
        r#"{"deeplabv3": {"encoder": "mobilenet_v2", "decoder_channels": 16,
            "decoder_atrous_rates": [1, 2, 3]}}"#,
    ),
    (
        "deeplabv3_plus",
        r#"{"deeplabv3_plus": {"encoder": "resnet18", "decoder_channels": 16,
            "decoder_atrous_rates": [1, 2, 3]}}"#,
    ),
    ("pspnet", r#"{"pspnet": {"encoder": "resnet18", "psp_out_channels": 16}}"#),
    ("upernet", r#"{"upernet": {"encoder": "resnet18", "decoder_channels": 16}}"#),
    ("segformer", r#"{"segformer": {"decoder_segmentation_channels": 16}}"#),
];

const SETTINGS: &[(&str, &str)] = &[
    (
        "unet_batch_norm",
        r#"{"unet": {"features_per_stage": [6, 8, 16], "norm": "batch", "conv_bias": false,
            "gradient_checkpointing": true}}"#,
    ),
    (
        "unet_act_first",
        r#"{"unet": {"features_per_stage": [6, 8], "nonlin_first": true, "norm_eps": 0.001,
            "negative_slope": 0.3}}"#,
    ),
    (
        "residual_unet_batch_norm",
        r#"{"residual_unet": {"features_per_stage": [6, 8, 8], "norm": "batch",
            "n_blocks_per_stage": [1, 2, 2], "gradient_checkpointing": true}}"#,
    ),
    (
        "monai_unet_plain",
        r#"{"monai_unet": {"channels": [6, 8, 16], "strides": [1, 2], "kernel_size": 5,
            "norm": {"instance": {"affine": true}}, "act": {"elu": 0.7}}}"#,
    ),
    (
        "monai_unet_act_first",
        r#"{"monai_unet": {"channels": [6, 8], "strides": [2], "num_res_units": 1, "norm": "batch",
            "act": "gelu", "adn_ordering": "ADN"}}"#,
    ),
    (
        "dyn_unet_residual",
        r#"{"dyn_unet": {"filters": [6, 8, 16], "kernel_size": [3, 1, 3], "strides": [1, 2, 2],
            "res_block": true, "trans_bias": true}}"#,
    ),
    (
        "basic_unet_linear",
        r#"{"basic_unet": {"features": [8, 8, 8, 8, 8, 8], "upsample": "nontrainable",
            "norm": {"group": {"num_groups": 4}}, "act": "mish"}}"#,
    ),
    (
        "basic_unet_shuffled",
        r#"{"basic_unet": {"features": [6, 6, 8, 8, 16, 6], "upsample": "pixelshuffle",
            "act": "silu"}}"#,
    ),
    (
        "segresnet_shuffled",
        r#"{"segresnet": {"blocks_down": [1, 1, 1], "blocks_up": [1, 1], "act": "prelu",
            "upsample_mode": "pixelshuffle"}}"#,
    ),
    (
        "segresnet_transposed",
        r#"{"segresnet": {"blocks_down": [1, 1], "blocks_up": [1], "act": "tanh",
            "norm": "batch", "upsample_mode": "deconv"}}"#,
    ),
    (
        "smp_unet_linear",
        r#"{"smp_unet": {"encoder": "mit_b0", "decoder_channels": [16, 8, 8, 8, 8],
            "decoder_interpolation": "linear", "aux_head": true}}"#,
    ),
    (
        "fpn_resnet50",
        r#"{"fpn": {"encoder": "resnet50", "decoder_pyramid_channels": 16,
            "decoder_segmentation_channels": 32}}"#,
    ),
    (
        "deeplabv3_separable",
        r#"{"deeplabv3": {"encoder": "resnet34", "decoder_channels": 16,
            "decoder_aspp_separable": true, "encoder_output_stride": 16}}"#,
    ),
    (
        "deeplabv3_plus_efficientnet",
        r#"{"deeplabv3_plus": {"encoder": "efficientnet_b0", "decoder_channels": 16}}"#,
    ),
    (
        "pspnet_whole",
        r#"{"pspnet": {"encoder": "resnet18", "psp_out_channels": 16, "encoder_depth": 5,
            "encoder_output_stride": 8}}"#,
    ),
    ("upernet_mit", r#"{"upernet": {"encoder": "mit_b0", "decoder_channels": 16}}"#),
    (
        "segformer_resnet",
        r#"{"segformer": {"encoder": "resnet18", "decoder_segmentation_channels": 16}}"#,
    ),
];

/// Kinds that came later. Weights are drawn by the place in all three lists: so that those of others stay what they are, of which some
/// would be ill-conditioned (an input that differs by 1e-7 changes what a runtime says by 1e-4), new ones come last.
const LATER: &[(&str, &str)] = &[(
    "text_unet",
    r#"{"text_unet": {"unet": {"features_per_stage": [6, 8, 16]}, "embedding": 5, "condition": 4,
            "width": 7}}"#,
)];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("give a folder for the models")?);
    let few = match arguments.next().as_deref() {
        None => false,
        Some("--few") => true,
        Some(other) => anyhow::bail!("{other:?} is no option; there is --few"),
    };
    let mut seen = BTreeSet::new();
    let settings = SETTINGS.iter().filter(|_| !few);
    for (number, (name, text)) in KINDS.iter().chain(settings).chain(LATER).enumerate() {
        let model: ModelConfig = serde_json::from_str(text).context(*name)?;
        seen.insert(model.name());
        // Volumes take most of the time.
        let ranks: &[usize] = if few && number % 4 != 0 { &[2] } else { &[2, 3] };
        for &rank in ranks {
            let case = folder.join(format!("{name}_{rank}d"));
            write(&case, &model, rank, number).context(*name)?;
        }
    }
    let all: BTreeSet<&str> = ModelConfig::NAMES.iter().copied().collect();
    ensure!(seen == all, "no case of {:?}", all.difference(&seen));
    Ok(())
}

/// One network of random weights, and what it says.
#[expect(clippy::cast_possible_truncation, reason = "numbers near 1")]
fn write(folder: &Path, model: &ModelConfig, rank: usize, number: usize) -> anyhow::Result<()> {
    let interface = Interface { channels: 2, classes: 3, rank };
    let parameters = Parameters::new(number as u64, &Device::Cpu);
    model.build(interface, parameters.builder())?;
    let mut draws = Draws(number as u64 + 1);
    let mut tensors = parameters.tensors()?;
    for tensor in tensors.values_mut().filter(|tensor| tensor.rank() == 1) {
        // Scales, offsets and running statistics that change something.
        *tensor = (&*tensor + draws.tensor(tensor.dims(), 0.3)?)?;
    }
    let calibration = ["none", "temperature", "vector"][number % 3];
    let patch = if rank == 2 { [1, 64, 96] } else { [32, 32, 64] };
    let config: NetworkConfig = serde_json::from_value(json!({
        "schema": 1,
        "dataset": "random numbers",
        "architecture": model,
        "interface": interface,
        "activation": "softmax",
        "channels": ["T1", "T2"],
        "classes": [
            { "name": "background", "values": [0] },
            { "name": "organ", "values": [255] },
            { "name": "lesion", "values": [2] },
        ],
        "temperature": 1.5,
        "vector_scaling": { "weights": [0.5, 1.5, -1.0], "biases": [0.25, 0.0, -2.0] },
        "predict": { "calibration": calibration },
    }))?;
    let plan = serde_json::from_value(json!({
        "schema": 1,
        "rank": rank,
        "canonical": true,
        "transpose": [0, 1, 2],
        "crop_to_nonzero": false,
        "normalize": ["none", { "z_score": { "masked": false } }],
        "resample": true,
        "spacing": [5.0, 0.5, 0.75],
        "interpolation": "cubic",
        "median_size": [32.0, 64.0, 64.0],
        "patch_size": patch,
        "batch_size": 2,
    }))?;
    let scaling = config.scaling(config.predict.calibration)?;
    let metadata = WeightsMetadata::of(&config, Some(number as u64));
    let trained = Trained { config, plan, parameters: tensors, metadata };
    std::fs::create_dir_all(folder)?;
    trained.save(folder)?;

    let network = trained.build(&Device::Cpu)?;
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for channel in 0..interface.classes {
        let (weight, bias) = scaling.of_channel(channel);
        weights.push(weight as f32);
        biases.push(bias as f32);
    }
    let of_channels = |numbers: Vec<f32>| -> anyhow::Result<Tensor> {
        let shape = [vec![1, numbers.len()], vec![1; rank]].concat();
        Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
    };
    let (weights, biases) = (of_channels(weights)?, of_channels(biases)?);
    let patch = patch[3 - rank..].to_vec();
    let other = patch.iter().rev().copied().collect::<Vec<_>>();
    let mut cases = HashMap::new();
    for (at, (batch, extents)) in [(1, &patch), (2, &patch), (1, &other)].into_iter().enumerate() {
        let shape = [&[batch, interface.channels], extents.as_slice()].concat();
        let images = draws.tensor(&shape, 1.5)?;
        let logits = network.forward_t(&Input::images(images.clone()), false)?;
        let logits = logits.main().broadcast_mul(&weights)?.broadcast_add(&biases)?;
        cases.insert(format!("images.{at}"), images);
        cases.insert(format!("logits.{at}"), logits);
    }
    Ok(candle::safetensors::save(&cases, folder.join("cases.safetensors"))?)
}

/// Random numbers that are the same in every run.
struct Draws(u64);

impl Draws {
    /// A tensor of numbers from `-most` to `most`.
    fn tensor(&mut self, shape: &[usize], most: f32) -> candle::Result<Tensor> {
        let count = shape.iter().product();
        let mut draw = || {
            // Knuth's generator; its upper bits are the good ones.
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * most
        };
        Tensor::from_vec((0..count).map(|_| draw()).collect::<Vec<f32>>(), shape, &Device::Cpu)
    }
}
