use std::convert::Infallible;

use ndarray::{Array3, Array4, ArrayView3, Axis, s};
use rand_chacha::ChaCha8Rng;

use crate::real::offset;
use crate::rng::position;
use crate::{Locations, Outside, Prepared, Truth};

/// A part of a prepared case.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Intensities, `(C, D, H, W)`; 0 beyond the case.
    pub image: Array4<f32>,
    /// The truth, `(D, H, W)` or `(C, D, H, W)`; background beyond the case. A case without label
    /// is ignored everywhere.
    pub truth: Truth,
    /// Further truths of the same voxels; see [`Prepared::further`].
    pub further: Vec<Truth>,
    /// What is outside the patient, for channels normalised without it; beyond the case, all is.
    pub outside: Option<Outside>,
    /// Where the patch begins in the case, voxels, `(z, y, x)`; negative where it begins before.
    pub corner: [isize; 3],
}

impl Patch {
    /// The number of voxels along each axis, `(D, H, W)`.
    pub fn size(&self) -> [usize; 3] {
        let shape = self.image.shape();
        [shape[1], shape[2], shape[3]]
    }

    /// The part of `size` voxels that begins at the voxel `start`, which may lie beyond the patch.
    #[must_use]
    pub fn part(&self, start: [isize; 3], size: [usize; 3]) -> Self {
        let part = |truth: &Truth| part_of_truth(truth, start, size);
        Self {
            image: part_of_channels(&self.image, start, size, 0.0),
            truth: part(&self.truth),
            further: self.further.iter().map(part).collect(),
            outside: self.outside.as_ref().map(|outside| part_of_outside(outside, start, size)),
            corner: std::array::from_fn(|axis| self.corner[axis] + start[axis]),
        }
    }

    /// The part of `size` voxels in the middle.
    #[must_use]
    pub fn middle(self, size: [usize; 3]) -> Self {
        if self.size() == size {
            return self;
        }
        let own = self.size();
        let start = |axis: usize| offset(own[axis] / 2) - offset(size[axis] / 2);
        self.part(std::array::from_fn(start), size)
    }
}

impl Patch {
    /// What a network for slices sees of several: the slices of each channel as channels, `(C D, 1, H, W)`, and the truth
    /// of the middle one. A patch of one slice stays as it is.
    #[must_use]
    pub fn slices_as_channels(self) -> Self {
        let [slices, h, w] = self.size();
        if slices == 1 {
            return self;
        }
        let channels = self.image.shape()[0];
        let middle = [offset(slices / 2), 0, 0];
        let of_middle = |truth: &Truth| part_of_truth(truth, middle, [1, h, w]);
        let outside = self.outside.as_ref();
        let mut image = Array4::zeros((channels * slices, 1, h, w));
        for (channel, from) in self.image.axis_iter(Axis(0)).enumerate() {
            for (slice, from) in from.axis_iter(Axis(0)).enumerate() {
                image.slice_mut(s![channel * slices + slice, 0, .., ..]).assign(&from);
            }
        }
        Self {
            image,
            truth: of_middle(&self.truth),
            further: self.further.iter().map(of_middle).collect(),
            outside: outside.map(|outside| part_of_outside(outside, middle, [1, h, w])),
            corner: [self.corner[0] + middle[0], self.corner[1], self.corner[2]],
        }
    }
}

/// A prepared case that patches can be taken from, wherever it lies.
pub trait PatchSource {
    /// Why a part cannot be had.
    type Error;

    /// The number of voxels along each axis, `(D, H, W)`.
    fn size(&self) -> [usize; 3];

    /// Where classes are found.
    fn locations(&self) -> &Locations;

    /// The part of `size` voxels that begins at the voxel `corner`, which may lie before the case, as the
    /// part may reach beyond it: see [`Patch`].
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    fn part(&self, corner: [isize; 3], size: [usize; 3]) -> Result<Patch, Self::Error>;
}

impl PatchSource for Prepared {
    type Error = Infallible;

    fn size(&self) -> [usize; 3] {
        let shape = self.image.shape();
        [shape[1], shape[2], shape[3]]
    }

    fn locations(&self) -> &Locations {
        &self.locations
    }

    fn part(&self, corner: [isize; 3], size: [usize; 3]) -> Result<Patch, Infallible> {
        let part = |truth: &Truth| part_of_truth(truth, corner, size);
        let truth = match &self.truth {
            Some(truth) => part(truth),
            None => Truth::Hard(Array3::from_elem(size, u16::MAX)),
        };
        let outside = self.outside.as_ref().map(|outside| part_of_outside(outside, corner, size));
        let image = part_of_channels(&self.image, corner, size, 0.0);
        let further = self.further.iter().map(part).collect();
        Ok(Patch { image, truth, further, outside, corner })
    }
}

/// Takes patches out of prepared cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchSampler {
    patch_size: [usize; 3],
    output_size: [usize; 3],
}

impl PatchSampler {
    /// Takes patches of `patch_size` voxels; `[1, H, W]` takes parts of slices. Patches lie within
    /// the case along every axis that is long enough, and around its middle along every other.
    pub fn new(patch_size: [usize; 3]) -> Self {
        Self { patch_size, output_size: patch_size }
    }

    /// Lets patches begin so far before the case, and end so far after it, that their middle of
    /// `output_size` voxels, all that augmentation leaves of them, reaches its margin.
    #[must_use]
    pub fn for_output(self, output_size: [usize; 3]) -> Self {
        Self { output_size, ..self }
    }

    /// Takes a patch at random. With `force_foreground` its middle is a voxel of a class of the
    /// foreground, classes that the case has being equally likely, or as near to that as the case
    /// allows; where a case has none, the place is any. Where voxels are ignored, and foreground is
    /// not forced, the middle is a voxel that is not.
    ///
    /// # Source
    ///
    /// `nnUNetDataLoader.get_bbox` of nnU-Net v2, which lets a patch in the middle of foreground
    /// reach beyond the case on one side only.
    pub fn sample(&self, case: &Prepared, force_foreground: bool, rng: &mut ChaCha8Rng) -> Patch {
        self.take(case, self.place(case, force_foreground, rng))
    }

    /// The patch that begins at the voxel `corner`.
    pub fn take(&self, case: &Prepared, corner: [isize; 3]) -> Patch {
        let Ok(patch) = case.part(corner, self.patch_size);
        patch
    }

    /// Where [`PatchSampler::sample`] lets a patch begin.
    pub fn place<S: PatchSource + ?Sized>(
        &self,
        case: &S,
        force_foreground: bool,
        rng: &mut ChaCha8Rng,
    ) -> [isize; 3] {
        let size = case.size();
        let bounds = self.bounds(size);
        let middle = draw_middle(case.locations(), force_foreground, rng);
        std::array::from_fn(|axis| {
            let (low, high) = bounds[axis];
            match middle {
                Some(voxel) => {
                    let voxel = unravel(voxel as usize, size)[axis];
                    (offset(voxel) - offset(self.patch_size[axis] / 2)).clamp(low, high)
                }
                None => low + offset(position((high - low).unsigned_abs() + 1, rng)),
            }
        })
    }

    /// Where patches may begin along each axis, both ends included.
    fn bounds(&self, size: [usize; 3]) -> [(isize, isize); 3] {
        std::array::from_fn(|axis| {
            let patch = self.patch_size[axis];
            let margin = patch.saturating_sub(self.output_size[axis]);
            let margin = offset(margin.max(patch.saturating_sub(size[axis])).div_ceil(2));
            (-margin, offset(size[axis]) + margin - offset(patch))
        })
    }
}

fn draw_middle(locations: &Locations, force: bool, rng: &mut ChaCha8Rng) -> Option<u32> {
    let voxels = if force {
        let mut present = locations.classes.iter().filter(|voxels| !voxels.is_empty());
        match present.clone().count() {
            0 => locations.annotated.as_ref(),
            count => present.nth(position(count, rng)),
        }
    } else {
        locations.annotated.as_ref()
    }?;
    (!voxels.is_empty()).then(|| voxels[position(voxels.len(), rng)])
}

/// The voxel at an index of an array in standard order.
fn unravel(at: usize, [_, h, w]: [usize; 3]) -> [usize; 3] {
    [at / (h * w), at / w % h, at % w]
}

fn part_of_truth(truth: &Truth, start: [isize; 3], size: [usize; 3]) -> Truth {
    match truth {
        Truth::Hard(labels) => Truth::Hard(part(labels.view(), start, size, 0)),
        Truth::Soft(soft) => {
            let mut part = part_of_channels(soft, start, size, 0.0);
            let shape = [soft.shape()[1], soft.shape()[2], soft.shape()[3]];
            if overlap(shape, start, size).is_none_or(|(_, to)| to.map(|to| to.len()) != size) {
                let inside = self::part(Array3::from_elem(shape, true).view(), start, size, false);
                let mut background = part.index_axis_mut(Axis(0), 0);
                background.zip_mut_with(&inside, |p, &inside| *p = if inside { *p } else { 1.0 });
            }
            Truth::Soft(part)
        }
    }
}

fn part_of_outside(outside: &Outside, start: [isize; 3], size: [usize; 3]) -> Outside {
    let voxels = part(outside.voxels.view(), start, size, true);
    Outside { voxels, channels: outside.channels.clone() }
}

fn part_of_channels<T: Copy>(
    array: &Array4<T>,
    start: [isize; 3],
    [d, h, w]: [usize; 3],
    fill: T,
) -> Array4<T> {
    let mut output = Array4::from_elem((array.shape()[0], d, h, w), fill);
    for (from, mut to) in array.axis_iter(Axis(0)).zip(output.axis_iter_mut(Axis(0))) {
        copy(from, &mut to, start);
    }
    output
}

/// The part of an array that begins at `start` and has `size`, with `fill` beyond the array.
pub(crate) fn part<T: Copy>(
    array: ArrayView3<'_, T>,
    start: [isize; 3],
    size: [usize; 3],
    fill: T,
) -> Array3<T> {
    let mut output = Array3::from_elem(size, fill);
    copy(array, &mut output.view_mut(), start);
    output
}

fn copy<T: Copy>(
    from: ArrayView3<'_, T>,
    to: &mut ndarray::ArrayViewMut3<'_, T>,
    start: [isize; 3],
) {
    let size = [to.shape()[0], to.shape()[1], to.shape()[2]];
    let shape = [from.shape()[0], from.shape()[1], from.shape()[2]];
    if let Some((source, target)) = overlap(shape, start, size) {
        let ([z, y, x], [to_z, to_y, to_x]) = (source, target);
        to.slice_mut(s![to_z, to_y, to_x]).assign(&from.slice(s![z, y, x]));
    }
}

type Box3 = [std::ops::Range<usize>; 3];

/// Which voxels of an array, and which of a part of it, are the same ones.
fn overlap(shape: [usize; 3], start: [isize; 3], size: [usize; 3]) -> Option<(Box3, Box3)> {
    let along = |axis: usize| {
        let first = start[axis].max(0);
        let after = (start[axis] + offset(size[axis])).min(offset(shape[axis]));
        (first < after).then(|| {
            let before = (first - start[axis]).unsigned_abs();
            let length = (after - first).unsigned_abs();
            (first.unsigned_abs()..after.unsigned_abs(), before..before + length)
        })
    };
    let [z, y, x] = [along(0)?, along(1)?, along(2)?];
    Some(([z.0, y.0, x.0], [z.1, y.1, x.1]))
}
