//! Gradients by name.

use std::collections::BTreeMap;

use candle::{DType, Result, Tensor};

/// The gradient of each parameter, by name: `None` where the loss does not depend on it.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    tensors: BTreeMap<String, Option<Tensor>>,
}

impl Gradients {
    /// Of these values; what they carry of a graph is dropped.
    pub fn new(tensors: BTreeMap<String, Option<Tensor>>) -> Self {
        let detach = |(name, gradient): (String, Option<Tensor>)| {
            (name, gradient.map(|gradient| gradient.detach()))
        };
        Self { tensors: tensors.into_iter().map(detach).collect() }
    }

    /// The gradient of the parameter `name`, if it has one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)?.as_ref()
    }

    /// All parameters by name, with their gradients.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Tensor>)> {
        self.tensors.iter().map(|(name, gradient)| (name.as_str(), gradient.as_ref()))
    }

    /// The parameters that have no gradient, by name.
    pub fn without(&self) -> Vec<&str> {
        self.iter().filter(|(_, gradient)| gradient.is_none()).map(|(name, _)| name).collect()
    }

    /// The Euclidean norm over all of them; 0 where there are none.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn norm(&self) -> Result<f64> {
        let mut total = 0.0;
        for gradient in self.tensors.values().flatten() {
            total += sum_of_squares(gradient)?;
        }
        Ok(total.sqrt())
    }

    /// The parameter with the largest gradient, by Euclidean norm, and that norm; one that is not
    /// finite counts as larger than all others.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn largest(&self) -> Result<Option<(&str, f64)>> {
        let mut largest: Option<(&str, f64)> = None;
        for (name, gradient) in self.iter() {
            let Some(gradient) = gradient else { continue };
            let norm = sum_of_squares(gradient)?.sqrt();
            // `total_cmp` puts NaN above infinity.
            if largest.is_none_or(|(_, most)| norm.abs().total_cmp(&most.abs()).is_gt()) {
                largest = Some((name, norm));
            }
        }
        Ok(largest)
    }

    /// Whether every value is finite.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn all_finite(&self) -> Result<bool> {
        for gradient in self.tensors.values().flatten() {
            // 0 · x is 0 for a finite x, and NaN else.
            let remainder = gradient.zeros_like()?.mul(gradient)?.abs()?.flatten_all()?;
            if remainder.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()? != 0.0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds `other` to these, as for the next part of a batch. There is no graph in either, so none in the
    /// sum. Where these have no gradient yet they share that of `other`, without a copy; a parameter that
    /// neither has one for is listed as such.
    ///
    /// # Errors
    ///
    /// Where the shapes of a parameter differ.
    pub fn add_assign(&mut self, other: &Self) -> Result<()> {
        for (name, gradient) in &other.tensors {
            match (self.tensors.get_mut(name), gradient) {
                (Some(Some(own)), Some(gradient)) => *own = (&*own + gradient)?,
                (Some(Some(_)), None) => {}
                (Some(own), gradient) => own.clone_from(gradient),
                (None, gradient) => {
                    self.tensors.insert(name.clone(), gradient.clone());
                }
            }
        }
        Ok(())
    }

    /// Multiplies every value by `factor`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        for gradient in self.tensors.values_mut().flatten() {
            *gradient = (&*gradient * factor)?;
        }
        Ok(())
    }
}

/// The sum of the squares of all values, in f64 on the CPU.
fn sum_of_squares(x: &Tensor) -> Result<f64> {
    if !x.device().is_cpu() {
        return x.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar();
    }
    let x = x.flatten_all()?.contiguous()?;
    let square = |value: f64| value * value;
    if x.dtype() == DType::F64 {
        return Ok(x.to_vec1::<f64>()?.into_iter().map(square).sum());
    }
    let values = x.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(|value| square(f64::from(value))).sum())
}

/// Scales the gradients down to the Euclidean norm `max_norm`, where theirs is larger, and returns
/// the norm that they had.
///
/// The factor is `max_norm / (norm + 1e-6)`, as in PyTorch. Where the norm is not finite, so are
/// the gradients afterwards: check it.
///
/// # Errors
///
/// Where a tensor operation fails.
///
/// # Source
///
/// Pascanu, Mikolov, Bengio: *On the difficulty of training recurrent neural networks*, ICML 2013,
/// [arXiv:1211.5063](https://arxiv.org/abs/1211.5063).
pub fn clip_grad_norm(gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let norm = gradients.norm()?;
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 || norm.is_nan() {
        gradients.scale(factor)?;
    }
    Ok(norm)
}
