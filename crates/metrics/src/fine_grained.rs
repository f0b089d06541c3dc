use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use crate::empty::ratio;
use crate::{Confusion, Counts};

/// Overlap over a set of images, averaged in the three orders that there are.
///
/// Pooling all images first lets large objects decide; averaging over images first gives each one
/// a voice; over classes first, each class. In each order, the worst images tell more than the
/// mean of all does.
///
/// Images without a voxel that counts are left out. A class is *active* in an image where it is in
/// the reference or, with [`FineGrained::binary`], in either. Fractions, not percent.
///
/// # Source
///
/// Wang, Berman, Rannen-Triki, Torr, Tuia, Tuytelaars, Van Gool, Yu, Blaschko: *Revisiting
/// Evaluation Metrics for Semantic Segmentation: Optimization and Evaluation of Fine-grained
/// Intersection over Union*, NeurIPS 2023, [arXiv:2310.19252](https://arxiv.org/abs/2310.19252).
/// Its published code lets a class that never occurs enter the worst-case means with a large number
/// that stands for it; here such a mean is undefined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineGrained {
    classes: usize,
    binary: bool,
    images: Vec<Vec<Class>>,
}

/// One class of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    counts: Counts,
    active: bool,
}

/// What of a class is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The share of the reference that is found, `TP / (TP + FN)`.
    Accuracy,
    /// `TP / (TP + FP + FN)`.
    Iou,
    /// `2 TP / (2 TP + FP + FN)`.
    Dice,
}

/// Which images count towards a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worst {
    /// All of them.
    All,
    /// The given percentage with the lowest values, rounded down, but at least one.
    Percent(NonZeroU8),
    /// The mean over 10 %, 20 %, … 100 %.
    Tenths,
}

impl Overlap {
    /// The value for one class; `None` where it is 0 / 0.
    pub fn of(self, counts: &Counts) -> Option<f64> {
        let tp = counts.true_positives as f64;
        let (fp, fn_) = (counts.false_positives as f64, counts.false_negatives as f64);
        match self {
            Self::Accuracy => ratio(tp, tp + fn_),
            Self::Iou => ratio(tp, tp + fp + fn_),
            Self::Dice => ratio(2.0 * tp, 2.0 * tp + fp + fn_),
        }
    }
}

impl FineGrained {
    /// For several classes, background included.
    pub fn new(classes: usize) -> Self {
        Self { classes, binary: false, images: Vec::new() }
    }

    /// For background and one class, of which only the latter counts where classes are not averaged
    /// over. An image where only background is seen and predicted is worth 1.
    pub fn binary() -> Self {
        Self { classes: 2, binary: true, images: Vec::new() }
    }

    /// Adds an image, unless no voxel of it counts.
    pub fn add(&mut self, image: &Confusion) {
        if image.total() == 0 {
            return;
        }
        let class = |class| {
            let counts = image.counts(class);
            let predicted = self.binary && counts.prediction() > 0;
            Class { counts, active: counts.reference() > 0 || predicted }
        };
        self.images.push((0..self.classes).map(class).collect());
    }

    /// Adds the images of another set of as many classes, after its own.
    pub fn merge(&mut self, other: Self) {
        self.images.extend(other.images);
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The counts of one class in one image, and whether the class is active there; `None` where
    /// there is no such image or class.
    pub fn class(&self, image: usize, class: usize) -> Option<(Counts, bool)> {
        self.images.get(image)?.get(class).map(|class| (class.counts, class.active))
    }

    /// The share of all voxels that are right; of [`FineGrained::binary`], the share of the class.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let pooled = self.pooled();
        let right: u64 = pooled.iter().map(|counts| counts.true_positives).sum();
        let all: u64 = pooled.iter().map(Counts::reference).sum();
        ratio(right as f64, all as f64)
    }

    /// All images pooled, then the mean over classes (`mIoU^D`); `None` where one never occurs.
    pub fn over_data(&self, overlap: Overlap) -> Option<f64> {
        mean(&self.pooled().iter().map(|counts| overlap.of(counts)).collect::<Vec<_>>())
    }

    /// The mean over the active classes of each image, then over images (`mIoU^I`); `None` where
    /// that asks for an undefined value, or there is no image.
    pub fn over_images(&self, overlap: Overlap, worst: Worst) -> Option<f64> {
        let image = |classes: &Vec<Class>| {
            let active = classes.iter().filter(|class| class.active);
            let values: Vec<_> = active.map(|class| overlap.of(&class.counts)).collect();
            match (self.binary, values.as_slice()) {
                (true, [_, foreground]) => *foreground,
                (true, _) => Some(1.0),
                _ => mean(&values),
            }
        };
        worst.mean(&sorted(self.images.iter().map(image)))
    }

    /// For each class, the mean over the images where it is active; `None` where that is nowhere,
    /// or the value of one of them is undefined.
    pub fn by_class(&self, overlap: Overlap, worst: Worst) -> Vec<Option<f64>> {
        let class = |class: usize| {
            let of_class = self.images.iter().map(|classes| classes[class]);
            let active = of_class.filter(|class| class.active);
            let values = sorted(active.map(|class| overlap.of(&class.counts)));
            if values.contains(&None) { None } else { worst.mean(&values) }
        };
        (0..self.classes).map(class).collect()
    }

    /// The mean over classes of [`FineGrained::by_class`] (`mIoU^C`); `None` where that of any
    /// class is undefined.
    pub fn over_classes(&self, overlap: Overlap, worst: Worst) -> Option<f64> {
        mean(&self.by_class(overlap, worst))
    }

    /// The counts of each class that matters, over all images.
    fn pooled(&self) -> Vec<Counts> {
        let mut pooled = vec![Counts::default(); self.classes];
        for image in &self.images {
            for (sum, class) in pooled.iter_mut().zip(image) {
                *sum += class.counts;
            }
        }
        pooled.split_off(usize::from(self.binary))
    }
}

impl Worst {
    /// The mean of those of the `sorted` values that this stands for.
    fn mean(self, sorted: &[Option<f64>]) -> Option<f64> {
        let lowest = |percent: u8| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded down on purpose"
            )]
            let share = (f64::from(percent) / 100.0 * sorted.len() as f64) as usize;
            mean(&sorted[..share.max(1).min(sorted.len())])
        };
        match self {
            Self::All => mean(sorted),
            Self::Percent(percent) => lowest(percent.get()),
            Self::Tenths => mean(&(1..=10).map(|tenth| lowest(10 * tenth)).collect::<Vec<_>>()),
        }
    }
}

/// In ascending order, the undefined ones last.
fn sorted(values: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(|a, b| a.unwrap_or(f64::NAN).total_cmp(&b.unwrap_or(f64::NAN)));
    values
}

/// The mean; `None` where one is undefined, or there is none.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let sum: f64 = values.iter().copied().sum::<Option<f64>>()?;
    ratio(sum, values.len() as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    fn percent(percent: u8) -> Worst {
        Worst::Percent(NonZeroU8::new(percent).unwrap())
    }

    fn filled(all: &mut FineGrained, images: &[([u16; 4], [u16; 4])]) {
        for (reference, prediction) in images {
            let confusion = Confusion::of(&arr1(reference), &arr1(prediction), 2, Some(9)).unwrap();
            all.add(&confusion);
        }
    }

    #[test]
    fn the_three_orders_differ() {
        let mut all = FineGrained::new(2);
        // IoU of background and class: 2/3 and 1/2; then 1 and no class.
        filled(&mut all, &[([0, 0, 1, 1], [0, 0, 0, 1]), ([0; 4], [0; 4]), ([9; 4], [0; 4])]);

        assert_eq!(all.len(), 2);
        let close = |a: Option<f64>, b: f64| {
            approx::assert_relative_eq!(a.unwrap(), b, epsilon = 1e-12);
        };
        // Pooled: 6/7 and 1/2.
        close(all.over_data(Overlap::Iou), f64::midpoint(6.0 / 7.0, 0.5));
        close(all.over_images(Overlap::Iou, Worst::All), f64::midpoint(7.0 / 12.0, 1.0));
        close(all.over_images(Overlap::Iou, percent(50)), 7.0 / 12.0);
        // Background: (2/3 + 1) / 2.
        close(all.over_classes(Overlap::Iou, Worst::All), f64::midpoint(5.0 / 6.0, 0.5));
        close(all.pixel_accuracy(), 7.0 / 8.0);
    }

    #[test]
    fn an_image_without_the_class_is_perfect_only_if_none_is_predicted() {
        let mut all = FineGrained::binary();
        filled(&mut all, &[([0; 4], [0; 4]), ([0; 4], [0, 0, 0, 1])]);

        assert_eq!(all.over_images(Overlap::Dice, Worst::All), Some(0.5));
        assert_eq!(all.over_images(Overlap::Dice, Worst::Tenths), Some(0.05));
        // Nothing of the class could be found in the second image: 0 / 0.
        assert_eq!(all.over_images(Overlap::Accuracy, Worst::All), None);
        assert_eq!(all.over_images(Overlap::Accuracy, percent(1)), Some(1.0));
        assert_eq!(all.over_data(Overlap::Accuracy), None);
    }
}
