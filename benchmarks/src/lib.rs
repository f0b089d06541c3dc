//! What benchmarks share: layers, networks and steps of fixed sizes, seeded.

mod engine_step;
mod layer;
mod memory;
mod objective;
mod patches;
mod place;
mod score;
mod volume;

pub use crate::engine_step::{EngineRequest, EngineWork};
pub use crate::layer::{Layer, LayerRequest};
pub use crate::memory::{Watermark, peak_memory};
pub use crate::objective::{LossRequest, Objective};
pub use crate::patches::{PatchRequest, PatchWork};
pub use crate::place::Place;
pub use crate::score::{Score, ScoreRequest, ScoreWork};
pub use crate::volume::{Task, VolumeRequest, VolumeWork};

use candle::{DType, Device, Tensor};
use sconce::engine::{Batch, LabelSupervision, Progress, step};
use sconce::losses::{LossConfig, Target};
use sconce::models::{Input, Interface, Model, ModelConfig};
use sconce::nn::{Optimizer, OptimizerConfig, Parameters};

/// A network with its parameters, ready to be timed.
#[derive(Debug)]
pub struct Subject {
    parameters: Parameters,
    model: Box<dyn Model>,
    optimizer: Box<dyn Optimizer>,
    supervision: LabelSupervision,
    batch: Batch,
}

/// The U-Net of `peers/torch_unet.py`, which halves the resolution at every stage.
fn unet(features: &[usize]) -> anyhow::Result<ModelConfig> {
    let settings = serde_json::json!({
        "unet": { "features_per_stage": features, "deep_supervision": false }
    });
    Ok(serde_json::from_value(settings)?)
}

/// Values that differ from voxel to voxel and are the same in each run.
pub(crate) fn pattern(shape: &[usize], device: &Device) -> candle::Result<Tensor> {
    let count = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|at: usize| ((at * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    Tensor::from_vec(values, shape, device)
}

impl Subject {
    /// A U-Net for images `shape = (N, C_in, *S)` of type `dtype` and `classes` classes, trained with
    /// cross entropy.
    ///
    /// # Errors
    ///
    /// Where the network cannot be built.
    pub fn new(
        features: &[usize],
        shape: &[usize],
        classes: usize,
        dtype: DType,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let interface = Interface { channels: shape[1], classes, rank: shape.len() - 2 };
        let parameters = Parameters::new(1, device);
        let config = unet(features)?;
        let model = config.as_dyn().build(interface, parameters.builder())?;
        let images = pattern(shape, device)?.to_dtype(dtype)?;
        let space: Vec<usize> = [&shape[..1], &shape[2..]].concat();
        #[expect(clippy::cast_possible_truncation, reason = "classes are few")]
        let labels: Vec<u32> =
            (0..space.iter().product()).map(|at: usize| (at / 97 % classes) as u32).collect();
        let target = Target::hard(Tensor::from_vec(labels, space, device)?);
        let loss: LossConfig = serde_json::from_value(serde_json::json!({"cross_entropy": {}}))?;
        let optimizer: OptimizerConfig = serde_json::from_value(
            serde_json::json!({"sgd": {"momentum": 0.99, "nesterov": true}}),
        )?;
        Ok(Self {
            parameters,
            model,
            optimizer: optimizer.build(),
            supervision: LabelSupervision::new(loss),
            batch: Batch { images, target, opinions: None, ids: vec![String::new(); shape[0]] },
        })
    }

    /// Forward, loss, backward, optimizer: returns the loss.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn train_step(&mut self) -> anyhow::Result<f64> {
        let progress = Progress { epoch: 0, step: 0, steps: 1 };
        let outcome = step(
            self.model.as_ref(),
            &self.parameters,
            self.optimizer.as_mut(),
            &self.supervision,
            &self.batch,
            progress,
            None,
            1e-4,
        )?;
        Ok(outcome.loss)
    }

    /// Forward alone: returns a logit, so that the device has finished.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails.
    pub fn infer(&self) -> anyhow::Result<f64> {
        let logits = self.model.forward_t(&Input::images(self.batch.images.clone()), false)?;
        let first = logits.main().flatten_all()?.narrow(0, 0, 1)?.to_dtype(DType::F64)?;
        Ok(first.to_vec1::<f64>()?[0])
    }
}
