/// Why a network could not be built or refused its images.
///
/// [`Architecture::build`](crate::Architecture::build) and
/// [`Model::forward_t`](crate::Model::forward_t) return candle's error, as candle's traits ask;
/// these situations are its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network of this rank is not built.
    #[error("a network has 2 or 3 spatial axes, not {0}")]
    Rank(usize),
    /// A number that must be at least 1 is 0, or a list that must not be empty is.
    #[error("{0} must be at least 1 everywhere")]
    Zero(&'static str),
    /// A setting that is no number to compute with.
    #[error("{setting} is {value}, but must be a finite number of 0 or more")]
    NotANumber {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: f64,
    },
    /// A list does not have one entry for each stage.
    #[error(
        "{setting} has {actual} entries, but features_per_stage asks for {expected}; leave it \
         empty for the default"
    )]
    Stages {
        /// The setting.
        setting: &'static str,
        /// Entries that it should have.
        expected: usize,
        /// Entries that it has.
        actual: usize,
    },
    /// A plan has fewer stages than the network.
    #[error(
        "the network has {stages} stages, but the patch can be halved for {most} at most; use \
         fewer features_per_stage, a larger patch_size, or give {setting}"
    )]
    Depth {
        /// Stages of the network.
        stages: usize,
        /// Stages of the plan.
        most: usize,
        /// The setting that was left open.
        setting: &'static str,
    },
    /// An entry of a list does not have one number for each spatial axis.
    #[error("stage {stage} of {setting} is {value:?}, but the images have {rank} spatial axes")]
    Axes {
        /// The setting.
        setting: &'static str,
        /// The stage, from 0.
        stage: usize,
        /// Its entry.
        value: Vec<usize>,
        /// Spatial axes of the images.
        rank: usize,
    },
    /// The first stage is not at the resolution of the images.
    #[error("the first of strides is {0:?}, but the first stage sees the images as they are: 1")]
    FirstStride(Vec<usize>),
    /// A kernel has no voxel in its middle.
    #[error("stage {stage} of kernel_sizes is {kernel:?}, but extents must be odd")]
    EvenKernel {
        /// The stage, from 0.
        stage: usize,
        /// Its kernel.
        kernel: Vec<usize>,
    },
    /// The images are not what the interface promises.
    #[error(
        "images have shape {actual:?}, but the network takes (N, {channels}, *S) with {rank} \
         spatial axes"
    )]
    Images {
        /// The shape of the images.
        actual: Vec<usize>,
        /// Channels that the network takes.
        channels: usize,
        /// Spatial axes that it takes.
        rank: usize,
    },
    /// Prompts are not embeddings for each class, or not of the length that the network knows.
    #[error(
        "prompts have shape {actual:?}, but the network takes (C, {expected}), or ({samples}, C, {expected}) for \
         {samples} samples"
    )]
    Prompts {
        /// Their shape.
        actual: Vec<usize>,
        /// Samples of the batch.
        samples: usize,
        /// The length of embeddings.
        expected: usize,
    },
    /// The images' extents are not multiples of the network's stride.
    #[error(
        "images of {extents:?} voxels do not divide by the network's stride {stride:?}; pad them \
         to {padded:?}"
    )]
    Extents {
        /// Spatial extents of the images.
        extents: Vec<usize>,
        /// What each must be a multiple of.
        stride: Vec<usize>,
        /// The next larger extents that are.
        padded: Vec<usize>,
    },
    /// A setting does not make sense, or not with the others.
    #[error("{setting} is {value}, but {rule}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// A tensor of a pretrained encoder is missing or surplus, or does not fit.
    #[error("weights of {encoder}: {name} {problem}")]
    Weights {
        /// The encoder.
        encoder: &'static str,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    pub(crate) fn setting(
        setting: &'static str,
        value: &dyn std::fmt::Display,
        rule: &'static str,
    ) -> Self {
        Self::Setting { setting, value: value.to_string(), rule }
    }
}

impl From<Error> for candle::Error {
    fn from(error: Error) -> Self {
        Self::wrap(error)
    }
}
