use serde::{Deserialize, Serialize};

/// The network that patch and batch are planned for: one of nnU-Net's.
///
/// # Source
///
/// `ExperimentPlanner` of nnU-Net v2; for the others Isensee et al., *nnU-Net Revisited*, MICCAI 2024,
/// [arXiv:2404.09556](https://arxiv.org/abs/2404.09556).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The plain U-Net, for 8 GB.
    #[default]
    Plain,
    /// The U-Net with a residual encoder, for 9 to 11 GB.
    ResencM,
    /// The same, for 24 GB.
    ResencL,
    /// The same, for 40 GB.
    ResencXl,
}

impl Preset {
    /// All of them, smallest first.
    pub const ALL: [Self; 4] = [Self::Plain, Self::ResencM, Self::ResencL, Self::ResencXl];

    /// Whether the encoder is made of residual blocks.
    pub fn is_residual(self) -> bool {
        self != Self::Plain
    }

    /// The memory that it is made for, GB, as nnU-Net counts it.
    pub fn memory(self) -> f64 {
        match self {
            Self::Plain | Self::ResencM => 8.0,
            Self::ResencL => 24.0,
            Self::ResencXl => 40.0,
        }
    }

    /// What fits into that memory: values of all feature maps of [`Self::reference_batch`] patches.
    pub(crate) fn reference(self, rank: usize) -> f64 {
        let [flat, deep] = match self {
            Self::Plain => [85e6, 560e6],
            Self::ResencM => [135e6, 680e6],
            Self::ResencL => [380e6, 2100e6],
            Self::ResencXl => [560e6, 3600e6],
        };
        if rank == 2 { flat } else { deep }
    }

    /// The patches of that figure.
    pub(crate) fn reference_batch(rank: usize) -> f64 {
        if rank == 2 { 12.0 } else { 2.0 }
    }

    /// Of how many patches the values are compared with the reference while a patch is shortened: the
    /// plain planner asks for the smallest batch, the residual ones for the whole of it.
    pub(crate) fn shortening_batch(self, rank: usize) -> f64 {
        if self.is_residual() { Self::reference_batch(rank) } else { 2.0 }
    }

    /// The share of the data set's voxels that a batch may show.
    pub(crate) fn most_shown(self) -> f64 {
        if self.is_residual() { 1.0 } else { 0.05 }
    }

    /// Channels of a stage, finest first.
    pub(crate) fn features(stage: usize, rank: usize) -> usize {
        let most = if rank == 2 { 512 } else { 320 };
        most.min(32 << stage.min(16))
    }

    /// Convolutions of a stage on the way down; of a residual encoder, blocks of two.
    pub(crate) fn down(self, stage: usize) -> usize {
        match (self.is_residual(), stage) {
            (false, _) => 2,
            (true, 0) => 1,
            (true, 1) => 3,
            (true, 2) => 4,
            (true, _) => 6,
        }
    }

    /// Convolutions of a stage on the way up.
    pub(crate) fn up(self) -> usize {
        if self.is_residual() { 1 } else { 2 }
    }
}
