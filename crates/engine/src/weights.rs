//! Tensors on disk: safetensors with one metadata key.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::file::{Versioned, check_version, write_atomic};
use crate::{Error, Result};

/// The one metadata key; its value is JSON with sorted keys.
pub const METADATA_KEY: &str = "sconce";

/// Writes tensors and `metadata`, atomically.
///
/// Equal tensors and metadata make byte-identical files: names are sorted, and neither time, path,
/// host nor number of threads goes in.
///
/// # Errors
///
/// [`Error::Io`], and [`Error::File`] where the metadata has no JSON form.
pub fn save(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &impl Serialize,
) -> Result<()> {
    write_atomic(path, &serialize(path, tensors, metadata)?)
}

/// The bytes that [`save`] writes; `path` is for messages alone.
pub(crate) fn serialize(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &impl Serialize,
) -> Result<Vec<u8>> {
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut value = serde_json::to_value(metadata).map_err(|error| wrong(error.to_string()))?;
    // Maps keep the order in which they were filled where some dependency wants them to.
    value.sort_all_objects();
    let json = value.to_string();
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
    let mut contiguous = BTreeMap::new();
    for (name, tensor) in tensors {
        contiguous.insert(name.clone(), tensor.to_device(&Device::Cpu)?.contiguous()?);
    }
    safetensors::serialize(contiguous.iter(), Some(metadata))
        .map_err(|error| wrong(error.to_string()))
}

/// Reads tensors to the CPU, and the metadata.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::File`].
pub fn load<M: DeserializeOwned>(path: &Path) -> Result<(BTreeMap<String, Tensor>, M)> {
    load_checked(path, |_| Ok(()))
}

/// The same for metadata that say which version of their format they have.
///
/// # Errors
///
/// As [`load`]; and [`Error::File`], where the version is newer than this program.
pub fn load_versioned<M: DeserializeOwned + Versioned>(
    path: &Path,
) -> Result<(BTreeMap<String, Tensor>, M)> {
    load_checked(path, check_version::<M>)
}

fn load_checked<M: DeserializeOwned>(
    path: &Path,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Result<(BTreeMap<String, Tensor>, M)> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| wrong(error.to_string()))?;
    let json = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(METADATA_KEY))
        .ok_or_else(|| wrong(format!("it has no metadata key {METADATA_KEY}")))?;
    check(json).map_err(wrong)?;
    let metadata = serde_json::from_str(json)
        .map_err(|error| wrong(format!("its metadata are damaged: {error}")))?;
    Ok((read(path, &bytes)?, metadata))
}

/// Reads tensors to the CPU, whatever the metadata.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::File`].
pub fn load_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    read(path, &bytes)
}

fn read(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let tensors = candle::safetensors::load_buffer(bytes, &Device::Cpu)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
    Ok(tensors.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::WeightsMetadata;

    #[test]
    fn equal_weights_are_byte_identical_and_come_back_as_they_were() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let tensors = BTreeMap::from([
            ("b.weight".to_owned(), Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?.t()?),
            ("a.bias".to_owned(), Tensor::new(&[0.5f32], &Device::Cpu)?),
        ]);
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));

        save(&one, &tensors, &json!({"z": 1, "a": [2]}))?;
        save(&two, &tensors, &json!({"a": [2], "z": 1}))?;
        let (back, metadata): (_, Value) = load(&one)?;

        assert_eq!(fs::read(&one)?, fs::read(&two)?);
        assert_eq!(metadata, json!({"a": [2], "z": 1}));
        assert_eq!(back["b.weight"].to_vec2::<f32>()?, [[1.0, 3.0], [2.0, 4.0]]);
        Ok(())
    }

    #[test]
    fn weights_of_a_newer_format_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights");
        let tensors = BTreeMap::from([("a".to_owned(), Tensor::new(&[0.5f32], &Device::Cpu)?)]);
        save(&path, &tensors, &json!({"format": "sconce", "schema": 2}))?;

        let error = load_versioned::<WeightsMetadata>(&path).unwrap_err().to_string();

        assert!(error.contains("its schema is 2") && error.contains("use a newer"), "{error}");
        Ok(())
    }

    #[test]
    fn files_that_are_cut_short_are_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights");
        let tensors = BTreeMap::from([("a".to_owned(), Tensor::new(&[0.5f32; 64], &Device::Cpu)?)]);
        save(&path, &tensors, &json!({}))?;
        let whole = fs::read(&path)?;

        for length in [0, 4, 20, whole.len() - 1] {
            fs::write(&path, &whole[..length])?;
            assert!(load::<Value>(&path).is_err(), "{length} bytes");
        }
        Ok(())
    }
}
