//! A network, on the cases of a data set.

use std::path::Path;

use anyhow::bail;
use sconce::data::{Dataset, Layout as _};
use sconce::engine::calibrate::Calibration;
use sconce::engine::evaluate::{EvaluateConfig, Evaluation, Scalings, on_dataset, part_of_dataset};
use sconce::engine::{Observer, PredictConfig, Predictor, RunConfig, RunFolder};
use sconce::zoo;

use super::{Args, Scored};
use crate::command_line::command_line;
use crate::commands::train::title;
use crate::progress::{Progress, note};
use crate::resolve::resolve;
use crate::shard::Shard;

pub(super) fn evaluate(
    (args, shard): (&Args, Option<Shard>),
    model: &str,
    data: &Path,
    settings: &EvaluateConfig,
) -> anyhow::Result<Scored> {
    let folder = resolve(model)?;
    let members: Vec<RunFolder> =
        zoo::members(&folder)?.iter().map(|member| RunFolder::at(member)).collect();
    let networks = zoo::load_all(&folder)?;
    let (run, trained) = (&members[0], &networks[0]);
    let file = args.run.clone().unwrap_or_else(|| run.settings());
    if args.run.is_none() && !file.is_file() {
        bail!(
            "there is no {}, which would say how the data folder is laid out; give a run file with \
             --run",
            file.display()
        );
    }
    let config = RunConfig::read(&file)?;
    let dataset = config.data.open(data)?;
    let ids = cases(args, &members, dataset.as_ref())?;
    let own = &trained.config.predict;
    let kind = args.calibration.unwrap_or(own.calibration);
    let one = networks.len() == 1;
    if !one && kind != Calibration::None {
        bail!(
            "the folds of {} are each calibrated by itself, which says nothing of their mean; give --calibration none",
            folder.display()
        );
    }
    let scalings = Scalings::of_folder(run, trained, dataset.as_ref(), kind)?;
    let device = crate::commands::train::open(args.device)?;
    let weights = if one { Some(trained.weights_hash()?) } else { None };
    // The logits of each case are scaled by what was fitted without it, as when the run ended.
    let raw = PredictConfig { calibration: Calibration::None, ..own.clone() };
    let predictor = Predictor::ensemble(&networks, raw, &device)?;
    let mut progress = Progress::new("evaluate");
    let dataset = dataset.as_ref();
    let title = title(&folder);
    let named = (title.as_str(), settings);
    let observers: &mut [&mut dyn Observer] = &mut [&mut progress];
    let scored = match shard {
        None => {
            let all = on_dataset(&predictor, dataset, &ids, &scalings, named, observers)?;
            Scored::All(Box::new(all))
        }
        Some(shard) => {
            let places: Vec<usize> = shard.places(ids.len()).collect();
            let cases = (ids.as_slice(), places.as_slice());
            let part = part_of_dataset(&predictor, dataset, cases, &scalings, named, observers)?;
            Scored::Part(Box::new(part))
        }
    };
    progress.finish();
    let provenance = run.read_provenance()?;
    Ok(scored.with(|evaluation| {
        let evaluation = Evaluation { weights, ..evaluation };
        evaluation.made_by(&command_line(), provenance.as_ref())
    }))
}

/// The cases that were held out of every network's training, or all.
fn cases(args: &Args, members: &[RunFolder], dataset: &dyn Dataset) -> anyhow::Result<Vec<String>> {
    let mut held_out: Option<Vec<String>> = None;
    for run in members {
        let (folder, split) = (run.root().display(), run.read_split()?);
        if args.all {
            let seen = split.map(|split| split.train).unwrap_or_default();
            let seen = seen.iter().filter(|id| dataset.ids().contains(id)).count();
            if seen > 0 {
                let all = dataset.ids().len();
                note(&format!("{folder} was trained on {seen} of the {all} cases"));
            }
            continue;
        }
        let Some(split) = split else {
            bail!(
                "{folder} does not say which cases it was trained on: it has no split.json; give --all \
                 to score every case"
            );
        };
        if let Some(missing) = split.val.iter().find(|id| !dataset.ids().contains(id)) {
            bail!(
                "case {missing}, held out when {folder} was trained, is not in the data folder; give \
                 the folder that it was trained on, or --all"
            );
        }
        match &mut held_out {
            None => held_out = Some(split.val),
            Some(all) => all.retain(|id| split.val.contains(id)),
        }
    }
    match held_out {
        None => Ok(dataset.ids().to_vec()),
        Some(none) if none.is_empty() => bail!(
            "each case was seen by one fold or another; hold some out of all of them (split.held_out), score the \
             folds one by one, or give --all"
        ),
        Some(some) => Ok(some),
    }
}
