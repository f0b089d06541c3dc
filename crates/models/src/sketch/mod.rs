//! Networks as graphs of ONNX.

mod activations;
mod layers;
mod recorded;

use std::collections::BTreeMap;

use candle::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use onnx::{Extent, Graph, Value};

pub(crate) use self::layers::signed;
use self::recorded::Recorded;
use crate::block::Layer;
use crate::{Architecture, Interface};

/// The graph of ONNX that a network adds itself to; see [`Model::onnx`](crate::Model::onnx).
///
/// Values of the graph are `(N, C, *S)`, where tensors within a network are `(N, *S, C)`: each layer says what
/// its channels are to it.
#[derive(Debug)]
pub struct Sketch {
    graph: Graph,
    /// Spatial axes.
    rank: usize,
    parameters: Recorded,
}

/// What goes into a graph, `(N, C_in, *S)`.
const INPUT: &str = "image";

/// The network that `architecture` builds for `interface` of these parameters, as a graph of ONNX: from its
/// input, `image`, `(N, C_in, *S)`, to the logits of the main head, `(N, C, *S)`, which are returned beside
/// it. Whoever has both declares what comes out.
///
/// Batches of any size, and images of any extents that are multiples of
/// [`Model::stride`](crate::Model::stride), go through it. Weights have the names and shapes that they have
/// here; those of other heads are left out.
///
/// # Errors
///
/// Where the network cannot be built of these parameters, or they are more than a file holds.
///
/// # Examples
///
/// ```
/// use candle::Device;
/// use sconce_models::{Architecture, Interface, Unet, extents, to_onnx};
///
/// let interface = Interface { channels: 1, classes: 3, rank: 2 };
/// let settings = Unet { features_per_stage: vec![4, 8, 16], ..Unet::default() };
/// let parameters = nn::Parameters::new(0, &Device::Cpu);
/// settings.build(interface, parameters.builder())?;
///
/// let (mut graph, logits) = to_onnx(&settings, interface, &parameters.tensors()?)?;
/// graph.output("logits", &logits, &extents(3, 2))?;
/// let bytes = graph.encode("an example", "1.0", [("license", "cc0-1.0")])?;
/// # assert!(bytes.len() > 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_onnx(
    architecture: &dyn Architecture,
    interface: Interface,
    parameters: &BTreeMap<String, Tensor>,
) -> Result<(Graph, Value)> {
    let recorded = Recorded::new(parameters.clone());
    let backend = Box::new(recorded.clone());
    let vb = VarBuilder::from_backend(backend, DType::F32, Device::Cpu);
    let model = architecture.build(interface, vb)?;
    let mut graph = Graph::new("sconce");
    let images = graph.input(INPUT, &extents(interface.channels, interface.rank)).map_err(wrap)?;
    let mut sketch = Sketch { graph, rank: interface.rank, parameters: recorded };
    let logits = model.onnx(&mut sketch, &images)?;
    Ok((sketch.graph, logits))
}

/// What a graph calls the extents of its input, and of logits: `(N, channels, *S)`.
pub fn extents(channels: usize, rank: usize) -> Vec<Extent> {
    let axes = ["depth", "height", "width"];
    let named = |name: &&str| Extent::Named((*name).to_owned());
    let space = axes[axes.len().saturating_sub(rank)..].iter().map(named);
    let batch = Extent::Named("batch".to_owned());
    [batch, Extent::Fixed(channels)].into_iter().chain(space).collect()
}

fn wrap(error: onnx::Error) -> candle::Error {
    candle::Error::wrap(error)
}

impl Sketch {
    /// The spatial axes of images.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The graph so far, for nodes that no layer is.
    pub(crate) fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// What `layers` make of `x`, one after the other.
    pub(crate) fn chain(&mut self, layers: &[Box<dyn Layer>], x: &Value) -> Result<Value> {
        layers.iter().try_fold(x.clone(), |x, layer| layer.onnx(self, &[&x]))
    }

    /// What `layers`, at least one, make of `inputs`, which the first of them reads side by side.
    pub(crate) fn run(&mut self, layers: &[Box<dyn Layer>], inputs: &[&Value]) -> Result<Value> {
        let (first, others) = layers.split_first().expect("at least one layer");
        let x = first.onnx(self, inputs)?;
        self.chain(others, &x)
    }

    /// All channels side by side.
    pub(crate) fn joined(&mut self, inputs: &[&Value]) -> Value {
        self.graph.concat(inputs, 1)
    }

    /// The sum of two values.
    pub(crate) fn sum(&mut self, one: &Value, other: &Value) -> Value {
        self.graph.node("Add", &[one, other], &[])
    }

    /// The product of two values.
    pub(crate) fn product(&mut self, one: &Value, other: &Value) -> Value {
        self.graph.node("Mul", &[one, other], &[])
    }

    /// A parameter, under the name that it has among all.
    pub(crate) fn parameter(&mut self, tensor: &Tensor) -> Result<Value> {
        let Some(name) = self.parameters.name(tensor) else {
            candle::bail!("a layer has a parameter of shape {:?} without a name", tensor.dims());
        };
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        self.graph.parameter(&name, &values, tensor.dims()).map_err(wrap)
    }

    /// A parameter of one number for each channel, in a shape that goes with `(N, C, *S)`.
    pub(crate) fn per_channel(&mut self, tensor: &Tensor) -> Result<Value> {
        let parameter = self.parameter(tensor)?;
        let shape = [vec![-1], vec![1; self.rank]].concat();
        self.reshape(&parameter, &shape)
    }

    /// A single number.
    #[expect(clippy::cast_possible_truncation, reason = "graphs compute in f32")]
    pub(crate) fn number(&mut self, number: f64) -> Result<Value> {
        self.numbers(&[number as f32])
    }

    /// Numbers that no parameter is, in the shape of a tensor.
    pub(crate) fn constant(&mut self, tensor: &Tensor) -> Result<Value> {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        self.graph.numbers(&values, tensor.dims()).map_err(wrap)
    }

    fn numbers(&mut self, numbers: &[f32]) -> Result<Value> {
        self.graph.numbers(numbers, &[numbers.len()]).map_err(wrap)
    }

    /// Whole numbers, as one axis.
    pub(crate) fn integers(&mut self, numbers: &[i64]) -> Result<Value> {
        self.graph.integers(numbers).map_err(wrap)
    }

    /// `x` in another shape: 0 stands for the extent that it has there, −1 for what is left.
    pub(crate) fn reshape(&mut self, x: &Value, shape: &[i64]) -> Result<Value> {
        self.graph.reshape(x, shape).map_err(wrap)
    }
}
