use serde::{Deserialize, Serialize};
use volume::Connectivity;

use super::{Challenge, ChallengeScore, Part, PartScores};
use crate::empty::ratio;
use crate::{
    Assd, Counts, Dice, Fraction, Hd, Iou, Lesions, MaskPair, Metric as _, Scale, Surface,
    VolumeError,
};

/// The rules of LiTS: overlap, volume and surface distance of the liver with its lesions, and of lesions; how many lesions were found; and
/// how large a part of the liver they are.
///
/// | score | what it is |
/// |---|---|
/// | `dice` | Dice of a case |
/// | `dice_global` | Dice of the voxels of all cases together |
/// | `voe` | volumetric overlap error, 1 − intersection over union |
/// | `rvd` | relative volume difference, (predicted − reference) / reference |
/// | `assd`, `msd` | mean and maximum symmetric surface distance, mm, between the border voxels of `MedPy` |
/// | `lesion_precision`, `lesion_recall` | of components of all cases, those that share more than half of their union with one of the other side |
/// | `tumour_burden_rmse`, `tumour_burden_max` | the error of the share of the liver that is lesion, root mean square and largest, over cases |
///
/// Where it has no value, such as a distance to nothing, none is given here: the challenge's program puts penalties in their place. It also
/// joins components of one side that a component of the other touches before it counts them, which is not done here, and divides the volume
/// difference by the predicted volume.
///
/// # Source
///
/// Bilic et al.: *The Liver Tumor Segmentation Benchmark (LiTS)*, Medical Image Analysis 84 (2023),
/// [arXiv:1901.04056](https://arxiv.org/abs/1901.04056), and
/// [PatrickChrist/lits-challenge-scoring](https://github.com/PatrickChrist/lits-challenge-scoring).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lits {}

const LIVER: Part = Part { name: "liver", labels: &[1, 2] };
const LESION: Part = Part { name: "lesion", labels: &[2] };

/// Numbers of components, which are summed up over cases.
const COUNTED: [&str; 4] = ["lesions", "lesions_found", "candidates", "candidates_right"];

impl Challenge for Lits {
    fn name(&self) -> &'static str {
        "lits"
    }

    fn parts(&self) -> Vec<Part> {
        vec![LIVER, LESION]
    }

    fn measure(&self, part: &Part, pair: &MaskPair) -> Vec<ChallengeScore> {
        let assd = Assd { surface: Surface::Voxels };
        let hd = Hd { surface: Surface::Voxels };
        let iou = Iou::default().measure(pair);
        let mut scores = vec![
            ChallengeScore::new("dice", Dice::default().measure(pair), Scale::OVERLAP),
            ChallengeScore::new("voe", iou.map(|iou| 1.0 - iou), Scale::ERROR),
            ChallengeScore::new("rvd", VolumeError {}.measure(pair), VolumeError {}.scale()),
            ChallengeScore::new("assd", assd.measure(pair), Scale::DISTANCE),
            ChallengeScore::new("msd", hd.measure(pair), Scale::DISTANCE),
        ];
        if *part == LESION {
            let half = Fraction::literal(0.5);
            let lesions = Lesions::overlapping(pair, Connectivity::Faces, half);
            let counts = [
                lesions.reference.len(),
                lesions.found(),
                lesions.prediction.len(),
                lesions.matched(),
            ];
            let counted = COUNTED.iter().zip(counts);
            scores.extend(counted.map(|(name, count)| {
                let few = *name == "candidates";
                let scale = if few { Scale::COUNT } else { Scale::FOUND };
                ChallengeScore::new(name, Some(count as f64), scale)
            }));
        }
        scores
    }

    fn overall(&self, cases: &[Vec<PartScores>]) -> Vec<ChallengeScore> {
        let of = |part: Part| cases.iter().flatten().filter(move |scores| scores.part == part);
        let global = |part: Part| {
            let all = of(part).map(|scores| scores.counts).fold(Counts::default(), |a, b| a + b);
            let twice = 2.0 * all.true_positives as f64;
            ratio(twice, (all.reference() + all.prediction()) as f64)
        };
        let sum = |name: &str| of(LESION).filter_map(|it| it.score(name)).sum::<f64>();
        let [lesions, found, candidates, right] = COUNTED.map(sum);
        // Cases where either liver is missing say nothing.
        let burden = |case: &Vec<PartScores>| {
            let counts = |part| Some(case.iter().find(|scores| scores.part == part)?.counts);
            let (liver, lesion) = (counts(LIVER)?, counts(LESION)?);
            let share = |of: fn(&Counts) -> u64| ratio(of(&lesion) as f64, of(&liver) as f64);
            Some((share(Counts::prediction)? - share(Counts::reference)?).abs())
        };
        let burdens: Vec<f64> = cases.iter().filter_map(burden).collect();
        let square: f64 = burdens.iter().map(|error| error * error).sum();
        let rmse = ratio(square, burdens.len() as f64).map(f64::sqrt);
        let largest = burdens.iter().copied().reduce(f64::max);
        vec![
            ChallengeScore::new("dice_global_liver", global(LIVER), Scale::OVERLAP),
            ChallengeScore::new("dice_global_lesion", global(LESION), Scale::OVERLAP),
            ChallengeScore::new("lesion_precision", ratio(right, candidates), Scale::OVERLAP),
            ChallengeScore::new("lesion_recall", ratio(found, lesions), Scale::OVERLAP),
            ChallengeScore::new("tumour_burden_rmse", rmse, Scale::ERROR),
            ChallengeScore::new("tumour_burden_max", largest, Scale::ERROR),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    fn value(scores: &[ChallengeScore], name: &str) -> Option<f64> {
        scores.iter().find(|score| score.name == name).unwrap().value
    }

    fn case(reference: [u16; 8], prediction: [u16; 8]) -> Vec<PartScores> {
        let mask = |labels: [u16; 8], part: Part| {
            arr3(&[[labels.map(|label| part.labels.contains(&label))]])
        };
        let of = |part: Part| {
            let (reference, prediction) = (mask(reference, part), mask(prediction, part));
            let pair = MaskPair::new(&reference, &prediction, &[1.0; 3]).unwrap();
            PartScores::of(&Lits {}, part, &pair)
        };
        vec![of(LIVER), of(LESION)]
    }

    #[test]
    fn lesions_are_part_of_the_liver() {
        // Two lesions, of which one is found; a liver of six voxels, predicted as five.
        let one = case([0, 1, 2, 2, 1, 2, 1, 0], [0, 1, 2, 2, 1, 1, 0, 0]);
        let other = case([1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 2, 0, 0, 0, 0]);

        let liver = &one[0].scores;
        assert_eq!(value(liver, "dice"), Some(10.0 / 11.0));
        approx::assert_relative_eq!(value(liver, "voe").unwrap(), 1.0 / 6.0, epsilon = 1e-12);
        approx::assert_relative_eq!(value(liver, "rvd").unwrap(), -1.0 / 6.0, epsilon = 1e-12);
        assert_eq!(value(liver, "msd"), Some(1.0));
        assert_eq!(value(&one[1].scores, "dice"), Some(0.8));
        assert_eq!(value(&other[1].scores, "assd"), None);

        let all = Lits {}.overall(&[one, other]);
        assert_eq!(value(&all, "dice_global_liver"), Some(18.0 / 19.0));
        assert_eq!(value(&all, "dice_global_lesion"), Some(4.0 / 6.0));
        assert_eq!(value(&all, "lesion_precision"), Some(0.5));
        assert_eq!(value(&all, "lesion_recall"), Some(0.5));
        // 2 / 5 for 3 / 6, and 1 / 4 for none.
        approx::assert_relative_eq!(value(&all, "tumour_burden_max").unwrap(), 0.25);
        let rmse = f64::midpoint(0.01, 0.0625).sqrt();
        approx::assert_relative_eq!(
            value(&all, "tumour_burden_rmse").unwrap(),
            rmse,
            epsilon = 1e-12
        );
        assert_eq!(value(&Lits {}.overall(&[]), "tumour_burden_max"), None);
    }
}
