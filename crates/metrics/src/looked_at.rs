//! What a calibration error looks at, voxel by voxel and in words.

use crate::{Confidence, Voxel, Voxels};

impl Confidence {
    /// The same for people.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::TopLabel => "the predicted class".to_owned(),
            Self::Foreground => "everything but class 0".to_owned(),
            Self::Class(class) => format!("class {class}"),
        }
    }
}

impl Voxels {
    /// The same for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::All => "all voxels",
            Self::Foreground => "voxels that are not background for certain",
        }
    }

    pub(crate) fn include(self, voxel: &Voxel<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Foreground => !voxel.is_background(),
        }
    }
}
