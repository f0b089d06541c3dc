//! What must hold of every layer, optimizer and parameter store.

/// Arguments that make no sense are refused, in words.
mod arguments;
/// Averages of parameters.
mod average;
/// Tensors of half the size.
mod bf16;
/// Blocks that run again for their gradients.
mod checkpoint;
/// Kernels for CUDA, run on the CPU, agree with the reference.
mod class_sums;
mod cuda_class_sums;
mod cuda_machine;
mod cuda_prelu;
mod cuda_sources;
mod cuda_steps;
mod device;
/// Agreement with PyTorch.
mod golden;
mod golden_ops;
/// How groups of parameters learn, or do not.
mod groups;
/// Steps leave no memory behind.
mod instructions;
mod leak;
mod n_adam;
/// Native kernels agree with the reference, on one thread and on many, and leave nothing behind.
mod native;
mod optimizers;
/// Gradients are derivatives, and transposes are adjoint.
mod pending;
/// Every type that a device has kernels for.
mod precision;
/// Slopes that are learned, after a norm and by themselves.
mod prelu;
mod prepared;
mod properties;
/// Random convolutions.
mod random;
/// Parameters, gradients and optimizers.
mod training;
/// Defects of candle that this crate works around, as they are.
mod upstream;
