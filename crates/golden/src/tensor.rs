use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, TensorView};

/// A reference tensor, its values widened to `f64` whatever it is stored as.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// What it is stored as: `F64`, `F32`, `I64`, `U8`, …
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, last axis fastest.
    pub values: Vec<f64>,
}

impl Tensor {
    pub(crate) fn from_view(view: &TensorView<'_>) -> anyhow::Result<Self> {
        fn each<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            let (chunks, _) = data.as_chunks::<N>();
            chunks.iter().map(|&chunk| read(chunk)).collect()
        }
        let data = view.data();
        #[expect(clippy::cast_precision_loss, reason = "labels and counts are small")]
        let values = match view.dtype() {
            Dtype::F64 => each(data, f64::from_le_bytes),
            Dtype::F32 => each(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::I64 => each(data, |bytes| i64::from_le_bytes(bytes) as f64),
            Dtype::I32 => each(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
            Dtype::I16 => each(data, |bytes| f64::from(i16::from_le_bytes(bytes))),
            Dtype::I8 => each(data, |bytes| f64::from(i8::from_le_bytes(bytes))),
            Dtype::U16 => each(data, |bytes| f64::from(u16::from_le_bytes(bytes))),
            Dtype::U8 | Dtype::BOOL => each(data, |[byte]| f64::from(byte)),
            other => bail!("golden tensors of dtype {other:?} are not read"),
        };
        let shape = view.shape().to_vec();
        let count: usize = shape.iter().product();
        if count != values.len() {
            bail!("shape {shape:?} does not hold {} values", values.len());
        }
        Ok(Self { dtype: format!("{:?}", view.dtype()), shape, values })
    }

    /// The values as `f32`.
    #[expect(clippy::cast_possible_truncation, reason = "the caller asks for f32")]
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }

    /// The values as `u32`, for class indices.
    ///
    /// # Errors
    ///
    /// Where a value is negative or not whole.
    pub fn to_u32(&self) -> anyhow::Result<Vec<u32>> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be whole and in range"
        )]
        let whole = |&value: &f64| {
            let fits = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
            fits.then_some(value as u32).with_context(|| format!("{value} is not a class index"))
        };
        self.values.iter().map(whole).collect()
    }

    /// The values as a mask: whether each is not 0.
    pub fn to_bool(&self) -> Vec<bool> {
        self.values.iter().map(|&value| value != 0.0).collect()
    }
}
