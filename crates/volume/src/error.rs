/// Why values do not make up an image.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The array has another shape than the grid.
    #[error("the array has shape {actual:?}, but its grid has size {expected:?}")]
    Shape {
        /// The size of the grid, `(D, H, W)`.
        expected: [usize; 3],
        /// The spatial shape of the array.
        actual: Vec<usize>,
    },
    /// A grid without voxels, or with more than memory can hold.
    #[error("a grid of {0:?} voxels is empty or too large")]
    Size([usize; 3]),
    /// A spacing is not a positive, finite number.
    #[error("spacing {0:?} mm is not positive and finite on every axis")]
    Spacing([f64; 3]),
    /// The directions do not span the space.
    #[error("the axis directions do not span the space (determinant {0})")]
    Direction(f64),
    /// Two things that must share a grid do not.
    #[error("grids differ: {0}")]
    GridMismatch(String),
    /// Class probabilities are out of range or do not sum to one.
    #[error("class probabilities at voxel {voxel:?} sum to {sum}, not to 1")]
    NotProbabilities {
        /// The first such voxel, `(z, y, x)`.
        voxel: [usize; 3],
        /// What they sum to.
        sum: f32,
    },
    /// A bounding box is empty, or reaches beyond the array that it is to be cut out of.
    #[error("the box from {start:?} to {end:?} is empty or not inside an array of {size:?} voxels")]
    Box {
        /// Its first voxel.
        start: [usize; 3],
        /// One past its last voxel.
        end: [usize; 3],
        /// The shape of the array.
        size: Vec<usize>,
    },
    /// What is put back has another shape than the place that it is put into.
    #[error("an array of shape {part:?} does not fit into a place of shape {place:?}")]
    Pasted {
        /// The shape of the place.
        place: Vec<usize>,
        /// The shape of what is put there.
        part: Vec<usize>,
    },
    /// A case with several raters needs at least one mask.
    #[error("a rater label needs at least one mask")]
    NoRaters,
}

/// The result of checking values.
pub type Result<T, E = Error> = std::result::Result<T, E>;
