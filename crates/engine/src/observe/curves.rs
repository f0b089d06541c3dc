//! What is drawn of a run, epoch by epoch, whoever draws it.

use crate::EpochSummary;

/// How long an epoch took.
pub(super) const SECONDS: &str = "seconds_per_epoch";

/// The values of an epoch under their names, undefined ones left out; `classes` are those of
/// [`EpochSummary::validation_dice`].
pub(super) fn curves(summary: &EpochSummary, classes: &[String]) -> Vec<(String, f64)> {
    let mut values = vec![
        ("loss/train".to_owned(), summary.train_loss),
        ("learning_rate".to_owned(), summary.learning_rate),
        (SECONDS.to_owned(), summary.seconds),
    ];
    if summary.validation_loss.is_finite() {
        values.push(("loss/validation".to_owned(), summary.validation_loss));
    }
    for (class, dice) in classes.iter().zip(&summary.validation_dice) {
        values.extend(dice.map(|dice| (format!("dice/{class}"), dice)));
    }
    values.extend(summary.mean_dice().map(|dice| ("dice/mean".to_owned(), dice)));
    values
}
