use ndarray::{Array3, Zip};
use serde::{Deserialize, Serialize};
use volume::{BoundingBox, Components, Connectivity, dilate};

use crate::{Dice, Empty, Hd95, MaskPair, Metric, NonNegative, Nsd, Recall, Specificity};

/// The lesion-wise score of the BraTS challenges since 2023, of one region.
///
/// Components of the reference that meet when both are dilated are one lesion. All predicted
/// components that touch its dilation are its match, and are scored together; one may match several
/// lesions. A missed lesion, and each predicted component that matches none, gets Dice 0 and the
/// `penalty`. Small lesions do not count; what they match is no false alarm.
///
/// # Source
///
/// The evaluation of the *International Brain Tumor Segmentation Challenge* 2023
/// ([rachitsaluja/BraTS-2023-Metrics](https://github.com/rachitsaluja/BraTS-2023-Metrics)), and that of 2024 in so far as it looks at one
/// region by itself: for gliomas after treatment it also joins lesions of one tissue that the same lesion of another tissue touches,
/// which is not done here. What is judged since 2025 follows other rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brats {
    /// How far lesions are dilated, steps by faces and edges.
    pub dilation: usize,
    /// The largest volume of lesions that do not count, mm³.
    pub ignored_volume: NonNegative,
    /// The Hausdorff distance of a lesion that is missed or not there, mm.
    pub penalty: NonNegative,
    /// Which distances are no error for the normalized surface distance of lesions, mm: a score for each.
    pub tolerances: Vec<NonNegative>,
}

/// What [`Brats`] says of one region of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BratsScore {
    /// Lesions that count and were found.
    pub found: usize,
    /// Lesions that count and were missed.
    pub missed: usize,
    /// Predicted components that match no lesion.
    pub false_alarms: usize,
    /// The mean Dice coefficient over lesions and false alarms; 1 where there are neither.
    pub lesion_dice: f64,
    /// The mean 95th percentile of the Hausdorff distance over lesions and false alarms, mm; 0
    /// where there are neither.
    pub lesion_hd95: f64,
    /// The mean normalized surface distance over lesions and false alarms, at each of [`Brats::tolerances`]; 1 where there are neither.
    pub lesion_nsd: Vec<f64>,
    /// The Dice coefficient of the whole masks; 1 where both are empty.
    pub dice: f64,
    /// The 95th percentile of the Hausdorff distance of the whole masks, mm; 0 where both are
    /// empty, the penalty where one is.
    pub hd95: f64,
    /// The share of the reference that was found; 1 where both are empty, 0 where the reference is.
    pub sensitivity: f64,
    /// The share of the background that was left alone; 0 where there is none.
    pub specificity: f64,
    /// The volume of the reference, mm³.
    pub volume: f64,
}

impl Brats {
    /// The rules of 2023 for gliomas; those for pediatric tumours and for sub-Saharan Africa are the same.
    pub fn glioma_2023() -> Self {
        Self {
            dilation: 3,
            ignored_volume: NonNegative::literal(50.0),
            penalty: NonNegative::literal(374.0),
            tolerances: Vec::new(),
        }
    }

    /// The rules of 2023 for meningiomas.
    pub fn meningioma_2023() -> Self {
        Self { dilation: 1, ..Self::glioma_2023() }
    }

    /// The rules of 2023 for metastases.
    pub fn metastasis_2023() -> Self {
        Self { ignored_volume: NonNegative::literal(2.0), ..Self::meningioma_2023() }
    }

    /// The rules of 2024: as in 2023, but for the volume of lesions that do not count, mm³, which differs by tumour and region.
    pub fn of_2024(dilation: usize, ignored_volume: NonNegative) -> Self {
        let tolerances = [0.5, 1.0].map(NonNegative::literal).to_vec();
        Self { dilation, ignored_volume, tolerances, ..Self::glioma_2023() }
    }

    /// Scores one region.
    pub fn measure(&self, pair: &MaskPair) -> BratsScore {
        let lesions = self.lesions(pair);
        let counted: Vec<&Scored> = lesions
            .scored
            .iter()
            .filter(|lesion| lesion.volume > self.ignored_volume.get())
            .collect();
        let found = counted.iter().filter(|lesion| lesion.found).count();
        let alarms = lesions.false_alarms as f64;

        let total = counted.len() as f64 + alarms;
        let mean = |sum: f64, perfect: f64| if total > 0.0 { sum / total } else { perfect };
        let dice = counted.iter().map(|lesion| lesion.dice).sum::<f64>();
        let hd95 = counted.iter().map(|lesion| lesion.hd95).sum::<f64>();
        let nsd = |at: usize| counted.iter().map(|lesion| lesion.nsd[at]).sum::<f64>();
        let empty = pair.masks().is_none();
        BratsScore {
            found,
            missed: counted.len() - found,
            false_alarms: lesions.false_alarms,
            lesion_dice: mean(dice, 1.0),
            lesion_hd95: mean(hd95 + alarms * self.penalty.get(), 0.0),
            lesion_nsd: (0..self.tolerances.len()).map(|at| mean(nsd(at), 1.0)).collect(),
            dice: Dice { empty: Empty::Perfect }.measure(pair).unwrap_or(0.0),
            hd95: if empty { 0.0 } else { self.hd95(pair) },
            sensitivity: Recall {}.measure(pair).unwrap_or(f64::from(u8::from(empty))),
            specificity: Specificity {}.measure(pair).unwrap_or(0.0),
            volume: pair.counts().reference() as f64 * pair.voxel_volume(),
        }
    }

    fn hd95(&self, pair: &MaskPair) -> f64 {
        Hd95::deepmind().measure(pair).unwrap_or(self.penalty.get())
    }

    fn lesions(&self, pair: &MaskPair) -> Lesions {
        let Some(masks) = pair.masks() else { return Lesions::default() };
        let dilated = dilate(&masks.reference, Connectivity::Edges, self.dilation);
        let groups = Components::of(&dilated, |&inside| inside, Connectivity::Corners);
        let mut lesions = groups.labels().clone();
        Zip::from(&mut lesions).and(&masks.reference).par_for_each(|lesion, &inside| {
            if !inside {
                *lesion = 0;
            }
        });
        let parts = Components::of(&masks.prediction, |&inside| inside, Connectivity::Corners);
        let lesion_boxes = boxes(&lesions, groups.len());
        let part_boxes = boxes(parts.labels(), parts.len());

        let mut matched = vec![false; parts.len() + 1];
        let mut scored = Vec::new();
        for (at, &around) in lesion_boxes.iter().enumerate().skip(1) {
            let Some(around) = around else { continue };
            let size: [usize; 3] = lesions.dim().into();
            let near = around.grown([self.dilation; 3], size);
            let is_lesion = |&label: &u32| label as usize == at;
            let reach = dilate(
                &cut(&lesions, &near).mapv(|label| is_lesion(&label)),
                Connectivity::Edges,
                self.dilation,
            );
            let mut chosen = vec![false; parts.len() + 1];
            for (&part, &reached) in cut(parts.labels(), &near).iter().zip(&reach) {
                chosen[part as usize] |= reached && part > 0;
            }

            let picked = (1..chosen.len()).filter(|&part| chosen[part]);
            let all = picked.filter_map(|part| part_boxes[part]).fold(around, |a, b| a.union(&b));
            let reference = cut(&lesions, &all).mapv(|label| is_lesion(&label));
            let prediction = cut(parts.labels(), &all).mapv(|part| chosen[part as usize]);
            let voxels = reference.iter().filter(|&&inside| inside).count();
            let lesion = pair.part(&reference, &prediction);
            scored.push(Scored {
                volume: voxels as f64 * pair.voxel_volume(),
                found: chosen.contains(&true),
                dice: Dice::default().measure(&lesion).unwrap_or(0.0),
                hd95: self.hd95(&lesion),
                nsd: self.tolerances.iter().map(|&it| nsd(it, &lesion)).collect(),
            });
            for (all, one) in matched.iter_mut().zip(&chosen) {
                *all |= one;
            }
        }
        let false_alarms = matched.iter().skip(1).filter(|&&matched| !matched).count();
        Lesions { scored, false_alarms }
    }
}

#[derive(Default)]
struct Lesions {
    scored: Vec<Scored>,
    false_alarms: usize,
}

struct Scored {
    volume: f64,
    found: bool,
    dice: f64,
    hd95: f64,
    nsd: Vec<f64>,
}

/// 0 where the lesion was missed.
fn nsd(tolerance: NonNegative, lesion: &MaskPair) -> f64 {
    Nsd { tolerance, ..Nsd::default() }.measure(lesion).unwrap_or(0.0)
}

/// The bounding box of each label up to `last`; `None` for labels that do not occur.
fn boxes(labels: &Array3<u32>, last: usize) -> Vec<Option<BoundingBox>> {
    let mut boxes: Vec<Option<BoundingBox>> = vec![None; last + 1];
    for ((z, y, x), &label) in labels.indexed_iter() {
        if label > 0 {
            let here = BoundingBox { start: [z, y, x], end: [z + 1, y + 1, x + 1] };
            let place = &mut boxes[label as usize];
            *place = Some(place.map_or(here, |place| place.union(&here)));
        }
    }
    boxes
}

fn cut(labels: &Array3<u32>, part: &BoundingBox) -> Array3<u32> {
    part.crop(labels).expect("a box of voxels of these labels")
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values worked out by hand are exact")]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// Cubes of 4 mm, given by their first voxel, in 40 mm.
    fn cubes(starts: &[[usize; 3]]) -> Array3<bool> {
        Array3::from_shape_fn((40, 40, 40), |(z, y, x)| {
            starts.iter().any(|start| {
                [z, y, x].iter().zip(start).all(|(&at, &first)| (first..first + 4).contains(&at))
            })
        })
    }

    fn measure(rules: &Brats, reference: &[[usize; 3]], prediction: &[[usize; 3]]) -> BratsScore {
        let pair = MaskPair::new(&cubes(reference), &cubes(prediction), &[1.0; 3]).unwrap();
        rules.measure(&pair)
    }

    #[test]
    fn a_found_a_missed_and_an_invented_lesion() {
        let score =
            measure(&Brats::glioma_2023(), &[[2, 2, 2], [20, 20, 20]], &[[2, 2, 2], [30, 30, 2]]);

        assert_eq!((score.found, score.missed, score.false_alarms), (1, 1, 1));
        approx::assert_relative_eq!(score.lesion_dice, 1.0 / 3.0);
        approx::assert_relative_eq!(score.lesion_hd95, 2.0 * 374.0 / 3.0);
        assert_eq!(score.dice, 0.5);
    }

    #[test]
    fn lesions_that_are_near_are_one() {
        // 6 mm apart: they meet when dilated by 3 steps, not when dilated by 1.
        let reference = [[2, 2, 2], [2, 2, 12]];

        assert_eq!(measure(&Brats::glioma_2023(), &reference, &reference[..1]).found, 1);
        let score = measure(&Brats::metastasis_2023(), &reference, &reference[..1]);
        assert_eq!((score.found, score.missed), (1, 1));
    }

    #[test]
    fn no_lesion_and_none_predicted_is_perfect() {
        let score = measure(&Brats::glioma_2023(), &[], &[]);

        assert_eq!((score.lesion_dice, score.lesion_hd95), (1.0, 0.0));
        assert_eq!((score.dice, score.hd95, score.sensitivity), (1.0, 0.0, 1.0));
        let missed = measure(&Brats::glioma_2023(), &[], &[[2, 2, 2]]);
        assert_eq!((missed.false_alarms, missed.lesion_dice, missed.hd95), (1, 0.0, 374.0));
        assert_eq!(missed.sensitivity, 0.0);
    }

    #[test]
    fn since_2024_surfaces_count_too() {
        let rules = Brats::of_2024(3, NonNegative::literal(20.0));

        // One found to the voxel, one missed.
        let score = measure(&rules, &[[2, 2, 2], [20, 20, 20]], &[[2, 2, 2]]);

        assert_eq!(score.lesion_nsd, [0.5, 0.5]);
        assert_eq!(measure(&rules, &[], &[]).lesion_nsd, [1.0, 1.0]);
        // A millimetre beside it, a third of the surface is within half a millimetre, and all within one.
        let beside = measure(&rules, &[[2, 2, 2]], &[[3, 2, 2]]).lesion_nsd;
        assert!(beside[0] < 1.0 && beside[1] == 1.0, "{beside:?}");
    }
}
