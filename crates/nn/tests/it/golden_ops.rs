//! The layers, run with PyTorch's settings in PyTorch's layout.

use anyhow::{Context, bail};
use candle::{DType, Result, Tensor, Var};
use golden::Case;
use sconce_nn::{
    Act, ConvConfig, ConvTransposeConfig, GridSampleConfig, Interpolation, PadMode, PoolConfig,
    SampleMode, SamplePadding, Statistics, adaptive_avg_pool, avg_pool, batch_norm,
    batch_norm_train, conv, conv_transpose, grid_sample, group_norm, instance_norm, layer_norm,
    log_softmax, max_pool, pad, pixel_shuffle, prelu, resize, resize_by, softmax,
    to_channels_first, to_channels_last,
};
use serde_json::Value;

use crate::golden::{expect, tensor};

/// Runs `case` forward and backward, and compares all that came out.
pub(crate) fn run(case: &Case, dtype: DType) -> anyhow::Result<()> {
    let variable = |role: &str| -> anyhow::Result<Option<Var>> {
        if !case.inputs.contains_key(role) {
            return Ok(None);
        }
        Ok(Some(Var::from_tensor(&tensor(&case.input(role)?, dtype)?)?))
    };
    let input = variable("input")?.context("no input")?;
    let (weight, bias) = (variable("weight")?, variable("bias")?);

    let y = if case.function == "layer_norm" {
        layer_norm(&input, weight.as_deref(), bias.as_deref(), case.param("eps")?)?
    } else {
        let x = to_channels_last(&input)?;
        let y = apply(case, &x, weight.as_deref(), bias.as_deref(), dtype)?;
        if y.dims().len() != x.dims().len() || !y.is_contiguous() {
            bail!("an output of shape {:?}, strides {:?}", y.dims(), y.stride());
        }
        to_channels_first(&y)?
    };
    expect(case, "output", &y)?;

    let cotangent = tensor(&case.input("grad_out")?, dtype)?;
    let gradients = (y * cotangent)?.sum_all()?.backward()?;
    for (role, var) in [("input", Some(input)), ("weight", weight), ("bias", bias)] {
        if let Some(var) = var {
            let gradient = gradients.get(&var).with_context(|| format!("no gradient of {role}"))?;
            expect(case, &format!("grad_{role}"), gradient)?;
        }
    }
    Ok(())
}

/// The layer that `case` names, of `x` in this crate's layout.
fn apply(
    case: &Case,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    dtype: DType,
) -> anyhow::Result<Tensor> {
    let rank = x.rank() - 2;
    // conv2d and conv3d are one function here.
    let function = ["1d", "2d", "3d"]
        .into_iter()
        .fold(&*case.function, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
    let y = match function {
        "conv" => conv(x, weight.context("no weight")?, bias, &conv_config(case)?)?,
        "conv_transpose" => {
            let ConvConfig { stride, padding, dilation, groups } = conv_config(case)?;
            let output_padding = case.param_list("output_padding")?;
            let config = ConvTransposeConfig { stride, padding, output_padding, dilation, groups };
            conv_transpose(x, weight.context("no weight")?, bias, &config)?
        }
        "max_pool" => max_pool(x, &pool_config(case, rank)?)?,
        "avg_pool" => avg_pool(x, &pool_config(case, rank)?)?,
        "adaptive_avg_pool" => adaptive_avg_pool(x, &extents(&case.params["output_size"], rank)?)?,
        "interpolate" => interpolate(case, x)?,
        "instance_norm" => instance_norm(x, weight, bias, case.param("eps")?, Act::Identity)?,
        "group_norm" => {
            let groups = extents(&case.params["num_groups"], 1)?[0];
            group_norm(x, groups, weight, bias, case.param("eps")?, Act::Identity)?
        }
        "batch_norm" => batch_normalize(case, x, weight, bias, dtype)?,
        "softmax" => softmax(x)?,
        "log_softmax" => log_softmax(x)?,
        "prelu" => prelu(x, weight.context("no weight")?)?,
        "pad" => padded(case, x)?,
        "pixel_shuffle" => pixel_shuffle(x, extents(&case.params["r"], 1)?[0])?,
        "grid_sample" => sampled(case, x, dtype)?,
        name => activation(name, case)?.forward(x)?,
    };
    Ok(y)
}

fn conv_config(case: &Case) -> anyhow::Result<ConvConfig> {
    Ok(ConvConfig {
        stride: case.param_list("stride")?,
        padding: case.param_list("padding")?,
        dilation: case.param_list("dilation")?,
        groups: extents(&case.params["groups"], 1)?[0],
    })
}

fn pool_config(case: &Case, rank: usize) -> anyhow::Result<PoolConfig> {
    let or = |name: &str, default: usize| match &case.params[name] {
        Value::Null => Ok(vec![default; rank]),
        value => extents(value, rank),
    };
    let mut config = PoolConfig::new(&extents(&case.params["kernel_size"], rank)?);
    if !case.params["stride"].is_null() {
        config.stride = extents(&case.params["stride"], rank)?;
    }
    config.padding = or("padding", 0)?;
    config.ceil_mode = case.params["ceil_mode"].as_bool().unwrap_or(false);
    config.count_include_pad = case.params["count_include_pad"].as_bool().unwrap_or(true);
    Ok(config)
}

/// Whole numbers: one for each of `rank` axes, or one for all.
fn extents(value: &Value, rank: usize) -> anyhow::Result<Vec<usize>> {
    if value.is_array() {
        return Ok(serde_json::from_value(value.clone())?);
    }
    Ok(vec![serde_json::from_value(value.clone())?; rank])
}

fn interpolate(case: &Case, x: &Tensor) -> anyhow::Result<Tensor> {
    let params = &case.params;
    let align_corners = params["align_corners"].as_bool().unwrap_or(false);
    let interpolation = match params["mode"].as_str().context("no mode")? {
        "nearest" => Interpolation::Nearest,
        "nearest-exact" => Interpolation::NearestExact,
        "linear" | "bilinear" | "trilinear" => Interpolation::Linear { align_corners },
        "bicubic" => Interpolation::Cubic { align_corners },
        mode => bail!("mode {mode} is not known"),
    };
    let space = &x.dims()[1..x.rank() - 1];
    if !params["size"].is_null() {
        return Ok(resize(x, &extents(&params["size"], space.len())?, interpolation)?);
    }
    let factors: Vec<f64> = match params["scale_factor"].as_f64() {
        Some(factor) => vec![factor; space.len()],
        None => serde_json::from_value(params["scale_factor"].clone())?,
    };
    if params["recompute_scale_factor"].as_bool().unwrap_or(false) {
        let scaled = space.iter().zip(&factors).map(|(&extent, factor)| extent as f64 * factor);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an extent")]
        let size: Vec<usize> = scaled.map(|extent| extent.floor() as usize).collect();
        return Ok(resize(x, &size, interpolation)?);
    }
    Ok(resize_by(x, &factors, interpolation)?)
}

fn batch_normalize(
    case: &Case,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    dtype: DType,
) -> anyhow::Result<Tensor> {
    let eps = case.param("eps")?;
    let mean = tensor(&case.input("running_mean")?, dtype)?;
    let variance = tensor(&case.input("running_var")?, dtype)?;
    if case.params["training"] == Value::Bool(false) {
        let running = Statistics { mean, variance };
        return Ok(batch_norm(x, &running, weight, bias, eps, Act::Identity)?);
    }
    let (y, batch) = batch_norm_train(x, weight, bias, eps, Act::Identity)?;
    let momentum = case.param("momentum")?;
    let moved = |running: Tensor, fresh: &Tensor| -> Result<Tensor> {
        (running * (1.0 - momentum))? + (fresh * momentum)?
    };
    expect(case, "running_mean_after", &moved(mean, &batch.mean)?)?;
    expect(case, "running_var_after", &moved(variance, &batch.variance)?)?;
    Ok(y)
}

fn padded(case: &Case, x: &Tensor) -> anyhow::Result<Tensor> {
    let mode = match case.params["mode"].as_str().context("no mode")? {
        // The value is in the manifest's notes alone.
        "constant" => PadMode::Constant(case.params["value"].as_f64().unwrap_or(0.5)),
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Replicate,
        mode => bail!("mode {mode} is not known"),
    };
    // PyTorch lists the last axis first, before and after alternating.
    let flat = case.param_list("pad")?;
    let mut widths: Vec<(usize, usize)> =
        flat.chunks(2).map(|pair| (pair[0], pair[pair.len() - 1])).collect();
    widths.resize(x.rank() - 2, (0, 0));
    widths.reverse();
    Ok(pad(x, &widths, mode)?)
}

fn sampled(case: &Case, x: &Tensor, dtype: DType) -> anyhow::Result<Tensor> {
    let config = GridSampleConfig {
        mode: match case.params["mode"].as_str() {
            Some("bilinear") => SampleMode::Linear,
            Some("nearest") => SampleMode::Nearest,
            mode => bail!("mode {mode:?} is not known"),
        },
        padding: match case.params["padding_mode"].as_str() {
            Some("zeros") => SamplePadding::Zeros,
            Some("border") => SamplePadding::Border,
            Some("reflection") => SamplePadding::Reflection,
            padding => bail!("padding {padding:?} is not known"),
        },
        align_corners: case.params["align_corners"] == Value::Bool(true),
    };
    Ok(grid_sample(x, &tensor(&case.input("grid")?, dtype)?, config)?)
}

fn activation(name: &str, case: &Case) -> anyhow::Result<Act> {
    Ok(match name {
        "relu" => Act::Relu,
        "leaky_relu" => Act::LeakyRelu(case.param("negative_slope")?),
        "elu" => Act::Elu(case.param("alpha")?),
        "gelu" => Act::Gelu,
        "gelu_tanh" => Act::GeluTanh,
        "silu" => Act::Silu,
        "sigmoid" => Act::Sigmoid,
        "tanh" => Act::Tanh,
        "softplus" => Act::Softplus,
        "logsigmoid" => Act::LogSigmoid,
        "mish" => Act::Mish,
        "hardswish" => Act::Hardswish,
        name => bail!("{name} is not known"),
    })
}
