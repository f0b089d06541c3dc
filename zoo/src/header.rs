//! What a safetensors file says of itself, without reading its tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// No network has names and shapes beyond this; a length above it is damage.
const LONGEST: u64 = 100 << 20;

/// The number of values in all tensors of a file whose length fits its header.
pub(crate) fn parameters(path: &Path) -> Result<u64> {
    let wrong = |reason: &str| Error::File {
        path: path.to_owned(),
        reason: format!("{reason}; get the model again"),
    };
    let mut file = File::open(path).map_err(Error::io(path))?;
    let size = file.metadata().map_err(Error::io(path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| wrong("it is cut short"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST || length + 8 > size {
        return Err(wrong("its header is cut short or damaged"));
    }
    let mut text = vec![0; usize::try_from(length).map_err(|_| wrong("its header is damaged"))?];
    file.read_exact(&mut text).map_err(Error::io(path))?;
    let header: BTreeMap<String, Value> =
        serde_json::from_slice(&text).map_err(|_| wrong("its header is damaged"))?;
    let (mut count, mut end) = (0u64, 0u64);
    for (_, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let (values, last) = tensor_extent(tensor).ok_or_else(|| wrong("its header is damaged"))?;
        count = count.checked_add(values).ok_or_else(|| wrong("its header is damaged"))?;
        end = end.max(last);
    }
    if (length + 8).checked_add(end) != Some(size) {
        return Err(wrong("its length is not what its header says"));
    }
    Ok(count)
}

/// The number of values of a tensor, and where its bytes end.
fn tensor_extent(tensor: &Value) -> Option<(u64, u64)> {
    let shape = tensor.get("shape")?.as_array()?;
    let mut count = 1u64;
    for extent in shape {
        count = count.checked_mul(extent.as_u64()?)?;
    }
    Some((count, tensor.get("data_offsets")?.get(1)?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use candle::{Device, Tensor};

    use super::*;

    #[test]
    fn values_are_counted_and_damage_is_found() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("weights");
        let tensors = BTreeMap::from([
            ("a".to_owned(), Tensor::zeros((2, 3), candle::DType::F32, &Device::Cpu)?),
            ("b".to_owned(), Tensor::zeros(5, candle::DType::F64, &Device::Cpu)?),
        ]);
        engine::weights::save(&path, &tensors, &engine::WeightsMetadata::default())?;

        assert_eq!(parameters(&path)?, 11);
        let whole = fs::read(&path)?;
        for length in [0, 7, 8, 30, whole.len() - 1] {
            fs::write(&path, &whole[..length])?;
            assert!(parameters(&path).is_err(), "{length} bytes");
        }
        let mut longer = u64::MAX.to_le_bytes().to_vec();
        longer.extend(&whole);
        fs::write(&path, longer)?;
        assert!(parameters(&path).is_err());
        Ok(())
    }
}
