//! The way into a network and out of it.

use std::fmt;

use candle::{DType, Result, Tensor};
use onnx::Value;

use crate::{Error, HeadId, Input, Interface, Logits, Model, Sketch};

/// Checks images and turns them into the layout of layers.
#[derive(Debug)]
pub(crate) struct Door {
    interface: Interface,
    stride: Vec<usize>,
}

impl Door {
    /// For images whose extents are multiples of `stride`.
    pub(crate) fn new(interface: Interface, stride: Vec<usize>) -> Self {
        Self { interface, stride }
    }

    pub(crate) fn interface(&self) -> Interface {
        self.interface
    }

    pub(crate) fn stride(&self) -> &[usize] {
        &self.stride
    }

    /// The images of `input`, `(N, *S, C_in)`.
    pub(crate) fn enter(&self, input: &Input) -> Result<Tensor> {
        let Interface { channels, rank, .. } = self.interface;
        let extents = match input.images.dims() {
            [_, actual, extents @ ..] if *actual == channels && extents.len() == rank => extents,
            dims => return Err(Error::Images { actual: dims.to_vec(), channels, rank }.into()),
        };
        let pairs = || extents.iter().zip(&self.stride);
        if pairs().any(|(&extent, &stride)| extent == 0 || !extent.is_multiple_of(stride)) {
            let padded = pairs().map(|(&e, &stride)| e.max(1).next_multiple_of(stride)).collect();
            let (extents, stride) = (extents.to_vec(), self.stride.clone());
            return Err(Error::Extents { extents, stride, padded }.into());
        }
        nn::to_channels_last(&input.images)
    }
}

/// What a head gives, `(N, C, *S)`: in f32 at least, whatever the network is stored in between.
pub(crate) fn leave(x: &Tensor) -> Result<Tensor> {
    let x = nn::to_channels_first(x)?;
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x),
    }
}

/// What lies between the doors of a network.
pub(crate) trait Body: fmt::Debug + Send + Sync {
    /// The heads, `(N, *S', C)` each and the main one first, of images `(N, *S, C_in)`; the main one
    /// alone, where this is not training.
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<(HeadId, Tensor)>>;

    /// The main head of images `(N, C_in, *S)`, as nodes of a graph.
    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value>;
}

/// A body behind its door.
#[derive(Debug)]
pub(crate) struct Housed<B> {
    pub(crate) door: Door,
    pub(crate) body: B,
}

impl<B: Body> Housed<B> {
    /// For images whose extents are multiples of `stride`, along every axis.
    pub(crate) fn boxed(interface: Interface, stride: usize, body: B) -> Box<dyn Model>
    where
        B: 'static,
    {
        let door = Door::new(interface, vec![stride; interface.rank]);
        Box::new(Self { door, body })
    }
}

impl<B: Body> Model for Housed<B> {
    fn interface(&self) -> Interface {
        self.door.interface()
    }

    fn stride(&self) -> &[usize] {
        self.door.stride()
    }

    fn forward_t(&self, input: &Input, train: bool) -> Result<Logits> {
        let heads = self.body.forward_t(&self.door.enter(input)?, train)?;
        let mut heads = heads.into_iter();
        let (_, main) = heads.next().expect("a main head");
        let logits = Logits::new(leave(&main)?);
        heads.try_fold(logits, |logits, (id, head)| Ok(logits.with(id, leave(&head)?)))
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        self.body.onnx(sketch, images)
    }
}
