//! nnU-Net's plans: made of a data set, and read by a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use data::{Dataset, Description, LayoutConfig};
use models::{ModelConfig, ResidualUnet, Topology, Unet};
use preprocess::nnunet::{
    Architecture, Configuration, Planned, PlanningConfig, Plans, Reader, Stages, plan_networks,
};
use preprocess::{CaseFingerprint, Fingerprint, Plan, PlanConfig, Preset};
use rayon::prelude::*;
use serde::Serialize;

use crate::file::read_json;
use crate::guard::guarded;
use crate::{Error, Result};

/// Plans networks for a data set by nnU-Net's rules, as nnU-Net's own planner does: every case is read.
///
/// `memory`, GB as nnU-Net counts them, is that which the preset is made for, where absent. `observe` is told how many
/// cases have been read, and of how many.
///
/// # Errors
///
/// Where a case cannot be read, or the data set has none.
pub fn plan_data_set(
    dataset: &dyn Dataset,
    preset: Preset,
    memory: Option<f64>,
    observe: &(dyn Fn(usize, usize) + Sync),
) -> Result<Planned> {
    let ids = dataset.ids();
    let done = AtomicUsize::new(0);
    let fingerprint = fingerprint(dataset, ids, &|| {
        observe(done.fetch_add(1, Ordering::Relaxed) + 1, ids.len());
    })?;
    let description = dataset.description();
    let config = PlanningConfig {
        dataset: description.name.clone(),
        channels: description.channels.clone(),
        labels: description.classes.len() + usize::from(description.ignore.is_some()),
        preset,
        memory: memory.unwrap_or(preset.memory()),
        reader: reader(dataset, fingerprint.cases().iter().all(|case| case.size[0] == 1)),
    };
    Ok(plan_networks(config, &fingerprint)?)
}

/// What nnU-Net reads such files by.
fn reader(dataset: &dyn Dataset, is_planar: bool) -> Reader {
    let first = dataset.ids().first().map(|id| dataset.files(id)).unwrap_or_default();
    let ending = first.first().and_then(|path| path.extension()).unwrap_or_default();
    let ending = ending.to_string_lossy().to_lowercase();
    match ending.as_str() {
        "png" | "bmp" | "jpg" | "jpeg" | "gif" | "tif" | "tiff" if is_planar => {
            Reader::NaturalImage2d
        }
        "tif" | "tiff" => Reader::Tiff3d,
        _ => Reader::SimpleItk,
    }
}

/// What plans need to know of cases, which are all read.
pub(crate) fn fingerprint(
    dataset: &dyn Dataset,
    ids: &[String],
    read: &(dyn Fn() + Sync),
) -> Result<Fingerprint> {
    let looked_at: Vec<Result<CaseFingerprint>> = ids
        .par_iter()
        .map(|id| {
            guarded(id, || {
                let case = dataset.read(id)?;
                let found = CaseFingerprint::of(&case.image, case.label.as_ref());
                read();
                Ok(found)
            })
        })
        .collect();
    let mut fingerprint = Fingerprint::new(dataset.description().channels.len());
    for case in looked_at {
        fingerprint.push(case?);
    }
    Ok(fingerprint)
}

/// What a run file's `preprocess.plans` says of `preprocess.configuration`.
pub(crate) struct Chosen {
    pub(crate) plan: Plan,
    pub(crate) topology: Topology,
}

impl Chosen {
    /// None, where there is no such setting.
    pub(crate) fn of(config: &PlanConfig, channels: usize) -> Result<Option<Self>> {
        let Some(path) = &config.plans else { return Ok(None) };
        config.check(channels)?;
        let file = |error: preprocess::Error| Error::File {
            path: path.clone(),
            reason: error.to_string(),
        };
        let plans: Plans = read_json(path)?;
        let name = config.configuration();
        let plan = plans.plan(name).map_err(file)?;
        if plan.normalize.len() != channels {
            let reason = format!(
                "the plans are for images of {} channels, but the data set has {channels}",
                plan.normalize.len()
            );
            return Err(Error::File { path: path.clone(), reason });
        }
        if plans.configuration(name).map_err(file)?.previous_stage.is_some() {
            let reason = format!(
                "{name} reads what another network says, which training does not offer; choose another \
                 configuration"
            );
            return Err(Error::File { path: path.clone(), reason });
        }
        let Stages { strides, kernel_sizes } = plans.stages(name).map_err(file)?;
        Ok(Some(Self { plan, topology: Topology { strides, kernel_sizes } }))
    }
}

/// The network of a configuration, as a run file names it.
///
/// # Errors
///
/// [`Error::Settings`], where the plans have no such configuration, or its network is none of nnU-Net's plain and
/// residual U-Nets.
pub fn planned_model(plans: &Plans, configuration: &str) -> Result<ModelConfig> {
    let Architecture { network_class_name, arch_kwargs: given, .. } =
        plans.architecture(configuration)?;
    let negative_slope = given.nonlin_kwargs.negative_slope.unwrap_or(1e-2);
    let norm_eps = given.norm_op_kwargs.eps;
    match network_class_name.rsplit('.').next() {
        Some("PlainConvUNet") => Ok(Unet {
            features_per_stage: given.features_per_stage,
            n_conv_per_stage: given.n_conv_per_stage.unwrap_or_default(),
            n_conv_per_stage_decoder: given.n_conv_per_stage_decoder,
            strides: given.strides,
            kernel_sizes: given.kernel_sizes,
            conv_bias: given.conv_bias,
            norm_eps,
            negative_slope,
            ..Unet::default()
        }
        .into()),
        Some("ResidualEncoderUNet") => Ok(ResidualUnet {
            features_per_stage: given.features_per_stage,
            n_blocks_per_stage: given.n_blocks_per_stage.unwrap_or_default(),
            n_conv_per_stage_decoder: given.n_conv_per_stage_decoder,
            strides: given.strides,
            kernel_sizes: given.kernel_sizes,
            conv_bias: given.conv_bias,
            norm_eps,
            negative_slope,
            ..ResidualUnet::default()
        }
        .into()),
        _ => Err(Error::Settings(format!(
            "a network of class {network_class_name} is not known; there are PlainConvUNet and \
             ResidualEncoderUNet"
        ))),
    }
}

/// A run file that trains a configuration of `plans`, which are in that `file`, as nnU-Net does: on data of that layout
/// and `description`, with cross entropy and Dice, of regions under sigmoid.
///
/// # Errors
///
/// As [`planned_model`].
pub fn planned_run(
    plans: &Plans,
    file: &Path,
    configuration: &str,
    (layout, description): (&LayoutConfig, &Description),
) -> Result<String> {
    #[derive(Serialize)]
    struct Head<'a> {
        schema: u32,
        data: &'a LayoutConfig,
        preprocess: BTreeMap<&'a str, String>,
        model: ModelConfig,
    }
    let Configuration { batch_size, batch_dice, .. } = plans.configuration(configuration)?;
    let pool_batch = batch_dice.unwrap_or(false);
    let (cross_entropy, dice) = if description.has_regions() {
        ("activation = \"sigmoid\"", "activation = \"sigmoid\", include_background = true, ")
    } else {
        ("", "include_background = false, ")
    };
    let head = Head {
        schema: 1,
        data: layout,
        preprocess: BTreeMap::from([
            ("plans", file.display().to_string()),
            ("configuration", configuration.to_owned()),
        ]),
        model: planned_model(plans, configuration)?,
    };
    let head = toml::to_string(&head).map_err(|error| Error::Settings(error.to_string()))?;
    Ok(format!(
        "# {} of {}, as nnU-Net trains it.\n{head}\
         \n[[loss.sum.terms]]\nweight = 1.0\nloss.cross_entropy = {{{cross_entropy}}}\n\
         [[loss.sum.terms]]\nweight = 1.0\nloss.dice = {{ {dice}pool_batch = {pool_batch} }}\n\
         \n[optimizer.sgd]\nmomentum = 0.99\nnesterov = true\nweight_decay = 3e-5\n\
         \n[schedule.poly]\n\
         \n[train]\nlearning_rate = 0.01\nepochs = 1000\niterations_per_epoch = 250\nbatch_size = {}\n",
        configuration,
        plans.dataset_name,
        batch_size.unwrap_or(2),
    ))
}
