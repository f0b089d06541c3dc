use candle::Shape;

/// Why a loss could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The logits are not `(N, C, *S)`.
    #[error("logits have shape {0:?}, but (N, C, *S) with one to three spatial axes is needed")]
    LogitsShape(Shape),
    /// The target does not have the shape that the logits ask for.
    #[error("target has shape {actual:?}, but logits of shape {logits:?} ask for {expected:?}")]
    TargetShape {
        /// Shape of the logits, `(N, C, *S)`.
        logits: Shape,
        /// Shape that the target should have.
        expected: Shape,
        /// Shape that it has.
        actual: Shape,
    },
    /// A target cannot be brought to a coarser resolution.
    #[error(
        "a target of {from:?} voxels cannot be brought to {to:?}: each extent must be a multiple \
         of the coarser one"
    )]
    Resolution {
        /// Extents of the target, `*S`.
        from: Vec<usize>,
        /// Extents that were asked for.
        to: Vec<usize>,
    },
    /// The target is soft, and the loss is not minimised by predicting it.
    #[error(
        "{loss} is not smallest where the prediction equals a soft target; use {instead}, or set \
         allow_soft = true to reproduce a paper"
    )]
    SoftTarget {
        /// The loss, as config files name it.
        loss: &'static str,
        /// One that is.
        instead: &'static str,
    },
    /// Settings that contradict each other or the logits.
    #[error("{0}")]
    Settings(String),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle::Error),
}

/// The result of computing a loss.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The same, where settings are wrong, with the name of what they are settings of in front.
    pub(crate) fn within(self, outer: &str) -> Self {
        match self {
            Self::Settings(reason) => Self::Settings(format!("{outer}.{reason}")),
            other => other,
        }
    }
}
