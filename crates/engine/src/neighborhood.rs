//! The part of an image that calibration looks at.

use std::ops::Range;

use ndarray::{Array4, Axis};
use volume::{BoundingBox, Label};

/// Voxels around the foreground's bounding box that still count.
pub(crate) const MARGIN: usize = 10;

/// Where a label has foreground, by any rater and however improbable, and [`MARGIN`] around it:
/// elsewhere, confidence is a foregone conclusion. All of it where there is no foreground.
pub(crate) fn of_label(label: &Label, ignore: Option<u16>) -> BoundingBox {
    let foreground = |&label: &u16| label > 0 && Some(label) != ignore;
    let found = match label {
        Label::Hard(map) => BoundingBox::of(&map.data, foreground),
        Label::Raters(maps) => {
            together(maps.iter().map(|map| BoundingBox::of(&map.data, foreground)))
        }
        Label::Soft(map) => channels(&map.data, 1..map.data.dim().0),
    };
    grown(found, label.grid().size)
}

/// The same for the probabilities `(C, D, H, W)` of classes, of which some are `foreground`.
pub(crate) fn of_probabilities(truth: &Array4<f32>, foreground: Range<usize>) -> BoundingBox {
    let (_, d, h, w) = truth.dim();
    grown(channels(truth, foreground), [d, h, w])
}

fn channels(probabilities: &Array4<f32>, foreground: Range<usize>) -> Option<BoundingBox> {
    let of = |channel| {
        BoundingBox::of(&probabilities.index_axis(Axis(0), channel), |&probability| {
            probability > 0.0
        })
    };
    together(foreground.map(of))
}

fn together(found: impl Iterator<Item = Option<BoundingBox>>) -> Option<BoundingBox> {
    found.flatten().reduce(|all, one| all.union(&one))
}

fn grown(found: Option<BoundingBox>, size: [usize; 3]) -> BoundingBox {
    found.map_or(BoundingBox::whole(size), |found| found.grown([MARGIN; 3], size))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use volume::{Grid, LabelMap, SoftLabelMap};

    use super::*;

    const SIZE: [usize; 3] = [1, 40, 50];

    fn map(marks: &[(usize, usize, u16)]) -> anyhow::Result<LabelMap> {
        let mut labels = Array3::zeros(SIZE);
        for &(y, x, label) in marks {
            labels[[0, y, x]] = label;
        }
        Ok(LabelMap::new(Grid::new(SIZE, [1.0; 3])?, labels)?)
    }

    #[test]
    fn the_margin_ends_with_the_image_and_ignored_voxels_are_no_foreground() -> anyhow::Result<()> {
        let hard = Label::Hard(map(&[(5, 25, 1), (38, 2, 9)])?);

        let found = of_label(&hard, Some(9));

        assert_eq!(found, BoundingBox { start: [0, 0, 15], end: [1, 16, 36] });
        assert_eq!(of_label(&Label::Hard(map(&[])?), None), BoundingBox::whole(SIZE));
        Ok(())
    }

    #[test]
    fn every_rater_and_every_doubt_counts() -> anyhow::Result<()> {
        let both = BoundingBox { start: [0, 5, 10], end: [1, 31, 41] };
        let raters = Label::raters(vec![map(&[(15, 20, 1)])?, map(&[(20, 30, 2)])?])?;
        let mut truth = Array4::zeros((3, 1, 40, 50));
        truth.index_axis_mut(Axis(0), 0).fill(1.0);
        for (class, y, x) in [(1, 15, 20), (2, 20, 30)] {
            truth[[0, 0, y, x]] = 0.75;
            truth[[class, 0, y, x]] = 0.25;
        }
        let soft = SoftLabelMap::new(Grid::new(SIZE, [1.0; 3])?, truth.clone())?;

        assert_eq!(of_label(&raters, None), both);
        assert_eq!(of_label(&Label::Soft(soft), None), both);
        assert_eq!(of_probabilities(&truth, 1..3), both);
        assert_eq!(of_probabilities(&truth, 0..3), BoundingBox::whole(SIZE));
        Ok(())
    }
}
