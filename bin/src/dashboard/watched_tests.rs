use sconce::engine::EpochSummary;

use super::*;

const ITERATIONS: usize = 10;
const EPOCHS: usize = 4;

/// Moments that are told by the test.
pub(in crate::dashboard) struct Time(Instant);

impl Time {
    pub(in crate::dashboard) fn new() -> Self {
        Self(Instant::now())
    }

    pub(in crate::dashboard) fn at(&self, milliseconds: u64) -> Instant {
        self.0 + Duration::from_millis(milliseconds)
    }
}

pub(in crate::dashboard) fn summary(
    epoch: usize,
    epochs: usize,
    dice: &[Option<f64>],
) -> EpochSummary {
    EpochSummary {
        epoch,
        epochs,
        train_loss: 1.2 / (1.0 + 0.3 * epoch as f64),
        validation_loss: 1.1 / (1.0 + 0.3 * epoch as f64) + 0.02 * (epoch % 3) as f64,
        validation_dice: dice.to_vec(),
        learning_rate: 0.01,
        seconds: 25.0,
    }
}

pub(in crate::dashboard) fn begun(
    classes: &[&str],
    [epochs, iterations]: [usize; 2],
    history: &[EpochSummary],
    now: Instant,
) -> Watched {
    let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
    let (epoch, batch_size, parameters) = (history.len(), 2, 1000);
    let started = Event::Started {
        epoch,
        step: 0,
        epochs,
        iterations,
        batch_size,
        parameters,
        classes: &classes,
        history,
    };
    Watched::begin("livers", None, &started, now).expect("it begins")
}

pub(in crate::dashboard) fn step(watched: &mut Watched, step: usize, loss: f64, now: Instant) {
    let (epoch, learning_rate, gradient_norm) = (step / watched.iterations, 0.007_894, 1.25);
    watched.on(&Event::Step { epoch, step, loss, learning_rate, gradient_norm }, None, now);
}

#[test]
fn a_run_is_followed_step_by_step() {
    let time = Time::new();
    let mut watched = begun(&["liver", "tumour"], [EPOCHS, ITERATIONS], &[], time.at(0));
    assert_eq!((watched.per_second(), watched.left()), (None, None));

    // Half a second each, and three between epochs.
    for at in 0..ITERATIONS {
        step(&mut watched, at, 1.0, time.at(500 * at as u64));
    }
    assert!(watched.is_scoring());
    let dice = [Some(0.5), None];
    watched.on(&Event::Epoch(&summary(0, EPOCHS, &dice)), None, time.at(7000));
    assert!(!watched.is_scoring());
    step(&mut watched, ITERATIONS, 0.75, time.at(8000));

    assert_eq!(watched.per_second(), Some((2.0, 4.0)));
    assert_eq!((watched.epoch, watched.step, watched.train_loss), (1, 1, Some(0.75)));
    assert!((watched.share() - 11.0 / 40.0).abs() < 1e-12);
    // Nine steps and what comes after; then two more epochs.
    let [epoch, run] = watched.left().expect("steps have been timed");
    assert_eq!((epoch.as_millis(), run.as_millis()), (7500, 7500 + 2 * 8000));
    let names: Vec<&str> = watched.dice.iter().map(|scores| scores.name.as_str()).collect();
    assert_eq!(names, ["Dice", "  liver", "  tumour"]);
    assert_eq!(watched.dice[0].best, Some((0.5, 0)));
    assert_eq!((watched.dice[2].now(), watched.dice[2].best), (None, None));
}

#[test]
fn a_resumed_run_knows_what_was_before() {
    let history: Vec<_> = [0.5, 0.8, 0.7]
        .iter()
        .enumerate()
        .map(|(at, &dice)| summary(at, EPOCHS, &[Some(dice)]))
        .collect();

    let watched = begun(&["liver"], [EPOCHS, ITERATIONS], &history, Instant::now());

    assert_eq!((watched.epoch, watched.step), (3, 0));
    // A single class has no mean beside it.
    assert_eq!(watched.dice.len(), 1);
    assert_eq!(watched.dice[0].name, "Dice liver");
    assert_eq!((watched.dice[0].now(), watched.dice[0].best), (Some(0.7), Some((0.8, 1))));
    assert_eq!(watched.train.points().len(), 3);
    assert_eq!(watched.validation_loss.best.map(|(_, epoch)| epoch), Some(2));
}

#[test]
fn a_loss_that_is_undefined_is_none() {
    let mut watched = begun(&["liver"], [EPOCHS, ITERATIONS], &[], Instant::now());
    let undefined = EpochSummary { validation_loss: f64::NAN, ..summary(0, EPOCHS, &[None]) };

    watched.on(&Event::Epoch(&undefined), None, Instant::now());

    let loss = &watched.validation_loss;
    assert_eq!((loss.now(), loss.best, loss.history.len()), (None, None, 1));
    assert!(watched.validation.points().is_empty());
}
