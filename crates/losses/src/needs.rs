use std::ops::BitOr;

/// What a loss looks at, beyond each voxel's logits and label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Signed distance maps, see [`Target::with_distance`](crate::Target::with_distance).
    pub distance: bool,
    /// Connected components, see [`Target::with_components`](crate::Target::with_components).
    pub components: bool,
    /// A voxel's neighbors: the loss changes if voxels are shuffled.
    pub neighbors: bool,
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            distance: self.distance || other.distance,
            components: self.components || other.components,
            neighbors: self.neighbors || other.neighbors,
        }
    }
}
