//! A case to leaf through in the page: all its slices, coarse enough for a file that is sent around.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array3, ArrayView3, Axis, Slice};

use super::{encode_gray, window};
use crate::report::text::escape;

/// Voxels along the longest side, the most that fit first.
const SIDES: [usize; 7] = [128, 96, 80, 64, 48, 40, 32];

/// What the three pictures of one case may take in the page, in bytes.
const BUDGET: usize = 200_000;

/// Classes that fit beside each other into a byte, twice.
const CLASSES: u8 = 15;

/// Image, reference, prediction and probability of a case on one coarse grid, each axis from its far end.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Stack {
    /// mm between voxels.
    pub(super) spacing: [f64; 3],
    pub(super) gray: Array3<u8>,
    /// The class of the reference, and 16 times that of the prediction; 0 is background.
    pub(super) labels: Array3<u8>,
    /// The probability of any foreground in steps of 1/255; empty where it is not known.
    pub(super) probability: Array3<u8>,
}

/// A case as it is, along the axes of the body.
#[derive(Debug)]
pub(in crate::report) struct Parts<'a> {
    pub(in crate::report) spacing: [f64; 3],
    pub(in crate::report) gray: &'a Array3<f32>,
    pub(in crate::report) reference: &'a Array3<u8>,
    pub(in crate::report) prediction: Option<Array3<u8>>,
    pub(in crate::report) probability: Option<&'a Array3<f32>>,
}

impl Stack {
    /// Cut to what was drawn and predicted, with a margin, and as fine as its share of the page allows.
    pub(in crate::report) fn of(parts: &Parts<'_>) -> Self {
        Self::within(parts, BUDGET)
    }

    /// As fine as so many bytes allow, or else as coarse as can be.
    fn within(parts: &Parts<'_>, budget: usize) -> Self {
        let labels = match &parts.prediction {
            Some(prediction) => {
                let mut labels = parts.reference.mapv(|class| class.min(CLASSES));
                labels.zip_mut_with(prediction, |both, class| *both |= (*class).min(CLASSES) << 4);
                labels
            }
            None => parts.reference.mapv(|class| class.min(CLASSES)),
        };
        let cut = neighborhood(&labels);
        let fits = |side: &usize| {
            let stack = Self::at(parts, &labels, cut, *side);
            (stack.size() <= budget).then_some(stack)
        };
        let least = SIDES[SIDES.len() - 1];
        SIDES.iter().find_map(fits).unwrap_or_else(|| Self::at(parts, &labels, cut, least))
    }

    /// At no more than `side` voxels along any axis.
    fn at(parts: &Parts<'_>, labels: &Array3<u8>, cut: [[usize; 2]; 3], side: usize) -> Self {
        let extent = |axis: usize| (cut[axis][1] - cut[axis][0]) as f64 * parts.spacing[axis];
        let edge = (0..3).map(extent).fold(0.0, f64::max) / side as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 or more")]
        let step: [usize; 3] =
            std::array::from_fn(|axis| (edge / parts.spacing[axis]).ceil().max(1.0) as usize);
        let mean = |volume: &Array3<f32>| {
            blocks(&volume.view(), cut, step, |block| block.mean().unwrap_or(0.0))
        };
        let bytes = |volume: &Array3<f32>, range| {
            let (depth, height, width) = volume.dim();
            let flat = volume.to_shape((depth * height, width)).expect("of as many voxels");
            let bytes = window(&flat.view(), range).into_iter().collect();
            Array3::from_shape_vec((depth, height, width), bytes).expect("of as many voxels")
        };
        // Half the steps of gray are enough for eyes, and pack better.
        let gray = bytes(&mean(parts.gray), None).mapv(|value| value & 0xfc);
        let probability = parts.probability.map_or(Array3::zeros((0, 0, 0)), |probability| {
            bytes(&mean(probability), Some([0.0, 1.0])).mapv(|value| (value & 0xf0) | (value >> 4))
        });
        let middle = |block: ArrayView3<'_, u8>| {
            let (depth, height, width) = block.dim();
            block[[depth / 2, height / 2, width / 2]]
        };
        Self {
            spacing: std::array::from_fn(|axis| parts.spacing[axis] * step[axis] as f64),
            gray,
            labels: blocks(&labels.view(), cut, step, middle),
            probability,
        }
    }

    /// Bytes in the page.
    fn size(&self) -> usize {
        let parts = [&self.gray, &self.labels, &self.probability];
        parts.into_iter().map(|part| mosaic(part).len()).sum()
    }

    /// What the script of the page makes a viewer from; nothing is seen without it.
    pub(super) fn viewer(&self, title: &str) -> String {
        let size = self.gray.shape().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let spacing = self.spacing.map(|mm| format!("{mm:.4}")).join(" ");
        format!(
            "<div class=\"viewer\" hidden data-title=\"{}\" data-size=\"{size}\" data-spacing=\"{spacing}\" data-gray=\"{}\" \
             data-labels=\"{}\" data-probability=\"{}\"></div>\n",
            escape(title),
            mosaic(&self.gray),
            mosaic(&self.labels),
            mosaic(&self.probability)
        )
    }
}

/// The bounding box of what is not 0, with a fourth of it or eight voxels around; all where there is nothing.
fn neighborhood(labels: &Array3<u8>) -> [[usize; 2]; 3] {
    const LEAST: usize = 8;
    let size: [usize; 3] = labels.dim().into();
    let (mut low, mut high) = (size, [0; 3]);
    for ((z, y, x), _) in labels.indexed_iter().filter(|(_, label)| **label > 0) {
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            (low[axis], high[axis]) = (low[axis].min(at), high[axis].max(at + 1));
        }
    }
    std::array::from_fn(|axis| {
        if high[axis] == 0 {
            return [0, size[axis]];
        }
        let margin = ((high[axis] - low[axis]) / 4).max(LEAST);
        [low[axis].saturating_sub(margin), (high[axis] + margin).min(size[axis])]
    })
}

/// What `value` makes of each block of `step` voxels within the cut, each axis from its far end.
fn blocks<T, U>(
    volume: &ArrayView3<'_, T>,
    cut: [[usize; 2]; 3],
    step: [usize; 3],
    value: impl Fn(ArrayView3<'_, T>) -> U,
) -> Array3<U> {
    let count: [usize; 3] =
        std::array::from_fn(|axis| (cut[axis][1] - cut[axis][0]).div_ceil(step[axis]));
    Array3::from_shape_fn(count, |(z, y, x)| {
        let mut block = volume.view();
        for (axis, at) in [z, y, x].into_iter().enumerate() {
            let from = cut[axis][0] + (count[axis] - 1 - at) * step[axis];
            let to = (from + step[axis]).min(cut[axis][1]);
            block.slice_axis_inplace(Axis(axis), Slice::from(from..to));
        }
        value(block)
    })
}

/// The slices of the first axis in rows, as many beside each other as beneath, as PNG in base64; empty of nothing.
fn mosaic(volume: &Array3<u8>) -> String {
    let (depth, height, width) = volume.dim();
    if volume.is_empty() {
        return String::new();
    }
    let columns = depth.isqrt() + usize::from(depth.isqrt().pow(2) < depth);
    let rows = depth.div_ceil(columns);
    let mut pixels = vec![0; rows * height * columns * width];
    for ((z, y, x), value) in volume.indexed_iter() {
        let row = (z / columns) * height + y;
        pixels[row * columns * width + (z % columns) * width + x] = *value;
    }
    STANDARD.encode(encode_gray((rows * height, columns * width), &pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::noise;

    fn stack(gray: &Array3<f32>, reference: &Array3<u8>, budget: usize) -> Stack {
        let parts = Parts {
            spacing: [4.0, 1.0, 1.0],
            gray,
            reference,
            prediction: Some(reference.mapv(|class| 2 * class)),
            probability: None,
        };
        Stack::within(&parts, budget)
    }

    #[test]
    fn axes_run_from_their_far_end_and_labels_share_a_byte() {
        let mut reference = Array3::zeros((3, 4, 5));
        reference[[2, 3, 4]] = 1;
        let gray = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (100 * z + 10 * y + x) as f32);

        let stack = stack(&gray, &reference, 20_000);

        assert_eq!(stack.labels.dim(), (3, 4, 5));
        assert_eq!(stack.labels[[0, 0, 0]], 1 | (2 << 4));
        assert_eq!(stack.labels.iter().filter(|label| **label > 0).count(), 1);
        assert!(stack.gray[[0, 0, 0]] > stack.gray[[2, 3, 4]]);
    }

    #[test]
    fn even_noise_stays_within_its_share_of_the_page() {
        let mut draw = noise(1);
        #[expect(clippy::cast_possible_truncation, reason = "a test picture")]
        let gray = Array3::from_shape_simple_fn((12, 64, 64), || draw() as f32);
        let reference = Array3::from_elem((12, 64, 64), 1);

        let stack = stack(&gray, &reference, 20_000);

        assert!(stack.size() <= 20_000);
        assert!(stack.gray.shape().iter().max() >= Some(&32));
        // Voxels become as thick as they are wide, and no thicker than need be.
        approx::assert_relative_eq!(stack.spacing[0], 4.0);
    }

    #[test]
    fn a_cut_has_a_margin_and_ends_at_the_border() {
        let mut labels = Array3::zeros((100, 20, 100));
        labels[[50, 2, 3]] = 1;

        assert_eq!(neighborhood(&labels), [[42, 59], [0, 11], [0, 12]]);
        assert_eq!(neighborhood(&Array3::zeros((2, 3, 4))), [[0, 2], [0, 3], [0, 4]]);
    }
}
