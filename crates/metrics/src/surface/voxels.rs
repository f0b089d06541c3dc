use volume::{Connectivity, border, distance_to};

use super::{Distances, Surfaces};
use crate::scan::Masks;

/// Distances between border voxels.
pub(super) fn distances(masks: &Masks, connectivity: Connectivity, spacing: [f64; 3]) -> Surfaces {
    // The margin of background around the masks is what lies beyond the edge of the array.
    let reference = border(&masks.reference, connectivity);
    let prediction = border(&masks.prediction, connectivity);
    let directed = |from: &ndarray::Array3<bool>, to: &ndarray::Array3<bool>| {
        let distance = distance_to(to, |&here| here, spacing);
        let on_border = from.iter().zip(&distance).filter(|&(&here, _)| here);
        Distances::alike(on_border.map(|(_, &mm)| mm).collect())
    };
    Surfaces {
        from_reference: directed(&reference, &prediction),
        from_prediction: directed(&prediction, &reference),
    }
}
