//! What a kernel is told besides its tensors: words in the order of the fields of a structure.

use candle::Result;

use crate::activation::Form;

/// The words of a structure of 32-bit numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(Vec<u32>);

impl Settings {
    /// Of a structure that begins with these numbers.
    pub(super) fn of(numbers: &[usize]) -> Result<Self> {
        Self::default().and(numbers)
    }

    /// With these numbers next. Kernels count in 32 bits, so that larger ones are refused.
    pub(super) fn and(mut self, numbers: &[usize]) -> Result<Self> {
        for &number in numbers {
            let Ok(word) = u32::try_from(number) else {
                candle::bail!("{number} values are more than a Metal kernel counts");
            };
            self.0.push(word);
        }
        Ok(self)
    }

    /// With a real number next.
    pub(super) fn real(mut self, number: f64) -> Self {
        self.0.push(narrow(number).to_bits());
        self
    }

    /// With the number of an activation, and its setting, next.
    pub(super) fn act(self, form: Form) -> Result<Self> {
        let (kind, setting) = form.number();
        Ok(self.and(&[kind.into()])?.real(setting))
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "kernels compute in single precision")]
fn narrow(number: f64) -> f32 {
    number as f32
}
