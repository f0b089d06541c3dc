//! Segmentation networks.
//!
//! Letters: `N` batch, `C` classes, `*S` two or three spatial axes, slowest first: `(D, H, W)`.
//! Tensors are `(N, C, *S)` at a model's door, both ways; inside, they are `(N, *S, C)`.
//!
//! | in a config file | |
//! |---|---|
//! | `unet` | [`Unet`]: the plain U-Net of nnU-Net |
//! | `text_unet` | [`TextUnet`]: the same, told in words what to segment |
//! | `residual_unet` | [`ResidualUnet`]: its residual-encoder U-Net |
//! | `monai_unet` | [`MonaiUnet`]: MONAI's U-Net, perhaps of residual units |
//! | `basic_unet` | [`BasicUnet`]: MONAI's basic U-Net |
//! | `dyn_unet` | [`DynUnet`]: MONAI's U-Net with a kernel and a stride for each resolution |
//! | `segresnet` | [`SegResNet`]: MONAI's SegResNet |
//! | `attention_unet` | [`AttentionUnet`]: MONAI's U-Net whose skips are weighed |
//! | `miscnn_unet` | [`MiscnnUnet`]: MIScnn's U-Net, with its norm after the activation |
//! | `smp_unet` | [`SmpUnet`]: a U-Net on a pretrained encoder |
//! | `fpn` | [`Fpn`]: a feature pyramid network on such an encoder |
//! | `w_net` | [`WNet`]: two of those, one after the other |
//! | `deeplabv3` | [`DeepLabV3`]: dilated features on such an encoder |
//! | `deeplabv3_plus` | [`DeepLabV3Plus`]: the same, with finer features |
//! | `pspnet` | [`PspNet`]: features and their means on such an encoder |
//! | `upernet` | [`UperNet`]: both on such an encoder, means and a feature pyramid |
//! | `segformer` | [`Segformer`]: features of all resolutions on such an encoder |
//!
//! Every network takes any number of channels, in 2D and in 3D.
//!
//! Around them:
//!
//! - [`Interface`]: what a network is built for; [`Input`]: what it sees of a batch; [`Logits`] with
//!   their [`Head`]s, each named by a [`HeadId`]: what it says.
//! - [`Summary`], made of [`LayerSummary`]s: a table of a network's layers and parameters.
//! - [`canonical_name`]: from the names of an nnU-Net state dict to ours, which are its own.
//! - [`Norm`]: a setting of U-Nets; [`Topology`]: what a plan says of their stages.
//! - [`EncoderKind`], [`Upscaling`]: settings of networks on encoders; [`EncoderSlot`]: where such a network
//!   has one, and what pretrained weights it takes.
//! - [`Normalization`], [`Nonlinearity`], [`AdnOrdering`], [`UpsampleMode`], [`PerAxis`]: settings of
//!   MONAI's networks.
//! - [`to_onnx`]: a network as a graph of ONNX, whose axes have the names of [`extents`]; [`Sketch`]: that graph
//!   while it is made.
//! - [`Error`]: why a network could not be built or refused its images.

mod aspp;
mod attention_unet;
mod basic_unet;
mod block;
mod checkpoint;
mod deeplabv3;
mod deeplabv3_plus;
mod door;
mod dyn_unet;
mod encoder;
mod error;
mod fpn;
mod interface;
mod isotropic;
mod limits;
mod logits;
mod miscnn_unet;
mod monai;
mod monai_unet;
mod nonlinearity;
mod normalization;
mod per_axis;
mod pspnet;
mod residual_unet;
mod segformer;
mod segresnet;
mod sketch;
mod smp;
mod smp_unet;
mod state_dict;
mod summary;
mod text_unet;
mod topology;
mod unet;
mod unit;
mod upernet;
mod w_net;

use std::borrow::Cow;
use std::fmt;

use candle::Result;
use candle_nn::VarBuilder;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

pub use crate::encoder::{EncoderKind, EncoderSlot};
pub use crate::error::Error;
pub use crate::interface::{Input, Interface};
pub use crate::logits::{Head, HeadId, Logits};
pub use crate::monai::{AdnOrdering, UpsampleMode};
pub use crate::nonlinearity::Nonlinearity;
pub use crate::normalization::Normalization;
pub use crate::per_axis::PerAxis;
pub use crate::sketch::{Sketch, extents, to_onnx};
pub use crate::smp_unet::Upscaling;
pub use crate::state_dict::canonical_name;
pub use crate::summary::{LayerSummary, Summary};
pub use crate::topology::Norm;

/// The settings of a network, from which it is built.
pub trait Architecture: fmt::Debug + Send + Sync {
    /// Builds the network for `interface`, with its parameters under the prefix of `vb`.
    ///
    /// # Errors
    ///
    /// Where the settings contradict each other, or a parameter is missing or of another shape.
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>>;

    /// These settings with the strides and kernels of a plan, where they leave them open: `topology`
    /// has one entry for each stage that images can be halved for, finest first.
    ///
    /// # Errors
    ///
    /// [`Error::Depth`], where the network has more stages than that.
    fn fitted(&self, topology: &Topology) -> std::result::Result<ModelConfig, Error>;

    /// The encoders of this network that pretrained weights exist for.
    fn encoders(&self, _: Interface) -> Vec<EncoderSlot> {
        Vec::new()
    }

    /// The length of the embeddings by which this network is told what to segment, where it is told so in words.
    fn embedding(&self) -> Option<usize> {
        None
    }
}

/// What a plan says of a U-Net's stages, finest first: for each, one number for each spatial axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// How much coarser each stage is than the one before; 1 for the first.
    pub strides: Vec<Vec<usize>>,
    /// Extents of each stage's kernels, odd.
    pub kernel_sizes: Vec<Vec<usize>>,
}

/// A network that maps images to logits.
pub trait Model: fmt::Debug + Send + Sync {
    /// What goes in and what comes out.
    fn interface(&self) -> Interface;

    /// The factor that each spatial extent of the images must be a multiple of, slowest first.
    fn stride(&self) -> &[usize];

    /// The logits of a batch.
    ///
    /// With `train`, all heads; else the main one alone, and no graph beyond what the parameters
    /// ask for.
    ///
    /// # Errors
    ///
    /// Where the images do not fit the interface or [`Model::stride`], or a tensor operation
    /// fails.
    fn forward_t(&self, input: &Input, train: bool) -> Result<Logits>;

    /// Adds what [`Model::forward_t`] computes without `train` to a graph of ONNX: from `images`,
    /// `(N, C_in, *S)`, to the logits of the main head, `(N, C, *S)`, which are returned. See [`to_onnx`].
    ///
    /// # Errors
    ///
    /// Where the graph has no room for the weights.
    fn onnx(&self, sketch: &mut Sketch, images: &onnx::Value) -> Result<onnx::Value>;
}

registry::registry! {
    /// Every network of this crate, as a config file names it.
    pub enum ModelConfig: Architecture {
        "unet" => unet::Unet,
        "residual_unet" => residual_unet::ResidualUnet,
        "monai_unet" => monai_unet::MonaiUnet,
        "basic_unet" => basic_unet::BasicUnet,
        "dyn_unet" => dyn_unet::DynUnet,
        "segresnet" => segresnet::SegResNet,
        "attention_unet" => attention_unet::AttentionUnet,
        "miscnn_unet" => miscnn_unet::MiscnnUnet,
        "smp_unet" => smp_unet::SmpUnet,
        "fpn" => fpn::Fpn,
        "w_net" => w_net::WNet,
        "deeplabv3" => deeplabv3::DeepLabV3,
        "deeplabv3_plus" => deeplabv3_plus::DeepLabV3Plus,
        "pspnet" => pspnet::PspNet,
        "upernet" => upernet::UperNet,
        "segformer" => segformer::Segformer,
        "text_unet" => text_unet::TextUnet,
    }
}

impl Architecture for ModelConfig {
    fn build(&self, interface: Interface, vb: VarBuilder<'_>) -> Result<Box<dyn Model>> {
        self.as_dyn().build(interface, vb)
    }

    fn fitted(&self, topology: &Topology) -> std::result::Result<Self, Error> {
        self.as_dyn().fitted(topology)
    }

    fn encoders(&self, interface: Interface) -> Vec<EncoderSlot> {
        self.as_dyn().encoders(interface)
    }

    fn embedding(&self) -> Option<usize> {
        self.as_dyn().embedding()
    }
}

/// An object with one key, the name of a kind, and that kind's settings.
impl JsonSchema for ModelConfig {
    fn schema_name() -> Cow<'static, str> {
        "ModelConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "The network, with every setting, under the one key that is its name.",
            "propertyNames": { "enum": Self::NAMES },
            "additionalProperties": { "type": "object" },
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}
