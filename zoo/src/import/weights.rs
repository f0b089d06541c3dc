//! Weights that another program has written.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use candle::{DType, Device, Tensor};
use models::canonical_name;
use pytorch::{Checkpoint, Item, TensorInfo};
use zip::ZipArchive;

use crate::{Error, Result};

/// Under which keys a checkpoint keeps its state dict, where it is not one itself.
const KEYS: [&str; 6] =
    ["state_dict", "model_state_dict", "model", "network", "net", "network_weights"];

/// The tensors of a state dict by the names that they have here, in single precision: of a file of safetensors or of
/// `torch.save`, whose pickle is read and not run.
pub(super) fn state_dict(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    if !path.is_file() {
        return Err(Error::io(path)(std::io::ErrorKind::NotFound.into()));
    }
    match path.extension() {
        Some(ending) if ending == "safetensors" => of_safetensors(path),
        _ => of_checkpoint(path),
    }
}

/// Tensors of a checkpoint by the names that they have here, each once, in single precision.
pub(super) fn loaded(
    checkpoint: &mut Checkpoint,
    listed: Vec<(String, TensorInfo)>,
    path: &Path,
) -> Result<BTreeMap<String, Tensor>> {
    let named =
        |(name, info): (String, TensorInfo)| Some((canonical_name(&name)?.to_owned(), info));
    let kept: BTreeMap<String, TensorInfo> = listed.into_iter().filter_map(named).collect();
    // Each tensor has values of its own: what is spread out of a few would fill the memory.
    let all = kept.values().map(TensorInfo::elements).fold(0, usize::saturating_add);
    let storages: BTreeMap<&str, usize> = kept.values().map(TensorInfo::storage).collect();
    if all > storages.values().copied().fold(0, usize::saturating_add) {
        return Err(wrong(path, "its tensors have more values than it holds; get it again"));
    }
    let load = |(name, info)| Ok((name, checkpoint.load(&info)?.to_dtype(DType::F32)?));
    kept.into_iter().map(load).collect()
}

fn wrong(path: &Path, reason: impl Into<String>) -> Error {
    Error::Import { path: path.to_owned(), reason: reason.into() }
}

fn of_safetensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let tensors = candle::safetensors::load_buffer(&bytes, &Device::Cpu);
    let tensors = tensors.map_err(|error| {
        wrong(
            path,
            format!("it is no file of safetensors, or a part of one: {error}; get it again"),
        )
    })?;
    let named = tensors
        .into_iter()
        .filter_map(|(name, tensor)| Some((canonical_name(&name)?.to_owned(), tensor)));
    named.map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?))).collect()
}

fn of_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    if is_torch_script(path)? {
        return Err(wrong(
            path,
            "it is a TorchScript archive, a program with its weights; give the state dict, as \
             torch.save(network.state_dict(), \"model.pt\") writes it",
        ));
    }
    let mut checkpoint = Checkpoint::open(path)?;
    let found = listed(&checkpoint.root()).map_err(|reason| wrong(path, reason))?;
    loaded(&mut checkpoint, found, path)
}

/// The tensors of a checkpoint, which is a state dict or has one.
fn listed(root: &Item<'_>) -> Result<Vec<(String, TensorInfo)>, String> {
    if let Some(class) = root.opaque() {
        return Err(format!(
            "it holds an object, {class}, and no state dict; save network.state_dict() instead"
        ));
    }
    let below = KEYS.iter().filter_map(|&key| root.get(key));
    for item in std::iter::once(*root).chain(below) {
        if item.entries().is_none() {
            continue;
        }
        let found = item.tensors().map_err(|reason| format!("its state dict {reason}"))?;
        if !found.is_empty() {
            let owned = |(name, info): (&str, &TensorInfo)| (name.to_owned(), info.clone());
            return Ok(found.into_iter().map(owned).collect());
        }
    }
    Err(format!(
        "it holds no tensors, neither by itself nor under one of {}; give a state dict",
        KEYS.join(", ")
    ))
}

/// Whether a file has code of its own beside its tensors.
fn is_torch_script(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(Error::io(path))?;
    // What is no archive is refused where it is read.
    let Ok(archive) = ZipArchive::new(file) else { return Ok(false) };
    Ok(archive.file_names().flatten().any(|name| name.ends_with("/constants.pkl")))
}
