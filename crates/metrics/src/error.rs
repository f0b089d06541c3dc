/// Why something could not be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What is compared does not have one shape.
    #[error("the prediction has shape {prediction:?}, but the reference has {reference:?}")]
    Shape {
        /// Shape of the reference.
        reference: Vec<usize>,
        /// Shape of the prediction.
        prediction: Vec<usize>,
    },
    /// Reference and prediction do not lie on one grid.
    #[error("the prediction does not lie on the grid of the reference: {0}; resample it first")]
    Grid(String),
    /// Masks are neither planes nor volumes.
    #[error("masks have {0} axes, but surfaces are measured in 2 or 3")]
    Rank(usize),
    /// A spacing is missing, or not a positive, finite number.
    #[error("spacing {spacing:?} mm does not give {rank} positive, finite numbers")]
    Spacing {
        /// What was given.
        spacing: Vec<f64>,
        /// How many there should be.
        rank: usize,
    },
    /// A label is no class, and not the one that stands for "do not look here" either.
    #[error("label {label} is not one of {classes} classes, 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The first such label.
        label: u16,
        /// The number of classes.
        classes: usize,
    },
    /// A class that the probabilities do not have.
    #[error("there is no class {class} among {classes}")]
    Class {
        /// The class asked for.
        class: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A value is not a probability.
    #[error("{value} at class {class}, voxel {voxel} of the {what} is not a probability")]
    Probability {
        /// Of prediction or reference.
        what: &'static str,
        /// The value.
        value: f64,
        /// Its class.
        class: usize,
        /// Its voxel, counted in standard order.
        voxel: usize,
    },
    /// More segmentations than can be compared with each other.
    #[error("{count} segmentations cannot be compared with each other, {most} at most")]
    Segmentations {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Reliability tables with different bins cannot be added.
    #[error("a table of {0} bins cannot be added to one of {1}, or their edges differ")]
    Bins(usize, usize),
}

/// The result of a comparison.
pub type Result<T, E = Error> = std::result::Result<T, E>;
