//! An evaluation that several processes share is that of one, to the last bit.

use data::Dataset as _;
use engine::calibrate::{Calibration, LogitScaling};
use engine::evaluate::{
    EvaluateConfig, Evaluation, Part, Scalings, merge, on_dataset, part_of_dataset,
};
use engine::{PredictConfig, Predictor};
use metrics::{Brats23, ChallengeConfig, Lits};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, train_into};

/// All cases at once; and by so many shards, whose parts went through files.
fn both(
    balls: &Balls,
    settings: &EvaluateConfig,
    shards: usize,
) -> anyhow::Result<(Evaluation, Vec<Part>)> {
    let folder = tempdir()?;
    let mut config = config(3, 1);
    if balls.description().has_regions() {
        config.loss = toml::from_str("[cross_entropy]\nactivation = \"sigmoid\"")?;
    }
    let trained = train_into(folder.path(), &config, balls, false, None)?.trained;
    let raw = PredictConfig { calibration: Calibration::None, ..trained.config.predict.clone() };
    let predictor = Predictor::new(&trained, raw, &device())?;
    let scalings = Scalings::uniform(LogitScaling::default());
    let ids = balls.ids();
    let named = ("run", settings);
    let whole = on_dataset(&predictor, balls, ids, &scalings, named, &mut [])?;
    let weights = Some(trained.weights_hash()?);
    let said = |evaluation: Evaluation| Evaluation { weights, ..evaluation }.made_by("cmd", None);
    let mut parts = Vec::new();
    for shard in 0..shards {
        let places: Vec<usize> = (shard..ids.len()).step_by(shards).collect();
        let cases = (ids, places.as_slice());
        let part = part_of_dataset(&predictor, balls, cases, &scalings, named, &mut [])?;
        let text = serde_json::to_string(&part.framed(said.clone()))?;
        parts.push(serde_json::from_str(&text)?);
    }
    Ok((said(whole), parts))
}

#[test]
fn parts_come_to_what_one_process_comes_to() -> anyhow::Result<()> {
    let challenges: [(bool, ChallengeConfig); 2] =
        [(false, Lits::default().into()), (true, Brats23::default().into())];
    for (nested, challenge) in challenges {
        let balls = if nested { Balls::nested(7, [8, 18, 20]) } else { Balls::new(7, [8, 18, 20]) };
        let settings = EvaluateConfig::default().with_metrics(&["all".to_owned()])?;
        let settings = EvaluateConfig { challenge: Some(challenge), ..settings };

        let (whole, mut parts) = both(&balls, &settings, 3)?;
        // Whoever is ready first.
        parts.rotate_left(1);

        let merged = merge(parts)?;
        assert_eq!(serde_json::to_string_pretty(&merged)?, serde_json::to_string_pretty(&whole)?);
        assert_eq!(merged.cases.len(), 7);
        assert!(merged.calibration.is_some() && merged.challenge.is_some());
    }
    Ok(())
}

#[test]
fn what_is_no_whole_is_refused() -> anyhow::Result<()> {
    let balls = Balls::new(4, [8, 18, 20]);
    let read = |parts: &[&String]| -> anyhow::Result<Vec<Part>> {
        Ok(parts.iter().map(|it| serde_json::from_str(it)).collect::<Result<_, _>>()?)
    };
    let (_, parts) = both(&balls, &EvaluateConfig::default(), 2)?;
    let parts = parts.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let error = |parts: &[&String]| -> anyhow::Result<String> {
        Ok(merge(read(parts)?).unwrap_err().to_string())
    };

    assert!(error(&[&parts[0]])?.contains("2 of 4 cases; score the missing shards"));
    assert!(error(&[&parts[0], &parts[1], &parts[0]])?.contains("number 1 is in two parts"));
    assert!(error(&[])?.contains("no part"));
    let other = parts[1].replacen("\"weights\":\"", "\"weights\":\"0", 1);
    assert!(other != parts[1]);
    assert!(error(&[&parts[0], &other])?.contains("different evaluations"));
    Ok(())
}
