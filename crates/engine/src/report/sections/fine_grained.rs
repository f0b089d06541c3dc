//! Overlap over classes and images in three orders.

use super::{LARGER, Term, grouped};
use crate::evaluate::Evaluation;
use crate::report::tables::cell;

/// Of the keys `m{overlap}_{kind}`, the last part, in the order of [`TERMS`].
const KINDS: [&str; 5] = ["d", "i", "c", "i_worst_10", "c_worst_10"];

pub(super) const TERMS: &[Term] = &[
    Term::new(
        "Over data",
        LARGER,
        "overlap of each class over the voxels of all images together, mean over classes; undefined where it is of every class",
    ),
    Term::new(
        "Over images",
        LARGER,
        "overlap of each class of each image, mean over the classes of an image, then over images; undefined where it is everywhere",
    ),
    Term::new(
        "Over classes",
        LARGER,
        "overlap of each class of each image, mean over the images of a class, then over classes; undefined where it is everywhere",
    ),
    Term::new("Worst images", LARGER, "as over images, of the worst tenth of images alone"),
    Term::new(
        "Worst images of classes",
        LARGER,
        "as over classes, of the worst tenth of the images of each class alone",
    ),
];

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let groups = [("IoU", "iou"), ("Dice", "dice")].into_iter().map(|(name, key)| {
        let models = evaluations.iter().enumerate();
        let found = models.filter(|(_, one)| !one.fine_grained.is_empty());
        let rows = found.map(|(index, one)| {
            let of = |kind| one.fine_grained.get(&format!("m{key}_{kind}")).copied().flatten();
            (index, KINDS.map(|kind| cell(of(kind))).to_vec())
        });
        (name, rows.collect())
    });
    grouped(evaluations, "Mean overlap in three orders", "overlap", TERMS, groups)
}
