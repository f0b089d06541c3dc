//! Layers for segmentation in 2D and 3D that candle lacks, each with a gradient that is right.
//!
//! Candle 0.11 has no 3D convolution, pooling or interpolation, no instance norm, and stock
//! operations whose gradients are wrong or missing (max pooling, nearest upsampling, layer norm).
//! Every function here takes and returns contiguous tensors **`(N, *S, C)`**: batch, two or three
//! (or one) spatial axes, slowest first, then channels. Weights have PyTorch's shapes and names.
//! [`to_channels_last`] and [`to_channels_first`] are the way in and out.
//!
//! Each layer has a reference implementation out of candle operations, which runs on every device,
//! and a native one, which is fast; [`set_backend`] and [`with_backend`] choose a [`Backend`].
//!
//! | device | feature | native in | state |
//! |---|---|---|---|
//! | CPU | | f32, bf16 | tested |
//! | CUDA | `cuda`, `cudnn` | f32, bf16, f16 | compiles, not yet run on hardware |
//! | Metal | `metal` | f32, f16, bf16 | compiles, not yet run on hardware |
//!
//! Parameters may be f32 beside activations of half the size; sums, statistics and gradients of such
//! parameters are f32. On CUDA devices convolutions use cuDNN with feature `cudnn`, else products of
//! matrices. Where a Metal device does not compile the kernels, a line on stderr says so, and the
//! reference runs. A loop of steps calls [`step_scope`](fn@step_scope).
//!
//! On the CPU native kernels use the best instructions that the processor has; [`set_isa`] and
//! [`with_isa`] choose others ([`Isa`], [`isa`](fn@isa)); [`set_method`] and [`with_method`] choose how
//! they multiply ([`Method`], [`method`](fn@method)). Native results have the same bits for any
//! number of threads, and in every run. Threads are those of rayon's global pool.
//!
//! # Layers
//!
//! | function | layer with parameters | |
//! |---|---|---|
//! | [`conv`](fn@conv) | [`Conv`] | convolution: [`ConvConfig`] |
//! | [`conv_input_gradient`], [`conv_weight_gradient`] | | its gradients by themselves |
//! | [`conv_transpose`](fn@conv_transpose) | [`ConvTranspose`] | its adjoint: [`ConvTransposeConfig`] |
//! | [`instance_norm`] | [`InstanceNorm`] | fused with the activation that follows |
//! | [`instance_norm_gradients`] | | its gradients by themselves |
//! | [`group_norm`] | [`GroupNorm`] | likewise |
//! | [`batch_norm`], [`batch_norm_train`] | [`BatchNorm`] | likewise; [`Statistics`] |
//! | [`layer_norm`] | [`LayerNorm`] | over channels |
//! | [`Act::forward`] | | activations: [`Act`] |
//! | [`prelu`](fn@prelu) | [`Prelu`] | leaky ReLU with learned slopes; fused with norms: [`Activation`] |
//! | [`softmax`](fn@softmax), [`log_softmax`] | | over channels |
//! | [`softmax_along`], [`log_softmax_along`] | | along any axis |
//! | [`class_sums`](fn@class_sums) | | what losses sum over voxels: [`ClassSums`], [`Summand`], [`ClassActivation`], [`ClassLabels`] |
//! | [`max_pool`], [`avg_pool`] | | [`PoolConfig`] |
//! | [`adaptive_avg_pool`] | | to given extents, such as 1 |
//! | [`resize`](fn@resize), [`resize_by`] | | [`Interpolation`] |
//! | [`conv_of`], [`conv_transpose_of`] | [`Pending`] | convolutions that normalize what they read |
//! | [`concat`](fn@concat) | | channels side by side |
//! | [`pad`](fn@pad) | | [`PadMode`] |
//! | [`pixel_shuffle`](fn@pixel_shuffle) | | channels to voxels |
//! | [`grid_sample`](fn@grid_sample) | | [`GridSampleConfig`], [`SampleMode`], [`SamplePadding`] |
//!
//! # Half the memory
//!
//! Tensors in bf16 (f16 too, on a GPU) go through the same layers, with parameters in f32 as they are:
//! a result has the type of the input, a gradient that of what it is a gradient of, and sums and
//! statistics are taken in f32. With [`Isa::Amx`] convolutions round what they read, weights and gradients
//! as well, to bf16.
//!
//! # Training
//!
//! | | |
//! |---|---|
//! | [`Parameters`] | seeded, ordered by name, strictly loaded |
//! | [`frozen`](fn@frozen), [`Frozen`] | parameters for inference |
//! | [`PreparedWeights`] | what is made of them, kept from one patch to the next |
//! | [`Gradients`], [`clip_grad_norm`] | by name, without their graph |
//! | [`OptimizerConfig`], [`Optimizer`] | [`Sgd`], [`Adam`] (and AdamW), [`NAdam`], [`RmsProp`], [`RAdam`] |
//! | [`Rates`], [`RateFactors`] | the learning rate and weight decay of each parameter at a step |
//! | [`GroupsConfig`], [`GroupConfig`], [`NamePattern`] | which parameters learn faster, do not decay, or are frozen |
//! | [`ScheduleConfig`], [`PlateauConfig`] | learning rates over time, which a [`Moment`] is of |
//! | [`WarmupConfig`] | what comes before a schedule |
//! | [`Average`], [`AverageConfig`] | running means of parameters |
//! | [`LossScale`], [`LossScaleConfig`] | gradients that f16 would round to 0 |
//! | [`checkpoint`](fn@checkpoint), [`checkpoint_of`], [`is_repetition`] | less memory for more time |
//! | [`spent`](fn@spent), [`spent_so_far`], [`working_at`] | what the time of a step goes into: [`Spent`], [`Work`] |
//! | [`Setting`] | how a thread computes, taken along to another |
//! | [`step_scope`](fn@step_scope) | what a step leaves on a device is given back |
//! | [`assume_one_stream`] | what a program promises of its CUDA device |
//! | `AllReduce`, with feature `nccl` | sums over the GPUs of several processes |
//! | [`self_test`](fn@self_test) | how far a device is from the reference: [`Report`], [`Difference`] |
//! | [`Error`] | why a layer refused its arguments |
//!
//! # What it is not
//!
//! No f16 on the CPU, no sparse or quantized layers, and no second derivatives: the
//! gradient of a native layer is a constant.

mod act;
mod activation;
#[cfg(feature = "nccl")]
mod all_reduce;
mod average;
mod axis_map;
mod backend;
mod checkpoint;
mod choice;
mod class_sums;
mod concat;
mod conv;
mod conv_gradients;
mod conv_transpose;
mod error;
mod extents;
mod frozen;
mod geometry;
mod gradients;
mod grid_sample;
mod init;
mod isa;
mod kernels;
mod layout;
mod leaf;
mod loss_scale;
mod method;
mod name_pattern;
mod native;
mod norm;
mod one_stream;
mod optim;
mod pad;
mod parameters;
mod pending;
mod pixel_shuffle;
mod pool;
mod prepared;
mod range;
mod reference;
mod resize;
mod schedule;
mod self_test;
mod setting;
mod softmax;
mod spent;
mod step_scope;

pub use crate::act::Act;
pub use crate::activation::{Activation, Prelu, prelu};
#[cfg(feature = "nccl")]
pub use crate::all_reduce::AllReduce;
pub use crate::average::{Average, AverageConfig};
pub use crate::backend::{Backend, backend, set_backend, with_backend};
pub use crate::checkpoint::{checkpoint, checkpoint_of, is_repetition};
pub use crate::class_sums::{ClassActivation, ClassLabels, ClassSums, Summand, class_sums};
pub use crate::concat::concat;
pub use crate::conv::{Conv, ConvConfig, conv};
pub use crate::conv_gradients::{conv_input_gradient, conv_weight_gradient};
pub use crate::conv_transpose::{ConvTranspose, ConvTransposeConfig, conv_transpose};
pub use crate::error::Error;
pub use crate::frozen::{Frozen, frozen};
pub use crate::gradients::{Gradients, clip_grad_norm};
pub use crate::grid_sample::{GridSampleConfig, SampleMode, SamplePadding, grid_sample};
pub use crate::isa::{Isa, isa, set_isa, with_isa};
pub use crate::layout::{to_channels_first, to_channels_last};
pub use crate::leaf::Leaf;
pub use crate::loss_scale::{LossScale, LossScaleConfig};
pub use crate::method::{Method, method, set_method, with_method};
pub use crate::name_pattern::NamePattern;
pub use crate::norm::{
    BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Statistics, batch_norm, batch_norm_train,
    group_norm, instance_norm, instance_norm_gradients, layer_norm,
};
pub use crate::one_stream::assume_one_stream;
pub use crate::optim::{
    Adam, AdamConfig, AdamWConfig, GroupConfig, GroupsConfig, NAdam, NAdamConfig, Optimizer,
    OptimizerConfig, RAdam, RAdamConfig, RateFactors, Rates, RmsProp, RmsPropConfig, Sgd,
    SgdConfig,
};
pub use crate::pad::{PadMode, pad};
pub use crate::parameters::Parameters;
pub use crate::pending::{Pending, conv_of, conv_transpose_of};
pub use crate::pixel_shuffle::pixel_shuffle;
pub use crate::pool::{PoolConfig, adaptive_avg_pool, avg_pool, max_pool};
pub use crate::prepared::PreparedWeights;
pub use crate::resize::{Interpolation, resize, resize_by};
pub use crate::schedule::{Moment, PlateauConfig, ScheduleConfig, WarmupConfig};
pub use crate::self_test::{Difference, Report, self_test};
pub use crate::setting::Setting;
pub use crate::softmax::{log_softmax, log_softmax_along, softmax, softmax_along};
pub use crate::spent::{Spent, Work, spent, spent_so_far, working_at};
pub use crate::step_scope::step_scope;
