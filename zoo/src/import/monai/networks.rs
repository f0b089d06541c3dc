//! The networks that a bundle may name, as ours.

use models::{Interface, ModelConfig};
use serde_json::{Value as Json, json};

use super::args::Args;
use super::config::Refusal;

const KNOWN: &str = "UNet, BasicUNet, DynUNet, SegResNet";

/// The network of a `_target_`.
pub(super) fn network(mut args: Args<'_>) -> Result<(ModelConfig, Interface), Refusal> {
    // Older versions called it dimensions.
    let rank = match args.get("dimensions")? {
        Some(rank) => Some(rank),
        None => args.get("spatial_dims")?,
    };
    // Dropout does nothing in prediction.
    args.ignore(&["dropout", "dropout_prob", "dropout_dim"]);
    let (name, settings, inputs, outputs) = match args.class.as_str() {
        "UNet" | "Unet" => ("monai_unet", unet(&mut args)?, None, None),
        "BasicUNet" | "BasicUnet" | "Basicunet" | "basicunet" => {
            ("basic_unet", basic_unet(&mut args)?, Some(1), Some(2))
        }
        "DynUNet" | "DynUnet" | "Dynunet" => ("dyn_unet", dyn_unet(&mut args, rank)?, None, None),
        "SegResNet" => ("segresnet", segresnet(&mut args)?, Some(1), Some(2)),
        _ => return Err(args.unknown("the network", KNOWN)),
    };
    let of = |args: &mut Args<'_>, key: &str, default: Option<usize>| match default {
        Some(number) => Ok(args.get(key)?.unwrap_or(number)),
        None => args.need(key),
    };
    let channels = of(&mut args, "in_channels", inputs)?;
    let classes = of(&mut args, "out_channels", outputs)?;
    let rank = match (rank, inputs) {
        (Some(rank), _) => rank,
        (None, Some(_)) => 3,
        (None, None) => args.need("spatial_dims")?,
    };
    let at = args.at.clone();
    args.finish()?;
    let plausible = |count: usize| (1..=1 << 16).contains(&count);
    if !(2..=3).contains(&rank) || !plausible(channels) || !plausible(classes) {
        return Err(format!(
            "{at} maps {channels} channels to {classes} in {rank} dimensions; here 2 or 3 dimensions"
        ));
    }
    let config = serde_json::from_value(json!({ name: settings }))
        .map_err(|error| format!("{at} is no network of that kind: {error}"))?;
    Ok((config, Interface { channels, classes, rank }))
}

/// Takes arguments that are called the same here, where they are given.
fn same(args: &mut Args<'_>, settings: &mut Json, keys: &[&str]) -> Result<(), Refusal> {
    for &key in keys {
        if let Some(value) = args.json(key)? {
            settings[key] = value;
        }
    }
    Ok(())
}

fn unet(args: &mut Args<'_>) -> Result<Json, Refusal> {
    let mut settings = json!({});
    settings["channels"] = args.need("channels")?;
    settings["strides"] = args.need("strides")?;
    let plain = ["kernel_size", "up_kernel_size", "num_res_units", "bias", "adn_ordering"];
    same(args, &mut settings, &plain)?;
    let (act, norm) = (args.json("act")?, args.json("norm")?);
    settings["act"] = act.map_or(Ok(json!("prelu")), |act| activation(&args.at, "act", &act))?;
    settings["norm"] = normalization(&args.at, "norm", &norm.unwrap_or(json!("instance")))?;
    Ok(settings)
}

fn basic_unet(args: &mut Args<'_>) -> Result<Json, Refusal> {
    let mut settings = json!({});
    same(args, &mut settings, &["features", "bias", "upsample"])?;
    let (act, norm) = (args.json("act")?, args.json("norm")?);
    if let Some(act) = act {
        settings["act"] = activation(&args.at, "act", &act)?;
    }
    if let Some(norm) = norm {
        settings["norm"] = normalization(&args.at, "norm", &norm)?;
    }
    Ok(settings)
}

fn segresnet(args: &mut Args<'_>) -> Result<Json, Refusal> {
    let mut settings = json!({});
    same(args, &mut settings, &["init_filters", "blocks_down", "blocks_up", "upsample_mode"])?;
    args.only("use_conv_final", &json!(true))?;
    let (act, norm) = (args.json("act")?, args.json("norm")?);
    if let Some(act) = act {
        settings["act"] = activation(&args.at, "act", &act)?;
    }
    let groups = args.json("num_groups")?.unwrap_or(json!(8));
    settings["norm"] = match norm {
        Some(norm) => normalization(&args.at, "norm", &norm)?,
        None => json!({ "group": { "num_groups": groups } }),
    };
    // The name of a norm from before `norm` was there.
    args.only("norm_name", &json!(""))?;
    Ok(settings)
}

fn dyn_unet(args: &mut Args<'_>, rank: Option<usize>) -> Result<Json, Refusal> {
    let mut settings = json!({});
    let kernels: Vec<Json> = args.need("kernel_size")?;
    let strides: Vec<Json> = args.need("strides")?;
    let ups: Vec<Json> = args.need("upsample_kernel_size")?;
    let spread = |value: &Json| match value {
        Json::Number(number) => vec![json!(number); rank.unwrap_or(3)],
        Json::Array(list) => list.clone(),
        other => vec![other.clone()],
    };
    let wanted = strides.iter().skip(1).map(spread);
    if !wanted.eq(ups.iter().map(spread)) {
        return Err(format!(
            "{}#upsample_kernel_size is {}; here it must be strides without its first",
            args.at,
            Json::Array(ups)
        ));
    }
    let widest = if rank == Some(2) { 512 } else { 320 };
    let default: Vec<usize> =
        (0..strides.len()).map(|level| (32_usize << level.min(9)).min(widest)).collect();
    settings["filters"] = json!(args.get("filters")?.unwrap_or(default));
    settings["kernel_size"] = Json::Array(kernels);
    settings["strides"] = Json::Array(strides);
    same(args, &mut settings, &["res_block", "trans_bias"])?;
    let (act, norm) = (args.json("act_name")?, args.json("norm_name")?);
    if let Some(act) = act {
        settings["act_name"] = activation(&args.at, "act_name", &act)?;
    }
    if let Some(norm) = norm {
        settings["norm_name"] = normalization(&args.at, "norm_name", &norm)?;
    }
    // Heads that only training asks for.
    args.ignore(&["deep_supervision", "deep_supr_num"]);
    Ok(settings)
}

/// A name, or a name with settings, as MONAI's factories take them.
fn named(
    at: &str,
    key: &str,
    value: &Json,
) -> Result<(String, serde_json::Map<String, Json>), Refusal> {
    let parts = match value {
        Json::String(name) => Some((name, None)),
        Json::Array(list) => match list.as_slice() {
            [Json::String(name)] => Some((name, None)),
            [Json::String(name), Json::Object(settings)] => Some((name, Some(settings))),
            _ => None,
        },
        _ => None,
    };
    let Some((name, settings)) = parts else {
        return Err(format!("{at}#{key} is {value}, and neither a name nor one with settings"));
    };
    let settings = settings.into_iter().flatten();
    // In place or not, the values are the same.
    let settings = settings.filter(|(key, value)| *key != "inplace" && !value.is_null());
    let settings = settings.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok((name.to_lowercase(), settings))
}

fn activation(at: &str, key: &str, value: &Json) -> Result<Json, Refusal> {
    let (name, mut settings) = named(at, key, value)?;
    let act = match name.as_str() {
        // Initial values are replaced by those of the file.
        "prelu" => {
            settings.remove("init");
            take(&mut settings, "num_parameters", &json!(1), json!("prelu"))
        }
        "leakyrelu" => {
            let slope = settings.remove("negative_slope").unwrap_or(json!(0.01));
            Some(json!({ "leaky_relu": slope }))
        }
        "elu" => Some(json!({ "elu": settings.remove("alpha").unwrap_or(json!(1.0)) })),
        "swish" | "memswish" => take(&mut settings, "alpha", &json!(1.0), json!("silu")),
        "relu" | "gelu" | "mish" | "tanh" | "silu" => Some(json!(name)),
        "memmish" => Some(json!("mish")),
        _ => None,
    };
    let known = "prelu, relu, leakyrelu, elu, gelu, swish, mish, tanh";
    act.filter(|_| settings.is_empty()).ok_or_else(|| refused(at, key, value, "activation", known))
}

fn normalization(at: &str, key: &str, value: &Json) -> Result<Json, Refusal> {
    let (name, mut settings) = named(at, key, value)?;
    // How fast running statistics move does nothing in prediction.
    settings.remove("momentum");
    let near = |value: Option<Json>| value.is_none_or(|it| it.as_f64() == Some(1e-5));
    let eps = near(settings.remove("eps"));
    let affine = settings.remove("affine");
    let tracks = settings.remove("track_running_stats");
    let norm = match name.as_str() {
        "instance" if tracks.as_ref().is_none_or(|it| *it == json!(false)) => {
            Some(json!({ "instance": { "affine": affine.unwrap_or(json!(false)) } }))
        }
        "batch" if affine.as_ref().is_none_or(|it| *it == json!(true)) => Some(json!("batch")),
        "group" if affine.as_ref().is_none_or(|it| *it == json!(true)) => {
            settings.remove("num_groups").map(|groups| json!({ "group": { "num_groups": groups } }))
        }
        _ => None,
    };
    let known = "instance, batch and group with an eps of 0.00001";
    norm.filter(|_| eps && settings.is_empty())
        .ok_or_else(|| refused(at, key, value, "norm", known))
}

/// `then`, where a setting is absent or what it is here.
fn take(
    settings: &mut serde_json::Map<String, Json>,
    key: &str,
    known: &Json,
    then: Json,
) -> Option<Json> {
    let same = settings.remove(key).is_none_or(|value| value.as_f64() == known.as_f64());
    same.then_some(then)
}

fn refused(at: &str, key: &str, value: &Json, what: &str, known: &str) -> Refusal {
    format!("{at}#{key} is {value}, an {what} that there is not here; there are {known}")
        .replace("an norm", "a norm")
}
