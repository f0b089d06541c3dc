//! The surface of a mask, and distances between two of them.

mod distances;
mod elements;
mod parts;
mod tree;
mod voxels;

use serde::{Deserialize, Serialize};
use volume::Connectivity;

pub use self::distances::{Distances, Surfaces};
use crate::scan::Masks;

/// What the surface of a mask consists of.
///
/// | | parts | each counts | as in |
/// |---|---|---|---|
/// | `voxels` | voxels with a face neighbour outside, or at the edge of the array | alike | MedPy (`connectivity=1`), MONAI |
/// | `voxels_edges` | … with a neighbour by face or edge outside | alike | MedPy (`connectivity=2`) |
/// | `voxels_corners` | … with a neighbour by face, edge or corner outside | alike | MedPy (`connectivity=3`) |
/// | `elements` | the corners that eight voxels (four in the plane) share, where these are not all alike | by the area, mm², of the surface between them (length, mm) | DeepMind's surface-distance, MONAI with `use_subvoxels=True` |
///
/// Distances run from centre to centre of voxels, or from corner to corner. Only areas make a
/// percentile or a mean independent of how the grid cuts the surface: on a grid of 1 × 1 × 5 mm the
/// border voxels of an upright wall stand for five times the area of those of a lying one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Border voxels, by faces.
    Voxels,
    /// Border voxels, by faces and edges.
    VoxelsEdges,
    /// Border voxels, by faces, edges and corners.
    VoxelsCorners,
    /// Surface elements, each with its area.
    #[default]
    Elements,
}

impl Surface {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Voxels, Self::VoxelsEdges, Self::VoxelsCorners, Self::Elements];

    /// What tells scores of other surfaces apart from those of elements, by their names.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Elements => "",
            Self::Voxels => "_voxels",
            Self::VoxelsEdges => "_voxels_edges",
            Self::VoxelsCorners => "_voxels_corners",
        }
    }

    /// The same for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Elements => "surface elements by their area (surface-distance)",
            Self::Voxels => "border voxels by faces (MedPy, MONAI)",
            Self::VoxelsEdges => "border voxels by faces and edges (MedPy)",
            Self::VoxelsCorners => "border voxels by faces, edges and corners (MedPy)",
        }
    }

    pub(crate) fn distances(self, masks: &Masks, rank: usize, spacing: [f64; 3]) -> Surfaces {
        match self {
            Self::Voxels => voxels::distances(masks, Connectivity::Faces, spacing),
            Self::VoxelsEdges => voxels::distances(masks, Connectivity::Edges, spacing),
            Self::VoxelsCorners => voxels::distances(masks, Connectivity::Corners, spacing),
            Self::Elements => elements::distances(masks, rank, spacing),
        }
    }
}
