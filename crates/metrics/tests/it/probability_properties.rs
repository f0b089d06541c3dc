//! What holds for any probabilities.

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use sconce_metrics::{
    Ace, Bdice, Binning, Brier, ClasswiseEce, Confidence, Ece, Ks, MaskPair, Mce, Metric, Nll,
    Probabilities, ProbabilityMetric, ProbabilityMetricConfig, ProbabilityPair, Reliability,
    Summary, Truth, Voxel, Voxels,
};

/// Probabilities of three classes, `(3, V)`, and a class for each of the voxels.
fn cases() -> impl Strategy<Value = (Array2<f64>, Array1<u16>)> {
    (1usize..60).prop_flat_map(|voxels| {
        let weights = proptest::collection::vec(0.0..1f64, 3 * voxels);
        let labels = proptest::collection::vec(0u16..3, voxels);
        (weights, labels).prop_map(move |(weights, labels)| {
            let mut all = Array2::from_shape_vec((3, voxels), weights).unwrap() + 1e-6;
            let sums = all.sum_axis(Axis(0));
            all /= &sums;
            (all, Array1::from(labels))
        })
    })
}

fn one_hot(labels: &Array1<u16>) -> Array2<f64> {
    Array2::from_shape_fn((3, labels.len()), |(class, voxel)| {
        f64::from(u8::from(usize::from(labels[voxel]) == class))
    })
}

fn all(pair: &ProbabilityPair<'_>) -> Vec<Option<f64>> {
    let metrics = ProbabilityMetricConfig::defaults();
    metrics.iter().map(|metric| metric.as_dyn().measure(pair)).collect()
}

fn hard<'a>(prediction: &'a Array2<f64>, labels: &'a Array1<u16>) -> ProbabilityPair<'a> {
    let prediction = Probabilities::new(prediction).unwrap();
    ProbabilityPair::new(prediction, Truth::hard(labels, None)).unwrap()
}

fn soft<'a>(prediction: &'a Array2<f64>, truth: &'a Array2<f64>) -> ProbabilityPair<'a> {
    let prediction = Probabilities::new(prediction).unwrap();
    ProbabilityPair::new(prediction, Truth::soft(truth).unwrap()).unwrap()
}

/// What [`Ece::reliability`] gives, by its definition.
fn one_by_one(pair: &ProbabilityPair<'_>, ece: &Ece) -> Reliability {
    let add = |table: &mut Reliability, voxel: Voxel<'_>| {
        if ece.voxels == Voxels::Foreground && voxel.is_background() {
            return;
        }
        let (confidence, right) = match ece.confidence {
            Confidence::TopLabel => (voxel.choice().1, voxel.truth(voxel.choice().0)),
            Confidence::Foreground => {
                (voxel.predicted[1] + voxel.predicted[2], voxel.truth(1) + voxel.truth(2))
            }
            Confidence::Class(class) => (voxel.predicted[class], voxel.truth(class)),
        };
        table.add(confidence, right);
    };
    let start = || Reliability::new(ece.bins, ece.binning);
    pair.fold(start, add, |table, part| table.merge(&part).unwrap())
}

proptest! {
    #[test]
    fn certain_soft_truth_is_hard_truth((prediction, labels) in cases()) {
        let certain = one_hot(&labels);

        prop_assert_eq!(all(&hard(&prediction, &labels)), all(&soft(&prediction, &certain)));
    }

    #[test]
    fn proper_scores_are_best_for_the_truth((prediction, labels) in cases()) {
        // Soft truth: between the one-hot labels and the prediction.
        let truth = (one_hot(&labels) + &prediction) / 2.0;

        for metric in [&Brier::default() as &dyn ProbabilityMetric, &Nll::default()] {
            let other = metric.measure(&soft(&prediction, &truth)).unwrap();
            let best = metric.measure(&soft(&truth, &truth)).unwrap();
            prop_assert!(best <= other + 1e-12, "{:?}: {} and {}", metric, best, other);
        }
        let itself = Bdice::default().measure(&soft(&truth, &truth));
        prop_assert!(itself.is_none() || itself == Some(1.0));
    }

    #[test]
    fn scores_lie_in_their_range((prediction, labels) in cases()) {
        let metrics = ProbabilityMetricConfig::defaults();
        let ends = |name: &str| match name {
            "brier" => 2.0,
            "nll" => f64::INFINITY,
            _ => 1.0 + 1e-12,
        };
        for (metric, value) in metrics.iter().zip(all(&hard(&prediction, &labels))) {
            let end = ends(metric.name());
            prop_assert!(value.is_none_or(|v| (0.0..=end).contains(&v)), "{:?} {:?}", metric, value);
        }
    }

    #[test]
    fn a_fine_table_knows_what_others_measure((prediction, labels) in cases()) {
        let pair = hard(&prediction, &labels);
        let table = |bins: usize, confidence| {
            let bins = std::num::NonZeroUsize::new(bins).unwrap();
            Reliability::of(&pair, bins, Binning::LeftClosed, confidence, Voxels::All).unwrap()
        };
        let fifteen = std::num::NonZeroUsize::new(15).unwrap();
        let fine = table(3840, Confidence::TopLabel);

        let (coarse, directly) = (fine.coarser(fifteen).unwrap(), table(15, Confidence::TopLabel));
        for (one, other) in coarse.bins().iter().zip(directly.bins()) {
            prop_assert_eq!(one.count, other.count);
            prop_assert!((one.confidence_sum - other.confidence_sum).abs() < 1e-9);
        }
        let ks = Ks::default().measure(&pair).unwrap();
        // What lies in one bin cannot be told apart: so much may the largest distance be off.
        let shared = fine.bins().iter().map(|bin| bin.count).filter(|&count| count > 1).max();
        let share = shared.unwrap_or(0) as f64 / labels.len() as f64;
        let missed = ks - fine.ks().unwrap();
        prop_assert!((-1e-9..=share + 1e-9).contains(&missed), "{missed} of {share}");
        let class = table(3840, Confidence::Class(1));
        let thresholds = [0.0, 0.05, 0.5, 0.85];
        let cut = class.cut(&thresholds);
        let swept = sconce_metrics::threshold_sweep(&pair, 1, &thresholds).unwrap();
        for (one, other) in cut.iter().zip(&swept) {
            prop_assert!((one.true_positives - other.true_positives).abs() < 1e-9, "{one:?} {other:?}");
            prop_assert!((one.false_positives - other.false_positives).abs() < 1e-9);
            prop_assert!((one.true_negatives - other.true_negatives).abs() < 1e-9);
        }
        prop_assert_eq!(table(7, Confidence::TopLabel).coarser(fifteen), None);
    }

    #[test]
    fn calibration_without_bins_is_no_worse_than_with_the_finest((prediction, labels) in cases()) {
        let pair = hard(&prediction, &labels);
        let apart = (0..labels.len()).map(|voxel| {
            let of = prediction.column(voxel);
            let best = (0..3).fold(0, |best, class| if of[class] > of[best] { class } else { best });
            (f64::from(u8::from(usize::from(labels[voxel]) == best)) - of[best]).abs()
        });
        let finest = apart.sum::<f64>() / labels.len() as f64;

        prop_assert!(Ks::default().measure(&pair).unwrap() <= finest + 1e-9);
        prop_assert!(Ece::default().measure(&pair) <= Mce::default().measure(&pair).map(|it| it + 1e-9));
        // One range of all predictions of a class: how often it occurs, and how often it is expected.
        let one = Ace { ranges: std::num::NonZeroUsize::MIN, ..Ace::default() };
        let one_bin = ClasswiseEce { bins: std::num::NonZeroUsize::MIN, ..ClasswiseEce::default() };
        let (one, one_bin) = (one.measure(&pair).unwrap(), one_bin.measure(&pair).unwrap());
        prop_assert!((one - one_bin).abs() < 1e-9);
    }

    #[test]
    fn a_table_of_two_halves_is_that_of_the_whole((prediction, labels) in cases()) {
        let ece = Ece::default();
        let whole = ece.reliability(&hard(&prediction, &labels)).unwrap();

        let middle = labels.len() / 2;
        let first = Array1::from_shape_fn(labels.len(), |at| at < middle);
        let part = |voxels: &Array1<bool>| {
            ece.reliability(&hard(&prediction, &labels).counting(voxels).unwrap()).unwrap()
        };
        let mut sum = part(&first);
        sum.merge(&part(&first.mapv(|inside| !inside))).unwrap();

        prop_assert_eq!(sum.total(), whole.total());
        let (sum, whole) = (sum.ece().unwrap(), whole.ece().unwrap());
        prop_assert!((sum - whole).abs() < 1e-12, "{} and {}", sum, whole);
    }

    #[test]
    fn a_table_is_that_of_its_voxels_one_by_one((prediction, labels) in cases()) {
        // Often enough that several blocks and parts of a block occur; every fifth does not count.
        let many = |all: &Array2<f64>| ndarray::concatenate(Axis(1), &[all.view(); 30]).unwrap();
        let classes = Array1::from_iter(labels.iter().cycle().take(30 * labels.len()).copied());
        let counted = Array1::from_shape_fn(classes.len(), |at| at % 5 > 0);
        let (prediction, smooth) = (many(&prediction), many(&((one_hot(&labels) + 0.25) / 1.75)));

        for pair in [hard(&prediction, &classes), soft(&prediction, &smooth)] {
            let pair = pair.counting(&counted).unwrap();
            for voxels in [Voxels::All, Voxels::Foreground] {
                let top = Confidence::TopLabel;
                for confidence in [top, Confidence::Foreground, Confidence::Class(2)] {
                    for binning in [Binning::LeftClosed, Binning::RightClosed, Binning::OneApart] {
                        let ece = Ece { binning, confidence, voxels, ..Ece::default() };
                        let found = ece.reliability(&pair).unwrap();
                        let expected = one_by_one(&pair, &ece);
                        for (a, b) in found.bins().iter().zip(expected.bins()) {
                            prop_assert_eq!(a.count, b.count);
                            prop_assert!((a.confidence_sum - b.confidence_sum).abs() < 1e-9);
                            prop_assert!((a.accuracy_sum - b.accuracy_sum).abs() < 1e-9);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn binarized_dice_of_certainties_is_dice((prediction, labels) in cases()) {
        let (certain, truth) = (one_hot(&labels), prediction.mapv(|p| f64::from(u8::from(p > 0.4))));
        let pair = soft(&certain, &truth);

        for class in 0..3 {
            let mask = |all: &Array2<f64>| all.row(class).mapv(|p| p > 0.5).insert_axis(Axis(0));
            let masks = MaskPair::new(&mask(&truth), &mask(&certain), &[1.0, 1.0]).unwrap();
            let expected = sconce_metrics::Dice::default().measure(&masks);
            let found = Bdice::default().of_class(&pair, class);
            prop_assert_eq!(found.is_some(), expected.is_some());
            prop_assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn means_lie_between_their_values(values in proptest::collection::vec(any::<Option<i16>>(), 0..20)) {
        let values = values.into_iter().map(|value| value.map(f64::from));
        let summary = Summary::of(values.clone());

        prop_assert_eq!(summary.defined + summary.undefined, values.len());
        prop_assert_eq!(summary.mean.is_some(), summary.defined > 0);
        if let (Some(low), Some(mean), Some(high)) = (summary.minimum, summary.mean, summary.maximum) {
            prop_assert!((low - 1e-9..=high + 1e-9).contains(&mean));
        }
    }
}

/// Large enough for several parts that different threads look at.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let voxels = 100_000;
    let prediction = Array2::from_shape_fn((2, voxels), |(class, voxel)| {
        let first = (voxel as f64 * 0.618_033_988_75).fract();
        if class == 0 { first } else { 1.0 - first }
    });
    let labels = Array1::from_shape_fn(voxels, |voxel| u16::from(voxel % 7 > 3));
    let pair = hard(&prediction, &labels);

    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(&pair))
    };
    assert_eq!(with(1), with(3));
    assert!(with(1).iter().all(Option::is_some));
}
