use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle::{DType, Device, Result, Shape, Tensor, TensorId};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

/// Parameters that remember under which name they were handed out, so that a layer, which knows its tensors
/// alone, can say which ones they are.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    tensors: Arc<BTreeMap<String, Tensor>>,
    names: Arc<Mutex<HashMap<TensorId, String>>>,
}

impl Recorded {
    pub(super) fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        Self { tensors: Arc::new(tensors), names: Arc::default() }
    }

    /// What a tensor was asked for as.
    pub(super) fn name(&self, tensor: &Tensor) -> Option<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&tensor.id()).cloned()
    }
}

impl SimpleBackend for Recorded {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            let (actual, expected) = (tensor.dims(), shape.dims());
            candle::bail!("parameter {name} has shape {actual:?}, but {expected:?} is needed");
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            candle::bail!("parameter {name} is missing");
        };
        let tensor = tensor.detach().to_dtype(dtype)?.to_device(device)?.contiguous()?;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(tensor.id(), name.to_owned());
        Ok(tensor)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
