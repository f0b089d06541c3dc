//! What a network consists of, without building it for real.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use serde::Serialize;

use crate::{Architecture, Interface};

/// The layers of a network and their parameters, in the order in which they are built.
///
/// Displayed as a table. Running statistics of batch norms are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The layers that have parameters.
    pub layers: Vec<LayerSummary>,
    /// The number of all parameters.
    pub parameters: usize,
    /// What each spatial extent of the images must be a multiple of.
    pub stride: Vec<usize>,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// Its name: what its parameters' names have in common.
    pub name: String,
    /// The shape of its weight.
    pub shape: Vec<usize>,
    /// The number of its parameters.
    pub parameters: usize,
}

impl Summary {
    /// Of the network that `architecture` builds for `interface`. No memory is spent on weights.
    ///
    /// # Errors
    ///
    /// Where the settings contradict each other.
    pub fn of(architecture: &dyn Architecture, interface: Interface) -> Result<Self> {
        let seen = Seen::default();
        let vb = VarBuilder::from_backend(Box::new(seen.clone()), DType::F32, Device::Cpu);
        let stride = architecture.build(interface, vb)?.stride().to_vec();

        let mut layers: Vec<LayerSummary> = Vec::new();
        for (name, shape) in seen.lock().iter() {
            let (layer, parameter) = name.rsplit_once('.').unwrap_or(("", name));
            if parameter.starts_with("running_") {
                continue;
            }
            match layers.last_mut().filter(|last| last.name == layer) {
                Some(last) => last.parameters += shape.elem_count(),
                None => layers.push(LayerSummary {
                    name: layer.to_owned(),
                    shape: shape.dims().to_vec(),
                    parameters: shape.elem_count(),
                }),
            }
        }
        let parameters = layers.iter().map(|layer| layer.parameters).sum();
        Ok(Self { layers, parameters, stride })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<String> =
            self.layers.iter().map(|layer| format!("{:?}", layer.shape)).collect();
        let names = self.layers.iter().map(|layer| layer.name.len());
        let name = names.chain([5]).max().unwrap_or_default();
        let shape = shapes.iter().map(String::len).chain([5]).max().unwrap_or_default();
        writeln!(f, "{:name$}  {:shape$}  {:>10}", "layer", "shape", "parameters")?;
        for (layer, dims) in self.layers.iter().zip(&shapes) {
            writeln!(f, "{:name$}  {dims:shape$}  {:>10}", layer.name, layer.parameters)?;
        }
        write!(f, "{:name$}  {:shape$}  {:>10}", "total", "", self.parameters)
    }
}

/// Parameters that were asked for, in order, each once. None of them takes any memory.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<(String, Shape)>>>);

impl Seen {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<(String, Shape)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimpleBackend for Seen {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut seen = self.lock();
        if !seen.iter().any(|(known, _)| known == name) {
            seen.push((name.to_owned(), shape.clone()));
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle::bail!("parameter {name} is asked for without its shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}
