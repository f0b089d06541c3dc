//! Steps of a preparation that change no value.

use serde_json::Value as Json;

use super::args::Args;
use super::config::Refusal;

/// The first of several keys.
pub(super) fn first_key(keys: &Json) -> Option<String> {
    match keys {
        Json::Array(list) => list.first()?.as_str().map(str::to_owned),
        other => other.as_str().map(str::to_owned),
    }
}

/// What an argument says of one of several keys.
pub(super) fn entry(value: Option<Json>, index: usize) -> Option<Json> {
    match value? {
        Json::Array(list) => list.get(index).or(list.last()).cloned(),
        other => Some(other),
    }
}

/// Understands what reads a file.
pub(super) fn load_image(mut args: Args<'_>) -> Result<(), Refusal> {
    // Files are read here by what they are.
    args.ignore(&["dtype", "meta_keys", "meta_key_postfix", "overwriting", "allow_missing_keys"]);
    args.ignore(&["image_only", "ensure_channel_first", "simple_keys", "prune_meta_pattern"]);
    args.ignore(&["prune_meta_sep", "expanduser"]);
    let reader = args.get::<String>("reader")?.unwrap_or_default();
    if !["", "NibabelReader", "ITKReader", "PILReader"].contains(&reader.as_str()) {
        return Err(format!("{}#reader is {reader}, which there is not here", args.at));
    }
    args.finish()
}

/// Understands what changes neither a value nor an axis.
pub(super) fn bookkeeping(mut args: Args<'_>) -> Result<(), Refusal> {
    args.ignore(&["strict_check", "channel_dim", "meta_keys", "meta_key_postfix", "data_type"]);
    args.ignore(&["device", "wrap_sequence", "track_meta", "sep", "use_re", "non_blocking"]);
    floating(&mut args, 0)?;
    args.finish()
}

/// Understands another type of values.
pub(super) fn cast(mut args: Args<'_>, index: usize) -> Result<(), Refusal> {
    floating(&mut args, index)?;
    args.finish()
}

/// That values stay numbers with fractions: the text of a type is looked at, whatever surrounds it.
fn floating(args: &mut Args<'_>, index: usize) -> Result<(), Refusal> {
    let Some(dtype) = entry(args.raw("dtype"), index) else { return Ok(()) };
    let name = dtype.as_str().map(|text| text.trim_start_matches('$'));
    let name = name.and_then(|name| name.rsplit('.').next()).unwrap_or_default();
    if dtype.is_null() || ["float", "float32", "float64"].contains(&name) {
        return Ok(());
    }
    Err(format!("{}#dtype is {dtype}; here values are float32", args.at))
}
