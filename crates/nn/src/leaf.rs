use candle::backprop::GradStore;
use candle::{Device, Result, Tensor, Var};

use crate::backend::{Backend, backend};
use crate::native;

/// A tensor to take gradients of, without the zeros that candle adds each to.
///
/// A loss on the CPU leaves its gradient here as it does with a network's logits; where there is no way
/// past candle's graph, this is a [`Var`].
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
/// use sconce_nn::Leaf;
///
/// let leaf = Leaf::new(&Tensor::new(&[3f32, 4.0], &Device::Cpu)?)?;
/// let gradients = leaf.values().sqr()?.sum_all()?.backward()?;
/// let gradient = leaf.take_gradient(&gradients)?.expect("values were used");
/// assert_eq!(gradient.to_vec1::<f32>()?, [6.0, 8.0]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Debug)]
pub struct Leaf {
    values: Tensor,
    behind: Option<native::Edge>,
}

impl Leaf {
    /// A copy of `values`.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn new(values: &Tensor) -> Result<Self> {
        let is_native = backend() != Backend::Reference
            && native::exists(values.dtype(), values.device())
            && native::defers(values);
        if !is_native {
            let values = Var::from_tensor(values)?.into_inner();
            return Ok(Self { values, behind: None });
        }
        let ticket = Var::zeros(1, candle::DType::F32, &Device::Cpu)?.into_inner();
        let edge = native::Edge::from_ticket(ticket);
        Ok(Self { values: edge.out_of(&values.contiguous()?)?, behind: Some(edge) })
    }

    /// The values, which track operations.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The gradient that a backward pass has left, whose `gradients` these are; `None` where it met
    /// nothing that was made of the values. It is here no more.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn take_gradient(&self, gradients: &GradStore) -> Result<Option<Tensor>> {
        match &self.behind {
            Some(edge) => Ok(edge.take_gradient_like(&self.values)),
            None => Ok(gradients.get(&self.values).cloned()),
        }
    }
}
