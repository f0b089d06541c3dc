/// Why a case could not be prepared, or a prediction not be brought back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two numbers do not bound a range.
    #[error(
        "{0:?} is not a range: two finite numbers in ascending order, in the range of the setting"
    )]
    NotInterval([f64; 2]),
    /// There is nothing to plan from.
    #[error("the fingerprint holds no case; add at least one")]
    NoCases,
    /// An image has another number of channels than the plan.
    #[error("the image has {actual} channels, but the plan was made for {expected}")]
    Channels {
        /// Channels of the plan.
        expected: usize,
        /// Channels of the image.
        actual: usize,
    },
    /// CT normalisation without labelled voxels to take statistics from.
    #[error(
        "channel {channel} is to be clipped to the intensities of the foreground, but no case has a \
         labelled voxel; set preprocess.normalize to another scheme"
    )]
    NoForeground {
        /// Its name.
        channel: String,
    },
    /// Image and label, or the masks of several raters, lie elsewhere.
    #[error("label and image lie on different grids: {0}")]
    GridMismatch(String),
    /// A label names a class that there is not.
    #[error(
        "label {label} at voxel {voxel:?} is none of the {classes} classes, nor the ignore index {classes}"
    )]
    LabelRange {
        /// What the label holds.
        label: u16,
        /// Where first, `(z, y, x)`.
        voxel: [usize; 3],
        /// How many classes there are.
        classes: usize,
    },
    /// A soft label has another number of classes.
    #[error("the soft label has {actual} classes, but the data set has {expected}")]
    Classes {
        /// Classes of the data set.
        expected: usize,
        /// Classes of the label.
        actual: usize,
    },
    /// An intensity is not a number.
    #[error(
        "channel {channel} is {value} at voxel {voxel:?}; replace values that are not finite before \
         training or prediction"
    )]
    NotFinite {
        /// Which channel, from 0.
        channel: usize,
        /// Where first, `(z, y, x)`.
        voxel: [usize; 3],
        /// What it is.
        value: f32,
    },
    /// An image that is no photograph.
    #[error(
        "intensities from {minimum} to {maximum} are not those of an 8-bit photograph; use another normalisation"
    )]
    NotRgb {
        /// The smallest intensity.
        minimum: f32,
        /// The largest.
        maximum: f32,
    },
    /// An array has another shape than it must have.
    #[error("an array of shape {actual:?} was given where {expected:?} is needed")]
    Shape {
        /// What is needed.
        expected: Vec<usize>,
        /// What was given.
        actual: Vec<usize>,
    },
    /// Settings that contradict each other or the data.
    #[error("{0}")]
    Settings(String),
    /// Values that do not make up an image or label.
    #[error(transparent)]
    Volume(#[from] volume::Error),
}

/// The result of preprocessing.
pub type Result<T, E = Error> = std::result::Result<T, E>;
