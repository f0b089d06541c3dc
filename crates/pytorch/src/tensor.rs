//! A tensor of a file: where its values lie, and how.

use candle::{DType, Device, Tensor};
use half::{bf16, f16};

/// Where the values of a tensor lie in the archive, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub(crate) storage: Storage,
    /// Of the first value, among those of the storage.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// Values in the archive, which several tensors may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    /// The name of the file within the archive.
    pub(crate) key: String,
    /// PyTorch's name of the type, such as `FloatStorage`.
    pub(crate) kind: String,
    /// How many values there are.
    pub(crate) count: usize,
}

impl TensorInfo {
    /// The extent along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many values it has.
    pub fn elements(&self) -> usize {
        // What does not fit is refused when it is read.
        self.shape.iter().fold(1, |all: usize, &extent| all.saturating_mul(extent))
    }

    /// The file within the archive that has its values, and how many there are; tensors may share one.
    pub fn storage(&self) -> (&str, usize) {
        (&self.storage.key, self.storage.count)
    }

    /// Why it does not fit its storage, if so.
    pub(crate) fn fault(&self) -> Option<String> {
        let Self { storage, offset, shape, strides } = self;
        if shape.len() != strides.len() {
            return Some("has more axes than strides, or fewer".to_owned());
        }
        if shape.contains(&0) {
            return None;
        }
        let product = shape.iter().try_fold(1_usize, |all, &extent| all.checked_mul(extent));
        let ends = shape.iter().zip(strides).try_fold(*offset, |last, (extent, stride)| {
            last.checked_add((extent - 1).checked_mul(*stride)?)
        });
        match (product, ends) {
            (Some(product), Some(last)) if last < storage.count && product <= storage.count => None,
            _ => Some(format!("of shape {shape:?} has more values than its file")),
        }
    }
}

/// The type of values, and how many bytes one has.
pub(crate) fn element(kind: &str) -> Option<(DType, usize)> {
    Some(match kind {
        "FloatStorage" => (DType::F32, 4),
        "DoubleStorage" => (DType::F64, 8),
        "HalfStorage" => (DType::F16, 2),
        "BFloat16Storage" => (DType::BF16, 2),
        "LongStorage" => (DType::I64, 8),
        "ByteStorage" | "BoolStorage" => (DType::U8, 1),
        _ => return None,
    })
}

/// The tensor, of all bytes of its storage.
pub(crate) fn tensor(info: &TensorInfo, dtype: DType, bytes: &[u8]) -> candle::Result<Tensor> {
    let shape = info.shape.as_slice();
    let at = places(info);
    let device = &Device::Cpu;
    match dtype {
        DType::F32 => Tensor::from_vec(all(bytes, &at, f32::from_le_bytes), shape, device),
        DType::F64 => Tensor::from_vec(all(bytes, &at, f64::from_le_bytes), shape, device),
        DType::F16 => Tensor::from_vec(all(bytes, &at, f16::from_le_bytes), shape, device),
        DType::BF16 => Tensor::from_vec(all(bytes, &at, bf16::from_le_bytes), shape, device),
        DType::I64 => Tensor::from_vec(all(bytes, &at, i64::from_le_bytes), shape, device),
        _ => Tensor::from_vec(all(bytes, &at, u8::from_le_bytes), shape, device),
    }
}

/// The values at these places.
fn all<const N: usize, T>(bytes: &[u8], at: &[usize], value: fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = bytes.as_chunks::<N>();
    at.iter().map(|&at| value(values[at])).collect()
}

/// Where each value lies, the last axis the fastest.
fn places(info: &TensorInfo) -> Vec<usize> {
    let mut at = Vec::with_capacity(info.elements());
    if info.elements() > 0 {
        at.push(info.offset);
    }
    for (&extent, &stride) in info.shape.iter().zip(&info.strides) {
        at = at.iter().flat_map(|&start| (0..extent).map(move |i| start + i * stride)).collect();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(shape: &[usize], strides: &[usize], offset: usize) -> TensorInfo {
        let storage = Storage { key: "0".into(), kind: "ByteStorage".into(), count: 6 };
        TensorInfo { storage, offset, shape: shape.into(), strides: strides.into() }
    }

    #[test]
    fn values_are_found_by_strides() -> anyhow::Result<()> {
        let bytes = [0, 1, 2, 3, 4, 5];

        let turned = tensor(&info(&[3, 2], &[1, 3], 0), DType::U8, &bytes)?;
        let part = tensor(&info(&[2], &[2], 1), DType::U8, &bytes)?;
        let scalar = tensor(&info(&[], &[], 5), DType::U8, &bytes)?;

        assert_eq!(turned.to_vec2::<u8>()?, [[0, 3], [1, 4], [2, 5]]);
        assert_eq!(part.to_vec1::<u8>()?, [1, 3]);
        assert_eq!(scalar.to_scalar::<u8>()?, 5);
        assert_eq!(tensor(&info(&[0, 2], &[1, 1], 9), DType::U8, &bytes)?.dims(), [0, 2]);
        Ok(())
    }

    #[test]
    fn what_lies_beyond_the_storage_is_refused() {
        assert_eq!(info(&[3, 2], &[2, 1], 0).fault(), None);
        assert_eq!(info(&[0], &[1], 100).fault(), None);
        for wrong in [
            info(&[3, 2], &[2, 1], 1),
            info(&[3, 2], &[2], 0),
            info(&[usize::MAX, 2], &[1, 1], 0),
            info(&[2, 2], &[usize::MAX, 1], 0),
            // One value, spread over a thousand million.
            info(&[1_000_000_000], &[0], 0),
        ] {
            assert!(wrong.fault().is_some(), "{wrong:?}");
        }
    }
}
