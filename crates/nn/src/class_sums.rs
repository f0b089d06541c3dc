//! Sums over voxels, for each sample and class, of what losses compare.

use candle::{DType, Result, Tensor, bail};

use crate::backend::{Backend, backend};
use crate::{native, reference};

/// What is summed, of the probability `p` and the label `t` of a class at a voxel.
///
/// Sums are listed in the order of [`class_sums`]' first axis.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Summand {
    /// `p t`, `p^q` and `t^q`, `q` 2 where `squared`, else 1: all that Dice, Jaccard and correlation
    /// are made of.
    Overlap {
        /// Whether `p` and `t` are squared.
        squared: bool,
    },
    /// `p^q`, `t^q` and `|p − t|^q`: norms, and the norm of the difference.
    Difference {
        /// The exponent `q`, at least 1.
        exponent: f64,
    },
    /// `p t`, `((1 − t) p)^e`, `(t (1 − p))^e` and `(1 − t) (1 − p)`: what is found, what is wrong, what is
    /// missed, and what is rightly left.
    Errors {
        /// The exponent `e`, at least 1.
        exponent: f64,
    },
    /// `−t ln p`, `−ln p`, `−(1 − t) ln (1 − p)` and `−ln (1 − p)`; under softmax the last two are 0.
    CrossEntropy,
    /// `t ln (t / p)`, 0 where `t` is 0.
    Divergence,
    /// `p t`, `((1 − t) p)^e`, `t (1 − p)^e`, `−t ln p` and `−t (1 − p)^γ ln p`: both parts of the unified
    /// focal loss.
    Focal {
        /// The exponent `e`, at least 1.
        exponent: f64,
        /// The exponent `γ`, at least 0.
        gamma: f64,
    },
}

impl Summand {
    /// How many sums it gives.
    pub fn count(self) -> usize {
        match self {
            Self::Divergence => 1,
            Self::Overlap { .. } | Self::Difference { .. } => 3,
            Self::Errors { .. } | Self::CrossEntropy => 4,
            Self::Focal { .. } => 5,
        }
    }

    /// Its number and its exponents, as kernels of devices know it.
    #[cfg(any(test, feature = "cuda", feature = "metal"))]
    pub(crate) fn number(self) -> (u8, [f64; 2]) {
        match self {
            Self::Overlap { squared } => (0, [if squared { 2.0 } else { 1.0 }, 0.0]),
            Self::Difference { exponent } => (1, [exponent, 0.0]),
            Self::Errors { exponent } => (2, [exponent, 0.0]),
            Self::CrossEntropy => (3, [0.0; 2]),
            Self::Divergence => (4, [0.0; 2]),
            Self::Focal { exponent, gamma } => (5, [exponent, gamma]),
        }
    }
}

/// How logits become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassActivation {
    /// One class for each voxel.
    Softmax,
    /// Each class by itself.
    Sigmoid,
}

/// What logits are compared with.
#[derive(Clone, Debug)]
pub enum ClassLabels {
    /// Class indices, `u32`, `(N, *S)`; an index beyond the classes is none of them.
    Indices(Tensor),
    /// A number for each class, `u8` or float, `(N, C, *S)`.
    Shares(Tensor),
}

/// How [`class_sums`] are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassSums {
    /// How logits become probabilities.
    pub activation: ClassActivation,
    /// How far `p` is kept from 0 and 1; beyond, the gradient is 0. 0 for not at all.
    pub clip: f64,
    /// What logits are divided by before they become probabilities, above 0: 1 as they are.
    pub temperature: f64,
    /// What is summed.
    pub of: Summand,
    /// How the loss changes with the first of the sums, of every sample and class alike, where that is known
    /// before and it takes nothing of the others, which may be NaN then. The gradient may be computed in the same
    /// pass; where the first changes otherwise than foreseen, that was in vain.
    pub foreseen: Option<f64>,
}

impl ClassSums {
    /// Sums of probabilities as they are: not clipped, at temperature 1; nothing is foreseen.
    pub fn new(activation: ClassActivation, of: Summand) -> Self {
        Self { activation, clip: 0.0, temperature: 1.0, of, foreseen: None }
    }

    /// Logits divided by the temperature.
    #[expect(clippy::float_cmp, reason = "a setting is exact")]
    pub(crate) fn tempered(&self, logits: &Tensor) -> Result<Tensor> {
        if self.temperature == 1.0 { Ok(logits.clone()) } else { logits / self.temperature }
    }
}

#[cfg(any(test, feature = "cuda", feature = "metal"))]
impl ClassSums {
    /// Bounds of probabilities and of their logarithms.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        let (low, high) = (self.clip, 1.0 - self.clip);
        if low > 0.0 {
            [low, high, low.ln(), high.ln()]
        } else {
            [0.0, 1.0, f64::NEG_INFINITY, 0.0]
        }
    }
}

/// The sums over the voxels of each sample and class that `settings` name: `(K, N, C)`, for `logits`
/// `(N, C, *S)`, each voxel times its `weight`, `(N, *S)`; differentiable in the logits alone.
///
/// A loss that is a function of such sums needs no tensor as large as the logits but their gradient:
/// native kernels compute probabilities voxel by voxel, in one pass for the sums and one for the
/// gradient, or, of costs whose gradient is [foreseen](ClassSums::foreseen), in one on the CPU. Sums are taken in `f64` on the CPU; on devices in `f32` for 2048 voxels, of which a
/// tree is made in `f64` (CUDA) or `f32` (Metal). Logits are `f32`, and on the CPU also `f64`.
///
/// # Errors
///
/// Where shapes do not fit, or a tensor operation fails.
///
/// # Examples
///
/// ```
/// use candle::{Device, Tensor};
/// use sconce_nn::{ClassActivation, ClassLabels, ClassSums, Summand, class_sums};
///
/// // One sample, two classes, four voxels.
/// let logits = Tensor::zeros((1, 2, 4), candle::DType::F32, &Device::Cpu)?;
/// let labels = ClassLabels::Indices(Tensor::new(&[[1u32, 0, 0, 0]], &Device::Cpu)?);
/// let of = Summand::Overlap { squared: false };
/// let settings = ClassSums::new(ClassActivation::Softmax, of);
/// let sums = class_sums(&logits, &labels, None, &settings)?.to_vec3::<f32>()?;
/// assert_eq!(sums, [[[1.5, 0.5]], [[2.0, 2.0]], [[3.0, 1.0]]]);
/// # Ok::<(), candle::Error>(())
/// ```
pub fn class_sums(
    logits: &Tensor,
    labels: &ClassLabels,
    weight: Option<&Tensor>,
    settings: &ClassSums,
) -> Result<Tensor> {
    let [n, classes, space @ ..] = logits.dims() else {
        bail!("class_sums of logits of shape {:?}; they are (N, C, *S)", logits.dims());
    };
    let voxels = [&[*n], space].concat();
    let expected = match labels {
        ClassLabels::Indices(_) => voxels.as_slice(),
        ClassLabels::Shares(_) => logits.dims(),
    };
    let (ClassLabels::Indices(given) | ClassLabels::Shares(given)) = labels;
    if given.dims() != expected {
        bail!("class_sums of labels of shape {:?}, not {expected:?}", given.dims());
    }
    if let Some(weight) = weight
        && weight.dims() != voxels
    {
        bail!("class_sums with a weight of shape {:?}, not {voxels:?}", weight.dims());
    }
    let is_native = backend() != Backend::Reference
        && (logits.dtype() == DType::F32 && native::exists(DType::F32, logits.device())
            || logits.dtype() == DType::F64 && logits.device().is_cpu())
        && logits.elem_count() > 0;
    if is_native {
        let shape = Shape { samples: *n, classes: *classes, voxels: space.iter().product() };
        native::class_sums(logits, labels, weight, settings, shape)
    } else {
        reference::class_sums(logits, labels, weight, settings)
    }
}

/// Extents of logits, all voxels as one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) samples: usize,
    pub(crate) classes: usize,
    pub(crate) voxels: usize,
}
