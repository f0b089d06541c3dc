use std::sync::Arc;

use candle::{CpuStorage, Result, Shape, Storage, Tensor};

use super::edge::{Edge, Slot, nothing, ticket};
use super::{Held, tensor_like};
use crate::kernels::element::Values;
use crate::kernels::transpose::{channels_first, channels_last};
use crate::native::node::{Backward, record};

/// Where channels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before the voxels: `(N, C, *S)`.
    First,
    /// Behind them: `(N, *S, C)`.
    Last,
}

impl Turn {
    /// The extents of what comes of `x`, and samples, voxels and channels.
    fn of(self, x: &[usize]) -> Result<(Vec<usize>, [usize; 3])> {
        let (n, inner) = match x {
            [n, inner @ ..] if !inner.is_empty() => (*n, inner),
            _ => candle::bail!("channels of a tensor of shape {x:?}"),
        };
        let mut turned = inner.to_vec();
        let (channels, space) = match self {
            Self::First => {
                turned.rotate_right(1);
                (turned[0], &turned[1..])
            }
            Self::Last => {
                turned.rotate_left(1);
                (inner[0], &inner[1..])
            }
        };
        let extents = [n, space.iter().product(), channels];
        Ok(([&[n], turned.as_slice()].concat(), extents))
    }

    fn back(self) -> Self {
        match self {
            Self::First => Self::Last,
            Self::Last => Self::First,
        }
    }

    fn values<T: Copy + Send + Sync>(self, x: &[T], extents: [usize; 3]) -> Vec<T> {
        match self {
            Self::First => channels_first(x, extents),
            Self::Last => channels_last(x, extents),
        }
    }
}

/// See [`to_channels_first`](crate::to_channels_first) and [`to_channels_last`](crate::to_channels_last).
pub(crate) fn transpose(x: &Tensor, turn: Turn) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let (shape, extents) = turn.of(x.dims())?;
    let shape = Shape::from(shape);
    let edge = Edge::behind(x);
    if edge.is_none() && (extents[1] == 1 || extents[2] == 1) {
        return x.reshape(shape);
    }
    let turned = match Held::of(x)?.get() {
        Values::F32(values) => CpuStorage::F32(turn.values(values, extents)),
        Values::Bf16(values) => CpuStorage::BF16(turn.values(values, extents)),
    };
    let back = Back { turn: turn.back(), extents };
    let Some(edge) = edge else {
        return record(&[x], Storage::Cpu(turned), shape, back);
    };
    let slot = Arc::new(Slot::default());
    let op = BackBehind { back, from: slot.clone(), to: edge.slot };
    let ticket = record(&[&edge.ticket], ticket(), 1, op)?;
    Edge { ticket, slot }.leading_to(turned, &shape)
}

/// The gradient takes the way back.
struct Back {
    turn: Turn,
    extents: [usize; 3],
}

impl Backward for Back {
    const NAME: &'static str = "transpose";

    fn gradients(&self, inputs: &[&Tensor], dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let gradient = self.turn.values(&Held::of(dy)?.wide(), self.extents);
        Ok(vec![Some(tensor_like(gradient, inputs[0]))])
    }
}

/// The same, between two edges.
struct BackBehind {
    back: Back,
    from: Arc<Slot>,
    to: Arc<Slot>,
}

impl Backward for BackBehind {
    const NAME: &'static str = "transpose";

    fn gradients(&self, tickets: &[&Tensor], _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let Back { turn, extents } = self.back;
        self.to.leave(turn.values(&self.from.take()?, extents));
        Ok(vec![Some(nothing(tickets[0])?)])
    }
}
