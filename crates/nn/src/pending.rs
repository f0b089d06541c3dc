//! Values with a normalization that is yet to come.

use candle::{D, Result, Tensor};

use crate::activation::Form;
use crate::backend;
use crate::extents::{Extents, per_channel};
use crate::geometry::Geometry;
use crate::norm::{Affine, Cells, Statistics};
use crate::{Activation, ConvConfig, ConvTransposeConfig, concat, native, norm};

/// Values `(N, *S, C)`, and perhaps a normalization with its activation, which whoever reads them
/// applies.
///
/// A network of convolutions, norms and activations holds on to each tensor that a gradient needs: the
/// result of every convolution, and the same once more, normalized. Here the norm belongs to the
/// convolutions that come after it: they normalize what they read, and do so again on the way back,
/// so that one tensor is kept where there were two, and two nodes of the graph become one. Several
/// tensors are read as if their channels stood side by side, which spares the concatenation at a skip
/// connection.
///
/// What a convolution gives is a `Pending` too, so that gradients go from one convolution to the next
/// without the zeros and the sum that candle makes for each tensor of its graph; [`resolve`] gives a
/// tensor.
///
/// Where nothing native reads them, values are normalized at once: the result is the same.
///
/// [`resolve`]: Self::resolve
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_nn::{Act, ConvConfig, Pending, conv_of};
///
/// let x = Tensor::ones((1, 4, 5, 6, 2), DType::F32, &Device::Cpu)?; // (N, D, H, W, C)
/// let skip = Tensor::ones((1, 4, 5, 6, 3), DType::F32, &Device::Cpu)?;
/// let x = Pending::instance_norm(&x, None, None, 1e-5, Act::Relu)?;
/// let weight = Tensor::ones((7, 5, 3, 3, 3), DType::F32, &Device::Cpu)?;
/// let config = ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
/// let y = conv_of(&[&x, &skip.into()], &weight, None, &config)?;
/// assert_eq!(y.resolve()?.dims(), [1, 4, 5, 6, 7]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pending {
    /// Without a graph, where an edge says who they come from.
    values: Tensor,
    edge: Option<native::Edge>,
    /// What the maker of the values said of them.
    known: native::Known,
    norm: Option<Deferred>,
}

/// A normalization that is yet to come.
#[derive(Clone, Debug)]
pub(crate) struct Deferred {
    pub(crate) op: native::Normalization,
    pub(crate) weight: Option<Tensor>,
    pub(crate) bias: Option<Tensor>,
}

impl From<Tensor> for Pending {
    fn from(values: Tensor) -> Self {
        Self { values, edge: None, known: None, norm: None }
    }
}

impl From<&Tensor> for Pending {
    fn from(values: &Tensor) -> Self {
        values.clone().into()
    }
}

impl Pending {
    /// `x`, `(N, *S, C)`, with an [`instance_norm`](crate::instance_norm) to come.
    ///
    /// # Errors
    ///
    /// As [`instance_norm`](crate::instance_norm).
    pub fn instance_norm<'a>(
        x: impl Into<Self>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
        act: impl Into<Activation<'a>>,
    ) -> Result<Self> {
        Self::normalized("instance_norm", x.into(), weight, bias, Cells::Instance, eps, act.into())
    }

    /// `x`, `(N, *S, C)`, with a [`group_norm`](crate::group_norm) to come.
    ///
    /// # Errors
    ///
    /// As [`group_norm`](crate::group_norm).
    pub fn group_norm<'a>(
        x: impl Into<Self>,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
        act: impl Into<Activation<'a>>,
    ) -> Result<Self> {
        let (op, x) = ("group_norm", x.into());
        let cells = Cells::groups(groups, Extents::of(op, &x.values)?.channels)?;
        Self::normalized(op, x, weight, bias, cells, eps, act.into())
    }

    /// `x`, `(N, *S, C)`, with a [`batch_norm`](crate::batch_norm) to come.
    ///
    /// # Errors
    ///
    /// As [`batch_norm`](crate::batch_norm).
    pub fn batch_norm<'a>(
        x: impl Into<Self>,
        running: &Statistics,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
        act: impl Into<Activation<'a>>,
    ) -> Result<Self> {
        let (op, x) = ("batch_norm", x.into().settled()?);
        if !is_native(op, &x.values)? {
            return Ok(crate::batch_norm(&x.values, running, weight, bias, eps, act)?.into());
        }
        let channels = Extents::of(op, &x.values)?.channels;
        let affine = Affine::check(op, weight, bias, channels)?;
        let act = act.into().check(op, channels)?;
        running.check(op, channels)?;
        let (y, ()) = x.deferred(affine, act, |x, _, form| {
            Ok((native::Normalization::fixed(x, running, eps, form)?, ()))
        })?;
        Ok(y)
    }

    /// `x`, `(N, *S, C)`, with a [`batch_norm_train`](crate::batch_norm_train) to come, whose
    /// statistics are known already.
    ///
    /// # Errors
    ///
    /// As [`batch_norm_train`](crate::batch_norm_train).
    pub fn batch_norm_train<'a>(
        x: impl Into<Self>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
        act: impl Into<Activation<'a>>,
    ) -> Result<(Self, Statistics)> {
        let (op, x) = ("batch_norm", x.into().settled()?);
        if !is_native(op, &x.values)? {
            let (y, statistics) = crate::batch_norm_train(&x.values, weight, bias, eps, act)?;
            return Ok((y.into(), statistics));
        }
        let channels = Extents::of(op, &x.values)?.channels;
        let affine = Affine::check(op, weight, bias, channels)?;
        let act = act.into().check(op, channels)?;
        x.deferred(affine, act, |x, known, form| {
            let (norm, mean, variance) =
                native::Normalization::new(x, known, Cells::Batch, eps, form)?;
            Ok((norm, Statistics::of_batch(x, &mean, &variance)?))
        })
    }

    fn normalized(
        op: &'static str,
        x: Self,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        cells: Cells,
        eps: f64,
        act: Activation<'_>,
    ) -> Result<Self> {
        let x = x.settled()?;
        let channels = Extents::of(op, &x.values)?.channels;
        let affine = Affine::check(op, weight, bias, channels)?;
        let act = act.check(op, channels)?;
        if !is_native(op, &x.values)? {
            return Ok(norm::normalize(op, &x.values, affine, cells, eps, act)?.into());
        }
        let (y, ()) = x.deferred(affine, act, |x, known, form| {
            Ok((native::Normalization::new(x, known, cells, eps, form)?.0, ()))
        })?;
        Ok(y)
    }

    /// Without a norm to come.
    fn settled(self) -> Result<Self> {
        if self.norm.is_some() { Ok(self.resolve()?.into()) } else { Ok(self) }
    }

    /// With the norm that `op` makes, and what else it gives.
    fn deferred<T>(
        self,
        affine: Affine<'_>,
        act: Activation<'_>,
        op: impl FnOnce(&Tensor, &native::Known, Form) -> Result<(native::Normalization, T)>,
    ) -> Result<(Self, T)> {
        let values = self.values.contiguous()?;
        let (form, bias) = act.behind(affine.bias, self.channels())?;
        let (op, given) = op(&values, &self.known, form)?;
        let weight = affine.weight.cloned();
        let norm = Some(Deferred { op, weight, bias });
        Ok((Self { values, norm, ..self }, given))
    }

    /// Values of a native operation, where their gradient goes, what is known of them, and their norm, if
    /// there is one to come.
    pub(crate) fn of_parts(
        values: Tensor,
        edge: Option<native::Edge>,
        known: native::Known,
        norm: Option<Deferred>,
    ) -> Self {
        Self { values, edge, known, norm }
    }

    /// The values, normalized where they are to be, as a tensor like any other.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn resolve(&self) -> Result<Tensor> {
        let values = match &self.edge {
            Some(edge) => edge.out_of(&self.values)?,
            None => self.values.clone(),
        };
        match &self.norm {
            Some(Deferred { op, weight, bias }) => {
                let affine = Affine { weight: weight.as_ref(), bias: bias.as_ref() };
                native::apply(&values, affine, op.clone())
            }
            None => Ok(values),
        }
    }

    /// The shape of the values, `(N, *S, C)`.
    pub fn dims(&self) -> &[usize] {
        self.values.dims()
    }

    pub(crate) fn values(&self) -> &Tensor {
        &self.values
    }

    pub(crate) fn edge(&self) -> Option<&native::Edge> {
        self.edge.as_ref()
    }

    pub(crate) fn known(&self) -> native::Known {
        self.known.clone()
    }

    pub(crate) fn norm(&self) -> Option<&Deferred> {
        self.norm.as_ref()
    }

    pub(crate) fn channels(&self) -> usize {
        self.dims().last().copied().unwrap_or_default()
    }
}

/// The [`conv`](crate::conv()) of all channels of `inputs` side by side, each normalized as it is
/// read, where it is to be.
///
/// # Errors
///
/// As [`concat`](crate::concat()) and [`conv`](crate::conv()).
pub fn conv_of(
    inputs: &[&Pending],
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvConfig,
) -> Result<Pending> {
    if !reads_natively("conv", inputs)? {
        return Ok(crate::conv(&joined(inputs)?, weight, bias, config)?.into());
    }
    let geometry = Geometry::of_conv(&side_by_side(inputs)?, weight, config)?;
    per_channel("conv", "bias", bias, geometry.coarse_channels)?;
    native::conv_of(inputs, weight, bias, native::Convolution { geometry, transposed: false })
}

/// The [`conv_transpose`](crate::conv_transpose()) of all channels of `inputs` side by side, each
/// normalized as it is read, where it is to be.
///
/// # Errors
///
/// As [`concat`](crate::concat()) and [`conv_transpose`](crate::conv_transpose()).
pub fn conv_transpose_of(
    inputs: &[&Pending],
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvTransposeConfig,
) -> Result<Pending> {
    if !reads_natively("conv_transpose", inputs)? {
        return Ok(crate::conv_transpose(&joined(inputs)?, weight, bias, config)?.into());
    }
    let geometry = Geometry::of_transpose(&side_by_side(inputs)?, weight, config)?;
    per_channel("conv_transpose", "bias", bias, geometry.fine_channels)?;
    native::conv_of(inputs, weight, bias, native::Convolution { geometry, transposed: true })
}

/// Whether a native convolution reads `inputs` itself.
fn reads_natively(op: &'static str, inputs: &[&Pending]) -> Result<bool> {
    match inputs {
        [input] => is_native(op, &input.values),
        [first, second] => {
            let alike = first.values.dtype() == second.values.dtype();
            Ok(alike && is_native(op, &first.values)?)
        }
        _ => Ok(false),
    }
}

/// All channels, normalized where they are to be.
fn joined(inputs: &[&Pending]) -> Result<Tensor> {
    let tensors = inputs.iter().map(|input| input.resolve()).collect::<Result<Vec<_>>>()?;
    match tensors.as_slice() {
        [tensor] => Ok(tensor.clone()),
        tensors => concat(&tensors.iter().collect::<Vec<_>>()),
    }
}

/// A tensor of the shape that `inputs` have side by side, which takes no memory.
fn side_by_side(inputs: &[&Pending]) -> Result<Tensor> {
    let Some((first, rest)) = inputs.split_first() else { candle::bail!("concat of no tensors") };
    let leading = |input: &Pending| input.dims().split_last().map(|(_, all)| all.to_vec());
    if let Some(other) = rest.iter().find(|input| leading(input) != leading(first)) {
        candle::bail!("concat of tensors of shapes {:?} and {:?}", first.dims(), other.dims());
    }
    let mut shape = first.dims().to_vec();
    if let Some(channels) = shape.last_mut() {
        *channels = inputs.iter().map(|input| input.channels()).sum();
    }
    let value = first.values.flatten_all()?.narrow(D::Minus1, 0, 1)?;
    value.detach().broadcast_as(shape)
}

/// Whether a native convolution can normalize `x` as it reads it.
pub(crate) fn is_native(op: &'static str, x: &Tensor) -> Result<bool> {
    Ok(backend::is_native(op, x)? && native::defers(x))
}
