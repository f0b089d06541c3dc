//! What an evaluation holds beside means of scores, for a terminal.

use std::fmt;

use sconce::engine::evaluate::{ChallengeSummary, Evaluation, RaterSummary, decimals};

/// Writes what there is of it, a line each.
pub(super) fn write_more(f: &mut fmt::Formatter<'_>, evaluation: &Evaluation) -> fmt::Result {
    let four = |value: Option<f64>| decimals(value, 4);
    for (class, absent) in &evaluation.absent {
        writeln!(
            f,
            "{:<16} {class}: predicted in {} of {} cases without it",
            "false alarms", absent.false_alarms, absent.cases
        )?;
    }
    for (class, raters) in &evaluation.raters {
        let RaterSummary { dice, between, difference_interval, energy_distance, .. } = raters;
        let interval = difference_interval.map_or_else(String::new, |[low, high]| {
            format!(", difference [{}, {}]", four(Some(low)), four(Some(high)))
        });
        writeln!(
            f,
            "{:<16} {class}: dice {} with raters, {} between them{interval}  energy_distance {}",
            "raters",
            four(dice.mean),
            four(between.mean),
            four(energy_distance.mean)
        )?;
    }
    if let Some(failures) = evaluation.failures.as_ref().filter(|it| it.failed > 0) {
        let each = failures.auroc.iter().map(|(kind, auroc)| format!("{kind} {}", four(*auroc)));
        writeln!(
            f,
            "{:<16} {} of {} below dice {}, told by: {}",
            "failures",
            failures.failed,
            failures.cases,
            failures.below,
            each.collect::<Vec<_>>().join("  ")
        )?;
    }
    if let Some(ChallengeSummary { name, regions, overall }) = &evaluation.challenge {
        for (region, scores) in regions {
            let each =
                scores.iter().map(|(score, summary)| format!("{score} {}", four(summary.mean)));
            writeln!(f, "{name:<16} {region}: {}", each.collect::<Vec<_>>().join("  "))?;
        }
        for (score, value) in overall {
            writeln!(f, "{name:<16} {score} {}", four(*value))?;
        }
    }
    Ok(())
}
