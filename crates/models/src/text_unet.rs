//! A U-Net that is told in words what to segment.

use candle::{D, DType, Result, Tensor};
use candle_nn::{Init, Linear, Module as _, VarBuilder, linear};
use onnx::Value;
use serde::{Deserialize, Serialize};

use crate::sketch::{Sketch, signed};
use crate::unet::Network;
use crate::{Architecture, Error, Input, Interface, Logits, Model, ModelConfig, Topology, Unet};

/// A [`Unet`] whose last 1×1 convolution has a kernel for each class that is made of the class's name, or of any other
/// words for it.
///
/// Words come as embeddings, unit vectors of a text encoder, `(C, E)`: this network knows no words. Those of the classes that
/// it is trained for are among its parameters, `text.prompts`, which no gradient moves; a network of other prompts is the
/// same network with other rows in them, and [`Input::prompts`] takes their place for a batch. With `e` the embedding of a
/// class, `f` the coarsest stage's features, averaged over the patch, and `x` the features of a voxel,
///
/// ```text
/// h = (relu(A e + a), relu(B f + b))
/// logit(class, voxel) = (K h + k) · x + (O h + o)
/// ```
///
/// so that a class is decided by itself: for sigmoid, not for softmax. No parameter but `text.prompts` depends on the number
/// of classes. Deep heads have features of their own, and the same kernels.
///
/// # Source
///
/// Liu, Zhang, Chen et al.: *CLIP-Driven Universal Model for Organ Segmentation and Tumor Detection*, ICCV 2023,
/// [arXiv:2301.00785](https://arxiv.org/abs/2301.00785): there the controller is one linear map of `e` and `f`, for three
/// small convolutions instead of one.
///
/// # Examples
///
/// ```
/// use candle::{DType, Device, Tensor};
/// use sconce_models::{Architecture, Input, Interface, TextUnet, Unet};
///
/// let interface = Interface { channels: 1, classes: 2, rank: 2 };
/// let unet = Unet { features_per_stage: vec![4, 8], ..Unet::default() };
/// let settings = TextUnet { unet, embedding: 6, ..TextUnet::default() };
/// let parameters = nn::Parameters::new(0, &Device::Cpu);
/// let model = settings.build(interface, parameters.builder())?;
///
/// let images = Tensor::zeros((1, 1, 8, 8), DType::F32, &Device::Cpu)?;
/// let mut input = Input::images(images);
/// assert_eq!(model.forward_t(&input, false)?.main().dims(), [1, 2, 8, 8]);
/// // Three other prompts.
/// input.prompts = Some(Tensor::ones((3, 6), DType::F32, &Device::Cpu)?);
/// assert_eq!(model.forward_t(&input, false)?.main().dims(), [1, 3, 8, 8]);
/// # Ok::<(), candle::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextUnet {
    /// The network before the last convolution.
    pub unet: Unet,
    /// The length of the embeddings, `E`: that of the text encoder that ships is 64, that of CLIP's ViT-B/32 512.
    pub embedding: usize,
    /// How many numbers each of words and image is made into, before they make kernels.
    pub condition: usize,
    /// How many features of a voxel a kernel weighs.
    pub width: usize,
}

impl TextUnet {
    /// The name of the parameter that holds the embeddings of the classes, `(C, E)`.
    pub const PROMPTS: &'static str = "text.prompts";
}

impl Default for TextUnet {
    fn default() -> Self {
        Self { unet: Unet::default(), embedding: 64, condition: 64, width: 16 }
    }
}

impl Architecture for TextUnet {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        interface.check()?;
        let Self { unet, embedding, condition, width } = self;
        for (setting, value) in
            [("embedding", embedding), ("condition", condition), ("width", width)]
        {
            if *value == 0 {
                return Err(Error::Zero(setting).into());
            }
        }
        let features = Interface { classes: *width, ..interface };
        let network = unet.network(features, &vb)?;
        let coarsest = unet.features_per_stage.last().copied().unwrap_or_default();
        let vb = vb.pp("text");
        let drawn = Init::Randn { mean: 0.0, stdev: (*embedding as f64).powf(-0.5) };
        let prompts = vb.get_with_hints((interface.classes, *embedding), "prompts", drawn)?;
        Ok(Box::new(Prompted {
            interface,
            network,
            prompts,
            words: linear(*embedding, *condition, vb.pp("words"))?,
            image: linear(coarsest, *condition, vb.pp("image"))?,
            kernel: linear(2 * condition, *width, vb.pp("kernel"))?,
            offset: linear(2 * condition, 1, vb.pp("offset"))?,
        }))
    }

    fn fitted(&self, topology: &Topology) -> std::result::Result<ModelConfig, Error> {
        Ok(Self { unet: self.unet.fitted_to(topology)?, ..self.clone() }.into())
    }

    fn embedding(&self) -> Option<usize> {
        Some(self.embedding)
    }
}

#[derive(Debug)]
struct Prompted {
    interface: Interface,
    network: Network,
    /// `(C, E)`.
    prompts: Tensor,
    words: Linear,
    image: Linear,
    /// Of words and image side by side.
    kernel: Linear,
    offset: Linear,
}

impl Prompted {
    /// What is made of the words, `(C, D)` or `(N, C, D)`, in the type `dtype`.
    fn of_words(&self, input: Option<&Tensor>, samples: usize, dtype: DType) -> Result<Tensor> {
        let prompts = match input {
            Some(given) => given,
            // No gradient moves them.
            None => &self.prompts.detach(),
        };
        let length = self.prompts.dim(1)?;
        let fits = match prompts.dims() {
            [_, last] => *last == length,
            [n, _, last] => *n == samples && *last == length,
            _ => false,
        };
        if !fits {
            let (actual, expected) = (prompts.dims().to_vec(), length);
            return Err(Error::Prompts { actual, samples, expected }.into());
        }
        self.words.forward(&prompts.to_dtype(dtype)?)?.relu()
    }

    /// Kernels `(N, C, W)` and offsets `(N, C, 1)` of what was made of words, `(C, D)` or `(N, C, D)`, and of the coarsest
    /// features, `(N, *S, F)`.
    fn kernels(&self, words: &Tensor, coarsest: &Tensor) -> Result<(Tensor, Tensor)> {
        let samples = coarsest.dim(0)?;
        let features = coarsest.dim(D::Minus1)?;
        let pooled = coarsest.reshape((samples, (), features))?.mean(1)?;
        let image = self.image.forward(&pooled.to_dtype(words.dtype())?)?.relu()?; // (N, D)
        let (classes, numbers) = (words.dim(D::Minus2)?, words.dim(D::Minus1)?);
        let shape = (samples, classes, numbers);
        let image = image.unsqueeze(1)?.broadcast_as(shape)?;
        let both = Tensor::cat(&[&words.broadcast_as(shape)?, &image], 2)?; // (N, C, 2 D)
        Ok((self.kernel.forward(&both)?, self.offset.forward(&both)?))
    }
}

/// Logits `(N, C, *S)` of features `(N, W, *S)`.
fn applied(features: &Tensor, (kernels, offsets): &(Tensor, Tensor)) -> Result<Tensor> {
    let mut dims = features.dims().to_vec();
    let logits = kernels.matmul(&features.flatten_from(2)?)?.broadcast_add(offsets)?;
    dims[1] = kernels.dim(1)?;
    logits.reshape(dims)
}

impl Model for Prompted {
    fn interface(&self) -> Interface {
        self.interface
    }

    fn stride(&self) -> &[usize] {
        self.network.stride()
    }

    fn forward_t(&self, input: &Input, train: bool) -> Result<Logits> {
        let (features, coarsest) = self.network.forward_with_coarsest(input, train)?;
        let dtype = features.main().dtype();
        let words = self.of_words(input.prompts.as_ref(), input.images.dim(0)?, dtype)?;
        let kernels = self.kernels(&words, &coarsest.resolve()?)?;
        let logits = Logits::new(applied(features.main(), &kernels)?);
        features.heads()[1..].iter().try_fold(logits, |logits, head| {
            Ok(logits.with(head.id, applied(&head.logits, &kernels)?))
        })
    }

    /// Of the prompts that it is built with: a graph knows no others.
    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        let (features, coarsest) = self.network.onnx_with_coarsest(sketch, images)?;
        let (classes, numbers) = (self.prompts.dim(0)?, self.image.weight().dim(0)?);
        let (classes, numbers) = (signed(classes), signed(numbers));
        let pooled = sketch.adaptive_avg_pool(1, &coarsest)?;
        let pooled = sketch.reshape(&pooled, &[0, 1, -1])?;
        let image = relu_of(sketch, &self.image, &pooled)?; // (N, 1, D)
        let prompts = sketch.constant(&self.prompts.unsqueeze(0)?)?;
        let words = relu_of(sketch, &self.words, &prompts)?; // (1, C, D)
        let samples = sketch.graph().shape(images, 0, Some(1));
        let of_sample = sketch.integers(&[classes, numbers])?;
        let shape = sketch.graph().concat(&[&samples, &of_sample], 0);
        let image = sketch.graph().node("Expand", &[&image, &shape], &[]);
        let words = sketch.graph().node("Expand", &[&words, &shape], &[]);
        let both = sketch.graph().concat(&[&words, &image], 2);
        let kernels = mapped(sketch, &self.kernel, &both)?;
        let offsets = mapped(sketch, &self.offset, &both)?;
        let space = sketch.graph().shape(&features, 2, None);
        let width = signed(self.kernel.weight().dim(0)?);
        let flat = sketch.reshape(&features, &[0, width, -1])?;
        let logits = sketch.graph().node("MatMul", &[&kernels, &flat], &[]);
        let logits = sketch.sum(&logits, &offsets);
        let lead = sketch.integers(&[0, classes])?;
        let shape = sketch.graph().concat(&[&lead, &space], 0);
        Ok(sketch.graph().node("Reshape", &[&logits, &shape], &[]))
    }
}

/// A map of the last axis, as nodes of a graph.
fn mapped(sketch: &mut Sketch, map: &Linear, x: &Value) -> Result<Value> {
    let weight = sketch.parameter(map.weight())?;
    let weight = sketch.graph().transpose(&weight, &[1, 0]);
    let bias = sketch.parameter(map.bias().expect("an offset"))?;
    let product = sketch.graph().node("MatMul", &[x, &weight], &[]);
    Ok(sketch.sum(&product, &bias))
}

fn relu_of(sketch: &mut Sketch, map: &Linear, x: &Value) -> Result<Value> {
    let mapped = mapped(sketch, map, x)?;
    Ok(sketch.graph().node("Relu", &[&mapped], &[]))
}
