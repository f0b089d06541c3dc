use std::num::{NonZeroU8, NonZeroUsize};

use anyhow::{Context, bail, ensure};
use golden::{Case, Tolerance, close, number};
use ndarray::Axis;
use sconce_metrics::{
    ClasswiseEce, Confusion, Ece, FineGrained, Overlap, Probabilities, ProbabilityPair,
    Reliability, Truth, Worst,
};
use serde_json::Value;

use super::{array, labels};

/// What the reference puts in place of a class that is nowhere active, in percent.
const STAND_IN: f64 = 1e8;

/// The accumulators of one run over several batches.
struct Run {
    overlap: FineGrained,
    /// Top-label calibration of all images, and the error of each.
    pooled: Reliability,
    errors: Vec<f64>,
    /// Calibration of each class over all images, and the mean error of each image.
    by_class: Vec<Reliability>,
    class_errors: Vec<f64>,
}

pub(super) fn metric_group(case: &Case) -> anyhow::Result<()> {
    let whole = |name: &str| case.params[name].as_u64().with_context(|| name.to_owned());
    let classes = usize::try_from(whole("num_classes")?)?;
    let ignore = u16::try_from(whole("ignore_index")?)?;
    let bins = NonZeroUsize::new(usize::try_from(whole("num_bins")?)?).context("no bins")?;
    let binary = case.params["binary"].as_bool().context("binary")?;
    let ece = Ece { bins, ..Ece::default() };
    let sce = ClasswiseEce { bins, chosen_only: true, ..ClasswiseEce::default() };

    let mut run = Run {
        overlap: if binary { FineGrained::binary() } else { FineGrained::new(classes) },
        pooled: Reliability::new(bins, ece.binning),
        errors: Vec::new(),
        by_class: vec![Reliability::new(bins, sce.binning); classes],
        class_errors: Vec::new(),
    };
    for batch in 0..whole("batches")? {
        let tensor = case.input(&format!("prob{batch}"))?;
        let prob = array(&tensor, tensor.values.clone())?;
        let label = labels(case, &format!("label{batch}"))?;
        for (prob, label) in prob.outer_iter().zip(label.outer_iter()) {
            let truth = Truth::hard(&label, Some(ignore));
            let pair = ProbabilityPair::new(Probabilities::new(&prob)?, truth)?;
            let chosen = prob.map_axis(Axis(0), |p| {
                let (_, class) = p.iter().zip(0u16..).fold((f64::MIN, 0), |best, (&p, class)| {
                    if p > best.0 { (p, class) } else { best }
                });
                class
            });
            run.overlap.add(&Confusion::of(&label, &chosen, classes, Some(ignore))?);

            let table = ece.reliability(&pair).context("no table")?;
            run.pooled.merge(&table)?;
            run.errors.push(table.ece().unwrap_or(0.0));
            // With two classes only class 1, else those in the image, where an ignored voxel
            // passes for the last class.
            let present = |class: u16| label.iter().any(|&l| l.min(ignore - 1) == class);
            let considered = (0..ignore).filter(|&c| if classes > 2 { present(c) } else { c == 1 });
            let mut sum = (0.0, 0.0);
            for class in 0..classes {
                let table = sce.reliability(&pair, class).context("no class")?;
                if considered.clone().any(|other| usize::from(other) == class) {
                    sum = (sum.0 + table.ece().unwrap_or(0.0), sum.1 + 1.0);
                }
                run.by_class[class].merge(&table)?;
            }
            run.class_errors.push(sum.0 / sum.1);
        }
    }
    tables(case, &run, classes)?;
    for (name, expected) in case.expected["values"].as_object().context("values")? {
        let ours = value(case, &run, name).with_context(|| name.clone())?;
        let tolerance = case.tolerance("values", Tolerance::new(1e-9, 1e-9));
        close(&[ours], &[number(expected)?], tolerance).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The tensors: counts of each image and class, and sums in each bin.
fn tables(case: &Case, run: &Run, classes: usize) -> anyhow::Result<()> {
    let tolerance = Tolerance::new(1e-9, 1e-9);
    let images = run.overlap.len();
    let mut columns: [Vec<f64>; 5] = Default::default();
    for image in 0..images {
        for class in 0..classes {
            let (counts, active) = run.overlap.class(image, class).context("no image")?;
            let row = [
                counts.true_positives,
                counts.false_positives,
                counts.false_negatives,
                counts.true_negatives,
                u64::from(active),
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value as f64);
            }
        }
    }
    for (role, column) in ["tp", "fp", "fn", "tn", "active_classes"].iter().zip(&columns) {
        case.expect(role, &[images, classes], column, tolerance)?;
    }

    let bins = |kind: &str, tables: &[Reliability]| -> anyhow::Result<()> {
        let all = || tables.iter().flat_map(Reliability::bins);
        let count: Vec<f64> = all().map(|bin| bin.count as f64).collect();
        let right: Vec<f64> = all().map(|bin| bin.accuracy_sum).collect();
        let confidence: Vec<f64> = all().map(|bin| bin.confidence_sum).collect();
        for (what, values) in [("total", count), ("acc", right), ("conf", confidence)] {
            let expected = case.output(&format!("{kind}_bin_{what}"))?;
            close(&values, &expected.values, tolerance)?;
        }
        Ok(())
    };
    bins("ece", std::slice::from_ref(&run.pooled))?;
    bins("sce", &run.by_class)?;
    let per_image = |role: &str, errors: &[f64]| {
        let percent: Vec<f64> = errors.iter().map(|error| 100.0 * error).collect();
        case.expect(role, &[errors.len()], &percent, tolerance)
    };
    per_image("ece_per_image", &run.errors)?;
    per_image("sce_per_image", &run.class_errors)
}

/// A value by its name in the reference, in percent; classwise calibration in permille.
fn value(case: &Case, run: &Run, name: &str) -> anyhow::Result<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let percent = |value: Option<f64>| value.map_or(f64::NAN, |value| 100.0 * value);
    match name {
        "Acc" => return Ok(percent(run.overlap.pixel_accuracy())),
        "ECED" => return Ok(percent(run.pooled.ece())),
        "ECEI" => return Ok(100.0 * mean(&run.errors)),
        "SCED" => {
            let first = usize::from(run.by_class.len() == 2);
            let classes = run.by_class[first..].iter().map(|table| table.ece().unwrap_or(0.0));
            return Ok(1000.0 * mean(&classes.collect::<Vec<_>>()));
        }
        "SCEI" => return Ok(1000.0 * mean(&run.class_errors)),
        _ => {}
    }
    let (overlap, rest) =
        [("mAcc", Overlap::Accuracy), ("mIoU", Overlap::Iou), ("mDice", Overlap::Dice)]
            .into_iter()
            .find_map(|(prefix, overlap)| Some((overlap, name.strip_prefix(prefix)?)))
            .context("unknown value")?;
    let q = &case.params["q"];
    let worst = match rest.get(1..).unwrap_or_default() {
        "" => Worst::All,
        "Q" => Worst::Tenths,
        number => {
            ensure!(q == &serde_json::from_str::<Value>(number)?, "{number} % of {q} %");
            Worst::Percent(NonZeroU8::try_from(number.parse::<u8>()?)?)
        }
    };
    Ok(match rest.chars().next() {
        Some('D') => percent(run.overlap.over_data(overlap)),
        Some('I') => percent(run.overlap.over_images(overlap, worst)),
        Some('C') => {
            let classes = run.overlap.by_class(overlap, worst);
            let values: Vec<f64> = classes
                .iter()
                .enumerate()
                .map(|(class, &value)| {
                    let active =
                        |image| run.overlap.class(image, class).is_some_and(|found| found.1);
                    let absent = !(0..run.overlap.len()).any(active);
                    if absent && worst != Worst::All { STAND_IN } else { percent(value) }
                })
                .collect();
            let ours = mean(&values);
            let own = percent(run.overlap.over_classes(overlap, worst));
            if own.is_finite() {
                close(&[own], &[ours], Tolerance::new(1e-12, 0.0))?;
            }
            ours
        }
        _ => bail!("unknown value"),
    })
}
