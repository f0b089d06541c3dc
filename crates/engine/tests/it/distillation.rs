//! A network that learns from another, and one that starts from another's weights.

use std::ops::ControlFlow;

use engine::{Event, Observer, Origins, Outcome, Run, RunConfig, RunFolder, Trained, Transfer};
use tempfile::tempdir;

use crate::fixture::{self, Balls, config, run_from};

/// Keeps what was said of weights that were taken over, and the losses.
#[derive(Default)]
struct Watch {
    transfer: Option<Transfer>,
    losses: Vec<f64>,
}

impl Observer for Watch {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        match event {
            Event::Transferred(transfer) => self.transfer = Some((*transfer).clone()),
            Event::Step { loss, .. } => self.losses.push(*loss),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn train(
    config: &RunConfig,
    dataset: &Balls,
    origins: Origins<'_>,
) -> engine::Result<(Outcome, Watch)> {
    let folder = tempdir().expect("a temporary folder");
    let (folder, device) = (RunFolder::create(folder.path(), false)?, fixture::device());
    let run = run_from(config, dataset, &folder, &device, origins);
    let mut watch = Watch::default();
    let outcome = engine::train(&run, &mut [&mut watch])?;
    Ok((outcome, watch))
}

fn with_supervision(base: &RunConfig, table: &str) -> anyhow::Result<RunConfig> {
    let supervision = toml::from_str(&format!("teachers = [\"a\"]\n{table}"))?;
    Ok(RunConfig { supervision: Some(supervision), ..base.clone() })
}

fn teacher(dataset: &Balls) -> anyhow::Result<Trained> {
    Ok(train(&config(3, 1), dataset, Origins::default())?.0.trained)
}

fn refusal(outcome: engine::Result<(Outcome, Watch)>) -> String {
    outcome.err().expect("a refusal").to_string()
}

#[test]
fn terms_count_by_their_weights() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let (teacher, base) = (teacher(&balls)?, config(3, 1));
    let teachers = std::slice::from_ref(&teacher);
    let losses = |table: &str| -> anyhow::Result<Vec<f64>> {
        let origins = Origins { teachers, ..Origins::default() };
        Ok(train(&with_supervision(&base, table)?, &balls, origins)?.1.losses)
    };

    // Nothing of the teacher: as without one. (The plan is the teacher's, which is the same.)
    let alone = train(&base, &balls, Origins::default())?.1.losses;
    let of_labels = losses("label = { weight = 1.0 }\nteacher = { weight = 0.0 }")?;
    assert_eq!(of_labels, alone);
    // At the first step parameters are the same: terms add up.
    let of_teacher = losses("label = { weight = 0.0 }\nteacher = { weight = 1.0 }")?;
    let both = losses("")?;
    let expected = f64::midpoint(of_labels[0], of_teacher[0]);
    assert!((both[0] - expected).abs() < 1e-5, "{} {expected}", both[0]);
    assert!((of_labels[0] - of_teacher[0]).abs() > 1e-3);
    // A teacher that speaks from the fifth of eight steps on: until then, all is as without one.
    let schedule = "label = { weight = 1.0 }
        teacher = { weight = 1.0, schedule.step = { at = 0.5, before = 0.0, after = 1.0 } }";
    let scheduled = losses(schedule)?;
    assert_eq!(scheduled[..4], alone[..4]);
    assert!(scheduled[4] > alone[4] + 1e-3, "{} {}", scheduled[4], alone[4]);
    Ok(())
}

#[test]
fn a_run_goes_on_with_the_teachers_that_it_began_with() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let mut other = teacher.clone();
    for tensor in other.parameters.values_mut() {
        *tensor = (&*tensor * 1.5)?;
    }
    let config = with_supervision(&config(3, 1), "")?;
    let folder = tempdir()?;
    let device = fixture::device();
    let train = |teacher: &Trained, resume: bool| -> engine::Result<Outcome> {
        let folder = RunFolder::create(folder.path(), resume)?;
        let origins = Origins { teachers: std::slice::from_ref(teacher), ..Origins::default() };
        let (config, dataset, device) = (&config, &balls, &device);
        engine::train(
            &Run { resume, ..run_from(config, dataset, &folder, device, origins) },
            &mut [],
        )
    };

    train(&teacher, false)?;
    let refused = train(&other, true).expect_err("other teachers").to_string();
    assert!(refused.contains("origins.json") && refused.contains("other teachers"), "{refused}");
    train(&teacher, true)?;
    Ok(())
}

#[test]
fn losses_that_do_not_suit_are_refused_before_anything_is_read() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let base = config(3, 1);
    let refused = |config: &RunConfig| {
        let origins = Origins { teachers: std::slice::from_ref(&teacher), ..Origins::default() };
        refusal(train(config, &balls, origins))
    };

    for (table, reason) in [
        ("loss.dice = {}", "supervision.loss.dice: dice is not smallest"),
        ("loss.kl_divergence = { temperature = 2.0 }", "would count twice"),
        ("loss.hausdorff = {}", "needs maps of labels"),
        ("loss.cross_entropy = { activation = \"sigmoid\" }", "supervision.loss.cross_entropy"),
        ("label = { weight = 0.0 }\nteacher = { weight = 0.0 }", "both weigh 0"),
        // In the last tenth of the run alone.
        (
            "label = { weight = 0.0 }
             teacher.schedule.step = { at = 0.9, before = 1.0, after = 0.0 }",
            "both weigh 0 when",
        ),
        (
            "teacher.schedule.step = { at = 0.7, before = 1.0, after = 0.0 }
             label.schedule.step = { at = 0.8, before = 0.0, after = 1.0 }",
            "both weigh 0 when 0.7",
        ),
    ] {
        let error = refused(&with_supervision(&base, table)?);
        assert!(error.contains(reason), "{table}: {error}");
    }
    for (loss, reason) in [
        // Wrong from the last tenth of the run on alone.
        (
            "[[sum.terms]]
             weight = 1.0
             loss.cross_entropy = {}
             [[sum.terms]]
             weight = 1.0
             loss.nacl = { kernel = 2 }
             schedule.step = { at = 0.9, before = 0.0, after = 1.0 }",
            "nacl.kernel is 2",
        ),
        (
            "[[sum.terms]]
             weight = 1.0
             loss.cross_entropy = {}
             schedule.linear = { from = 1.0, to = 0.0 }",
            "sum needs a term of a weight above 0",
        ),
        ("[blob.loss.boundary]", "needs maps of its own"),
    ] {
        let wrong = RunConfig { loss: toml::from_str(loss)?, ..base.clone() };
        let error = refusal(train(&wrong, &balls, Origins::default()));
        assert!(error.contains(reason), "{loss}: {error}");
    }
    let mut unequal = RunConfig { loss: toml::from_str("[boundary]")?, ..base.clone() };
    unequal.preprocess.resample = Some(false);
    let error = refusal(train(&unequal, &balls, Origins::default()));
    assert!(error.contains("needs distances in mm"), "{error}");
    Ok(())
}

#[test]
fn losses_of_maps_and_components_train() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    for loss in ["[boundary]", "[hausdorff]", "[blob]", "[cl_dice]", "[lovasz_softmax]"] {
        let config = RunConfig { loss: toml::from_str(loss)?, ..config(3, 1) };
        let (_, watch) = train(&config, &balls, Origins::default())?;
        assert!(watch.losses.iter().all(|loss| loss.is_finite()), "{loss}");
    }
    Ok(())
}

#[test]
fn labels_calibrate_what_teachers_say() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let origins = || Origins { teachers: std::slice::from_ref(&teacher), ..Origins::default() };
    let alone = "label = { weight = 0.0 }\nteacher = { weight = 1.0 }\n";
    let losses = |table: &str| -> anyhow::Result<Vec<f64>> {
        let config = with_supervision(&config(3, 1), &format!("{alone}{table}"))?;
        Ok(train(&config, &balls, origins())?.1.losses)
    };

    let calibrated = losses("kde = { keys = 16 }")?;

    assert_eq!(calibrated, losses("kde = { keys = 16 }")?, "the same keys each time");
    assert!((calibrated[0] - losses("")?[0]).abs() > 1e-6, "{calibrated:?}");
    let mut smooth = with_supervision(&config(3, 1), "kde = {}")?;
    smooth.labels = toml::from_str("smoothing.uniform = { epsilon = 0.1 }")?;
    let error = refusal(train(&smooth, &balls, origins()));
    assert!(error.contains("supervision.kde needs labels that are certain"), "{error}");
    Ok(())
}

#[test]
fn two_equal_teachers_say_what_one_says() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let config = with_supervision(&config(3, 1), "temperature = 2.0")?;
    let losses = |teachers: &[Trained]| -> anyhow::Result<Vec<f64>> {
        Ok(train(&config, &balls, Origins { teachers, ..Origins::default() })?.1.losses)
    };

    let one = losses(std::slice::from_ref(&teacher))?;
    let two = losses(&[teacher.clone(), teacher])?;

    for (one, two) in one.iter().zip(&two) {
        assert!((one - two).abs() < 1e-4, "{one} {two}");
    }
    Ok(())
}

#[test]
fn a_student_that_equals_its_teacher_pays_nothing() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let table = "label = { weight = 0.0 }\nteacher = { weight = 1.0 }\ntemperature = 3.0";
    let config = with_supervision(&config(3, 1), table)?;
    let origins = Origins {
        init: Some(&teacher),
        teachers: std::slice::from_ref(&teacher),
        ..Origins::default()
    };

    let (_, Watch { losses, transfer }) = train(&config, &balls, origins)?;

    assert!(losses[0].abs() < 1e-4, "{losses:?}");
    let transfer = transfer.expect("it was told of");
    assert_eq!((transfer.reused, transfer.fresh.len()), (teacher.parameters.len(), 0));
    Ok(())
}

#[test]
fn what_does_not_fit_begins_anew_and_is_named() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let mut init = teacher(&balls)?;
    let heads: Vec<String> =
        init.parameters.keys().filter(|name| name.contains("seg_layers")).cloned().collect();
    for head in &heads {
        let tensor = init.parameters[head].clone();
        let wider = candle::Tensor::cat(&[&tensor, &tensor], 0)?;
        init.parameters.insert(head.clone(), wider);
    }

    let origins = Origins { init: Some(&init), ..Origins::default() };
    let (_, watch) = train(&config(3, 1), &balls, origins)?;

    let transfer = watch.transfer.expect("it was told of");
    assert!(!heads.is_empty());
    assert_eq!((transfer.fresh, transfer.left), (heads.clone(), heads.clone()));
    assert_eq!(transfer.reused, init.parameters.len() - heads.len());
    init.parameters =
        init.parameters.into_iter().map(|(name, it)| (format!("x{name}"), it)).collect();
    let origins = Origins { init: Some(&init), ..Origins::default() };
    let error = refusal(train(&config(3, 1), &balls, origins));
    assert!(error.contains("has no parameter of the name and shape"), "{error}");
    Ok(())
}

#[test]
fn teachers_of_something_else_are_refused() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let teacher = teacher(&balls)?;
    let config = with_supervision(&config(3, 1), "")?;
    let refused = |config: &RunConfig, teacher: Trained| {
        let teachers = std::slice::from_ref(&teacher);
        refusal(train(config, &balls, Origins { teachers, ..Origins::default() }))
    };

    let none = refusal(train(&config, &balls, Origins::default()));
    assert!(none.contains("names no network"), "{none}");
    let mut other = teacher.clone();
    other.config.activation = losses::Activation::Sigmoid;
    let error = refused(&config, other);
    assert!(error.contains("teacher 1 tells regions that may overlap apart"), "{error}");
    let mut other = teacher.clone();
    other.config.classes[1].name = "spleen".to_owned();
    let error = refused(&config, other);
    assert!(error.contains("tells background, spleen apart"), "{error}");
    let mut own = config.clone();
    own.preprocess.spacing = Some([7.0; 3]);
    let error = refused(&own, teacher);
    assert!(error.contains("both must see the same"), "{error}");
    Ok(())
}

#[test]
fn smoothed_labels_are_soft_targets() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let plain = train(&config(3, 1), &balls, Origins::default())?.1.losses;
    for smoothing in ["boundary = { epsilon = 0.5, kernel = 3 }", "uniform = { epsilon = 0.1 }"] {
        let mut smooth = config(3, 1);
        smooth.labels = toml::from_str(&format!("smoothing.{smoothing}"))?;

        let losses = train(&smooth, &balls, Origins::default())?.1.losses;

        assert!((losses[0] - plain[0]).abs() > 1e-5, "{smoothing}: {} {}", losses[0], plain[0]);
        smooth.loss = toml::from_str("[dice]")?;
        let error = refusal(train(&smooth, &balls, Origins::default()));
        assert!(error.contains("allow_soft = true"), "{error}");
    }
    Ok(())
}
