//! A network that learns from what others said before.

use std::fs;
use std::ops::ControlFlow;

use data::Dataset as _;
use engine::calibrate::Calibration;
use engine::{
    Event, Observer, Opinions, Origins, PredictConfig, Predictor, Run, RunConfig, RunFolder,
    Trained,
};
use preprocess::Augmentation;
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, run_from};

/// Keeps the losses.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Step { loss, .. } = event {
            self.0.push(*loss);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// As large as a patch, so that each patch shows all of its case.
const SIZE: [usize; 3] = [8, 16, 16];

fn train(
    config: &RunConfig,
    dataset: &Balls,
    origins: Origins<'_>,
) -> engine::Result<(Trained, Vec<f64>)> {
    let folder = tempdir().expect("a temporary folder");
    let (folder, device) = (RunFolder::create(folder.path(), false)?, device());
    let run = run_from(config, dataset, &folder, &device, origins);
    let mut losses = Losses::default();
    let outcome = engine::train(&run, &mut [&mut losses])?;
    Ok((outcome.trained, losses.0))
}

fn supervised(base: &RunConfig, table: &str) -> anyhow::Result<RunConfig> {
    let supervision = toml::from_str(table)?;
    // Teachers see patches whose intensities vary, opinions are of those that do not.
    let augment = Augmentation::new(Vec::new());
    Ok(RunConfig { supervision: Some(supervision), augment, ..base.clone() })
}

/// Has a teacher say something of all cases, into `folder`.
fn ask(
    folder: &std::path::Path,
    teacher: &Trained,
    balls: &Balls,
    temperature: f64,
) -> anyhow::Result<Opinions> {
    let named = [("teacher".to_owned(), teacher.clone())];
    let mut opinions = Opinions::create(folder, balls.description(), &named, temperature)?;
    let own = teacher.config.predict.clone();
    let settings = PredictConfig { calibration: Calibration::None, ..own };
    let predictor = Predictor::new(teacher, settings, &device())?;
    for id in balls.ids() {
        opinions.write(std::slice::from_ref(&predictor), &balls.read(id)?)?;
    }
    Ok(opinions)
}

fn base(balls: &Balls) -> anyhow::Result<RunConfig> {
    let mut base = config(3, 1);
    if balls.description().has_regions() {
        base.loss = toml::from_str("[cross_entropy]\nactivation = \"sigmoid\"")?;
    }
    Ok(base)
}

#[test]
fn what_was_said_before_teaches_as_who_said_it() -> anyhow::Result<()> {
    for balls in [Balls::new(6, SIZE), Balls::nested(6, SIZE)] {
        let base = base(&balls)?;
        let (mut teacher, _) = train(&base, &balls, Origins::default())?;
        // What it was calibrated by is no concern of a student's.
        teacher.config.temperature = 1.7;
        let teachers = std::slice::from_ref(&teacher);
        let folder = tempdir()?;
        ask(folder.path(), &teacher, &balls, 2.0)?;
        let opinions = Opinions::open(folder.path())?;
        let config = |cache: &str| {
            supervised(&base, &format!("teachers = [\"teacher\"]\ntemperature = 2.0\n{cache}"))
        };

        let online = train(&config("")?, &balls, Origins { teachers, ..Origins::default() })?.1;
        let origins = Origins { opinions: Some(&opinions), ..Origins::default() };
        let offline = train(&config("cache = \"x\"")?, &balls, origins)?.1;

        assert_eq!((online.len(), offline.len()), (8, 8));
        for (online, offline) in online.iter().zip(&offline) {
            assert!((online - offline).abs() < 1e-3, "{online} {offline}");
        }
    }
    Ok(())
}

#[test]
fn a_run_of_slices_goes_on_with_the_opinions_that_it_began_with() -> anyhow::Result<()> {
    let balls = Balls::new(6, [4, 24, 22]);
    let (teacher, _) = train(&config(2, 1), &balls, Origins::default())?;
    let mut other = teacher.clone();
    for tensor in other.parameters.values_mut() {
        *tensor = (&*tensor * 1.5)?;
    }
    let (said, elsewhere, folder) = (tempdir()?, tempdir()?, tempdir()?);
    let opinions = ask(said.path(), &teacher, &balls, 1.0)?;
    let others = ask(elsewhere.path(), &other, &balls, 1.0)?;
    // Patches are smaller than slices, turned and varied.
    let supervision = Some(toml::from_str("cache = \"x\"")?);
    let train = |epochs: usize, opinions: &Opinions, resume: bool| -> engine::Result<usize> {
        let config = &RunConfig { supervision: supervision.clone(), ..config(2, epochs) };
        let (folder, device) = (RunFolder::create(folder.path(), resume)?, device());
        let origins = Origins { opinions: Some(opinions), ..Origins::default() };
        let run = Run { resume, ..run_from(config, &balls, &folder, &device, origins) };
        Ok(engine::train(&run, &mut [])?.history.len())
    };

    assert_eq!(train(1, &opinions, false)?, 1);
    let error = train(2, &others, true).expect_err("other teachers").to_string();
    assert!(error.contains("other teachers"), "{error}");
    assert_eq!(train(2, &opinions, true)?, 2);
    Ok(())
}

#[test]
fn they_are_gone_on_with_by_the_same_teachers_alone() -> anyhow::Result<()> {
    let balls = Balls::new(4, SIZE);
    let (teacher, _) = train(&base(&balls)?, &balls, Origins::default())?;
    let mut other = teacher.clone();
    for tensor in other.parameters.values_mut() {
        *tensor = (&*tensor * 1.5)?;
    }
    let folder = tempdir()?;
    let create = |teacher: &Trained, temperature: f64| {
        let named = [("teacher".to_owned(), teacher.clone())];
        Opinions::create(folder.path(), balls.description(), &named, temperature)
    };

    create(&teacher, 1.0)?;
    create(&teacher, 1.0)?;
    for (refused, of) in [
        (create(&other, 1.0), "it is of other teachers"),
        (create(&teacher, 2.0), "it is of another temperature"),
    ] {
        let error = refused.expect_err("other opinions").to_string();
        assert!(error.contains(of), "{error}");
    }
    let mut spleen = Balls::new(4, SIZE);
    spleen.rename_class("spleen");
    let named = [("teacher".to_owned(), teacher)];
    let error = Opinions::create(folder.path(), spleen.description(), &named, 1.0);
    let error = error.expect_err("other classes").to_string();
    assert!(error.contains("tells background, ball apart"), "{error}");
    Ok(())
}

#[test]
fn opinions_that_do_not_suit_are_refused() -> anyhow::Result<()> {
    let balls = Balls::new(6, SIZE);
    let base = base(&balls)?;
    let (teacher, _) = train(&base, &balls, Origins::default())?;
    let folder = tempdir()?;
    let opinions = ask(folder.path(), &teacher, &balls, 1.0)?;
    let refused = |table: &str, balls: &Balls| -> anyhow::Result<String> {
        let origins = Origins { opinions: Some(&opinions), ..Origins::default() };
        let outcome = train(&supervised(&base, table)?, balls, origins);
        Ok(outcome.map(drop).expect_err("a refusal").to_string())
    };

    let error = refused("cache = \"x\"\ntemperature = 3.0", &balls)?;
    assert!(error.contains("given at temperature 1, but supervision.temperature is 3"), "{error}");
    let error = refused("cache = \"x\"\nteachers = [\"a\", \"b\"]", &balls)?;
    assert!(error.contains("supervision.teachers names 2"), "{error}");
    let mut spleen = Balls::new(6, SIZE);
    spleen.rename_class("spleen");
    let error = refused("cache = \"x\"", &spleen)?;
    assert!(error.contains("are of background, ball"), "{error}");
    let error = refused("cache = \"x\"", &Balls::new(6, [9, 16, 16]))?;
    assert!(error.contains("it is of another image") && error.contains("distill cache"), "{error}");
    let names = ["a/b", "../a", ".a", "a\\b"].map(|id| opinions.file(id));
    assert!(names.iter().all(|name| name.parent() == Some(folder.path())), "{names:?}");
    assert_eq!(opinions.file("case_01.a").file_name(), Some("case_01.a.nii.gz".as_ref()));
    fs::remove_file(opinions.file("ball_3"))?;
    let error = refused("cache = \"x\"", &balls)?;
    assert!(error.contains("lack 1 of 6 cases, ball_3 for one"), "{error}");
    let error = Opinions::open(&folder.path().join("none")).expect_err("no folder").to_string();
    assert!(error.contains("sconce distill cache"), "{error}");
    Ok(())
}
