//! Model folders, from packing to tampering.

/// Networks that see what others have said before them.
mod cascades;
/// How models differ, and what their licenses forbid.
mod comparing;
/// ONNX files: what is in them, and what cannot become one.
mod exporting;
/// A small network that was never trained, in a run folder.
mod fixture;
/// Models of several networks.
mod folds;
/// Model folders of other implementations, and one of our own.
mod golden;
/// Models of the hub, there and back.
#[cfg(feature = "hub")]
mod hub;
/// Networks of nnU-Net, there and back, and those that cannot be taken over.
mod importing;
/// Bundles of MONAI.
mod importing_monai;
/// Networks of segmentation-models-pytorch, and those that cannot be taken over.
mod importing_smp;
/// Models of older programs.
mod older;
/// What a model folder looks like, and what cannot become one.
mod packing;
/// Bundles of MONAI that cannot be taken over, or that mean harm.
mod refusing_monai;
/// The models that ship: whole, verified, and described by their own evaluations.
mod shipped;
/// What lists and summaries say.
mod showing;
/// Who made a model.
mod signing;
/// What is found when a model folder was changed.
mod tampering;
