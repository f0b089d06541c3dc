use std::collections::BTreeMap;

use candle::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a network's weights are in its file. In memory, they are of single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// Single precision: as they were learnt.
    #[default]
    F32,
    /// Half precision, 11 significant bits, up to 65504: half the size of the file.
    F16,
    /// The upper half of single precision, 8 significant bits.
    Bf16,
}

impl StoredAs {
    /// Whether it is what is not said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Weights as their file has them.
    pub(crate) fn stored(
        self,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        converted(weights, self.dtype())
    }

    /// Weights as they are once they were stored.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where one is too large for it.
    pub(crate) fn rounded(
        self,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        let rounded = widened(&self.stored(weights)?)?;
        for (name, tensor) in &rounded {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(Error::Settings(format!(
                    "{name} has weights that are too large to be stored as f16; set train.weights = \"f32\" or \"bf16\""
                )));
            }
        }
        Ok(rounded)
    }
}

/// Weights from a file, in single precision.
pub(crate) fn widened(weights: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    converted(weights, DType::F32)
}

fn converted(weights: &BTreeMap<String, Tensor>, dtype: DType) -> Result<BTreeMap<String, Tensor>> {
    weights.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(dtype)?))).collect()
}

#[cfg(test)]
mod tests {
    use candle::Device;

    use super::*;

    #[test]
    fn what_was_stored_once_stays_what_it_is() -> anyhow::Result<()> {
        let weights =
            BTreeMap::from([("a".to_owned(), Tensor::new(&[0.1f32, -3.0, 1e-9], &Device::Cpu)?)]);
        for (stored, expected) in [
            (StoredAs::F32, [0.1, -3.0, 1e-9]),
            (StoredAs::F16, [0.099_975_586, -3.0, 0.0]),
            (StoredAs::Bf16, [0.100_097_656, -3.0, 9.968_062e-10]),
        ] {
            let once = stored.rounded(&weights)?;
            let twice = stored.rounded(&once)?;
            assert_eq!(once["a"].to_vec1::<f32>()?, expected);
            assert_eq!(once["a"].to_vec1::<f32>()?, twice["a"].to_vec1::<f32>()?);
            assert_eq!(stored.stored(&once)?["a"].dtype(), stored.dtype());
        }
        Ok(())
    }

    #[test]
    fn weights_that_are_too_large_are_refused() -> anyhow::Result<()> {
        let weights = BTreeMap::from([("a".to_owned(), Tensor::new(&[1e6f32], &Device::Cpu)?)]);

        let error = StoredAs::F16.rounded(&weights).unwrap_err().to_string();

        assert!(
            error.contains("a has weights that are too large") && error.contains("train.weights"),
            "{error}"
        );
        assert!(StoredAs::Bf16.rounded(&weights).is_ok());
        Ok(())
    }
}
