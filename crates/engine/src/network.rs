use data::{Dataset, Fold};
use models::{Architecture as _, Interface, Topology};
use preprocess::augment::TransformConfig;
use preprocess::{Augmentation, Plan, PlanConfig};

use crate::file::read_versioned;
use crate::plans::{Chosen, fingerprint};
use crate::trained::{NetworkConfig, config_path, plan_path};
use crate::{Error, LabelSpace, Origins, Result, Run, RunConfig, TextRecord, door};

/// Plans the network from the training cases, or reads what was planned when the run began.
pub(crate) fn planned(
    run: &Run<'_>,
    space: &LabelSpace,
    training: &[String],
) -> Result<(Plan, NetworkConfig)> {
    let (root, description) = (run.folder.root(), run.dataset.description());
    if run.resume {
        let network: NetworkConfig = read_versioned(&config_path(root))?;
        if network.channels != description.channels || network.classes != description.classes {
            return Err(Error::Settings(format!(
                "the data set {} has other channels or classes than {}; give the data folder that \
                 the run began with, or begin a new run in another folder",
                description.name,
                config_path(root).display()
            )));
        }
        // What was fitted to the network as it was says nothing of what it will be.
        let predict = run.config.predict.clone();
        let network = NetworkConfig { temperature: 1.0, vector_scaling: None, predict, ..network };
        return Ok((read_versioned(&plan_path(root))?, network));
    }
    fresh(run.config, run.dataset, space, training, &run.origins)
}

/// What a run with these settings will train, and on which cases: its plan is made as when the run begins.
///
/// # Errors
///
/// As [`train`](fn@crate::train), before its first step.
pub fn plan_run(config: &RunConfig, dataset: &dyn Dataset) -> Result<(Plan, NetworkConfig, Fold)> {
    let space = LabelSpace::of(dataset.description())?;
    let split = config.split.divide(dataset)?;
    let (plan, network) = fresh(config, dataset, &space, &split.train, &Origins::default())?;
    door::planned(config, &plan, &network)?;
    Ok((plan, network, split))
}

/// Plans the network from the training cases.
fn fresh(
    config: &RunConfig,
    dataset: &dyn Dataset,
    space: &LabelSpace,
    training: &[String],
    origins: &Origins<'_>,
) -> Result<(Plan, NetworkConfig)> {
    let description = dataset.description();
    let (plan, chosen) = fresh_plan(dataset, &config.preprocess, training)?;
    let plan = origins
        .planned(plan, &config.preprocess, &description.channels)
        .map_err(Error::unsuitable)?;
    config.augment.check(&plan.normalize).map_err(Error::unsuitable)?;
    let interface = Interface {
        channels: plan.network_channels(description.channels.len()),
        classes: space.channels(),
        rank: plan.rank,
    };
    let topology = chosen.unwrap_or_else(|| stages(&plan));
    let network = NetworkConfig {
        schema: NetworkConfig::SCHEMA,
        dataset: description.name.clone(),
        architecture: config.model.fitted(&topology).map_err(Error::unsuitable)?,
        interface,
        activation: space.activation(),
        channels: description.channels.clone(),
        orientation: None,
        spacing: None,
        previous_labels: Vec::new(),
        classes: description.classes.clone(),
        regions_class_order: space.paint().to_vec(),
        mirror_axes: mirrored(&config.augment),
        text: match origins.text {
            Some(encoder) if config.model.embedding().is_some() => {
                Some(TextRecord::of(config, encoder)?)
            }
            _ => None,
        },
        predict: config.predict.clone(),
        temperature: 1.0,
        vector_scaling: None,
    };
    Ok((plan, network))
}

/// The plan that the settings name, with the stages of its network, or one for cases of a data set, which are
/// all read for it.
pub(crate) fn fresh_plan(
    dataset: &dyn Dataset,
    config: &PlanConfig,
    training: &[String],
) -> Result<(Plan, Option<Topology>)> {
    if let Some(Chosen { plan, topology }) =
        Chosen::of(config, dataset.description().channels.len())?
    {
        return Ok((plan, Some(topology)));
    }
    let fingerprint = fingerprint(dataset, training, &|| ())?;
    let plan = Plan::new(config, &fingerprint, &dataset.description().channels);
    let plan = plan.map_err(|error| match error {
        preprocess::Error::Settings(_) | preprocess::Error::NoForeground { .. } => {
            Error::unsuitable(error)
        }
        error => error.into(),
    })?;
    Ok((plan, None))
}

/// The stages of a U-Net for a plan, along the axes that it has.
fn stages(plan: &Plan) -> Topology {
    let topology = plan.topology();
    let axes = |stages: &[[usize; 3]]| -> Vec<Vec<usize>> {
        stages.iter().map(|axes| axes[3 - plan.rank..].to_vec()).collect()
    };
    Topology { strides: axes(&topology.strides), kernel_sizes: axes(&topology.kernel_sizes) }
}

/// The axes along which patches are mirrored in training.
fn mirrored(augment: &Augmentation) -> [bool; 3] {
    let mut axes = [false; 3];
    for transform in augment.transforms() {
        if let TransformConfig::Mirror(mirror) = transform {
            for (axis, seen) in axes.iter_mut().enumerate() {
                *seen |= mirror.axes[axis] && mirror.probability.get() > 0.0;
            }
        }
    }
    axes
}

#[cfg(test)]
mod tests {
    use preprocess::augment::Mirror;

    use super::*;

    #[test]
    fn only_axes_that_training_mirrors_are_mirrored_in_prediction() {
        let mirror = Mirror { axes: [true, true, false], ..Mirror::default() };

        assert_eq!(mirrored(&Augmentation::default()), [true; 3]);
        assert_eq!(mirrored(&Augmentation::new(vec![mirror.into()])), [true, true, false]);
        assert_eq!(mirrored(&Augmentation::none()), [false; 3]);
    }
}
