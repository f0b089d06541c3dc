//! How much each resolution of a deeply supervised network counts.
//!
//! The heads of a network are supervised with
//! [`Target::at_resolution`](crate::Target::at_resolution) of their own extents, each loss times
//! its weight. A head of weight 0 is best not computed at all: then its parameters have no
//! gradient, and the optimizer leaves them alone, weight decay included, as nnU-Net does.

/// The weights of `heads` resolutions, finest first, as nnU-Net sets them: each half of the one
/// before, the coarsest 0 where there is more than one, and all summing to 1.
///
/// # Source
///
/// Isensee, Jaeger, Kohl, Petersen, Maier-Hein: *nnU-Net: a self-configuring method for deep
/// learning-based biomedical image segmentation*, Nature Methods 18, 2021; version 2 of its code.
///
/// ```
/// assert_eq!(sconce_losses::deep_supervision::weights(3), [2. / 3., 1. / 3., 0.]);
/// assert_eq!(sconce_losses::deep_supervision::weights(1), [1.]);
/// ```
pub fn weights(heads: usize) -> Vec<f64> {
    let counted = if heads > 1 { heads - 1 } else { heads };
    let halves: Vec<f64> =
        (0..heads).scan(1.0, |half, _| Some(std::mem::replace(half, *half / 2.0))).collect();
    let total: f64 = halves[..counted].iter().sum();
    halves
        .iter()
        .enumerate()
        .map(|(i, half)| if i < counted { half / total } else { 0.0 })
        .collect()
}
