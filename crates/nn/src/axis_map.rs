//! Linear maps along one axis: what resizing, average pooling and padding are made of.

use candle::{Result, Tensor};

use crate::backend::is_native;
use crate::{native, reference};

/// A sparse matrix: each output is a weighted sum of a few inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AxisMap {
    inputs: usize,
    starts: Vec<usize>,
    terms: Vec<(usize, f64)>,
}

impl AxisMap {
    /// The map to `outputs` values, of which value `o` has the terms `of(o)`, (input, weight) each.
    pub(crate) fn new<T>(inputs: usize, outputs: usize, of: impl Fn(usize) -> T) -> Self
    where
        T: IntoIterator<Item = (usize, f64)>,
    {
        let mut starts = vec![0];
        let mut terms = Vec::new();
        for output in 0..outputs {
            terms.extend(of(output));
            starts.push(terms.len());
        }
        debug_assert!(terms.iter().all(|&(input, _)| input < inputs), "a term beyond the input");
        Self { inputs, starts, terms }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// The terms of `output`, (input, weight) each.
    pub(crate) fn terms(&self, output: usize) -> &[(usize, f64)] {
        &self.terms[self.starts[output]..self.starts[output + 1]]
    }

    /// The adjoint map.
    pub(crate) fn transpose(&self) -> Self {
        let mut columns = vec![Vec::new(); self.inputs];
        for output in 0..self.outputs() {
            for &(input, weight) in self.terms(output) {
                columns[input].push((output, weight));
            }
        }
        Self::new(self.outputs(), self.inputs, |input| columns[input].clone())
    }

    /// Whether each output is the input of the same number.
    fn is_identity(&self) -> bool {
        #[expect(clippy::float_cmp, reason = "a weight of 1 is written as such")]
        let same =
            |output: usize| matches!(self.terms(output), [(i, w)] if *i == output && *w == 1.0);
        self.inputs == self.outputs() && (0..self.outputs()).all(same)
    }
}

/// `x`, `(N, *S, C)`, with one map applied along each spatial axis.
pub(crate) fn map_axes(op: &'static str, x: &Tensor, maps: &[AxisMap]) -> Result<Tensor> {
    let native = is_native(op, x)?;
    // Whatever shrinks goes first: the later maps then have less to do.
    let mut order: Vec<usize> = (0..maps.len()).collect();
    order.sort_by(|&a, &b| {
        let growth = |axis: usize| maps[axis].outputs() as f64 / maps[axis].inputs() as f64;
        growth(a).total_cmp(&growth(b))
    });
    let mut y = x.contiguous()?;
    for axis in order {
        if maps[axis].is_identity() {
            continue;
        }
        y = if native {
            native::map_axis(&y, axis + 1, &maps[axis])?
        } else {
            reference::map_axis(&y, axis + 1, &maps[axis])?
        };
    }
    Ok(y)
}
