//! Layers that run again for their gradients.

use std::sync::Arc;

use candle::Result;
use nn::Pending;
use onnx::Value;

use crate::block::{Layer, Layers, run};
use crate::sketch::Sketch;

/// Layers one after the other, of which training keeps the inputs and the result alone, as
/// [`nn::checkpoint_of`] says.
#[derive(Debug)]
pub(crate) struct Checkpoint(Arc<Layers>);

impl Checkpoint {
    /// `layers` as one such layer.
    pub(crate) fn of(layers: Layers) -> Layers {
        vec![Box::new(Self(Arc::new(layers)))]
    }
}

impl Layer for Checkpoint {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        if !train {
            return run(&self.0, inputs, train);
        }
        let layers = Arc::clone(&self.0);
        nn::checkpoint_of(inputs, move |inputs| run(&layers, inputs, train))
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        sketch.run(&self.0, inputs)
    }
}
