//! Networks that nnU-Net v2 has trained.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use candle::{Device, Tensor};
use data::{Description, NnunetDescription};
use engine::{NetworkConfig, PredictConfig, Trained, WeightsMetadata, planned_model};
use losses::Activation;
use models::Interface;
use preprocess::Plan;
use preprocess::nnunet::{Configuration, Plans, ResamplingSettings};
use pytorch::{Checkpoint, Item};

use super::source::Source;
use super::weights::loaded;
use crate::{Error, Result};

/// What is to be read of a folder of nnU-Net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NnunetOptions {
    /// Such as `3d_fullres`; only needed where there are several.
    pub configuration: Option<String>,
    /// Such as `0` or `all`; empty for every fold that there is.
    pub folds: Vec<String>,
    /// The file of each fold.
    pub checkpoint: String,
}

impl Default for NnunetOptions {
    fn default() -> Self {
        Self {
            configuration: None,
            folds: Vec::new(),
            checkpoint: "checkpoint_final.pth".to_owned(),
        }
    }
}

/// What a folder of nnU-Net holds.
#[derive(Clone, Debug)]
pub struct NnunetModel {
    /// Trainer, plans and configuration, as nnU-Net names the folder.
    pub origin: String,
    /// By the name of the fold, such as `fold_0`.
    pub networks: Vec<(String, Trained)>,
    /// Of a cascade, the networks that speak first.
    pub previous: Option<Box<NnunetModel>>,
}

impl NnunetModel {
    /// One paragraph for a model card.
    pub(super) fn description(&self) -> String {
        format!("Imported from nnU-Net: {}.", self.origin)
    }
}

/// Reads the networks that nnU-Net v2 has trained, as [`import_nnunet`](super::import_nnunet) finds them.
///
/// Of `PlainConvUNet` and `ResidualEncoderUNet`, in two or three dimensions, planned by any version of nnU-Net v2; with
/// regions and with a label that is ignored; of a cascade, with the stage before. What prediction would do in another way here than there is refused, by name.
///
/// # Errors
///
/// [`Error::Import`], where there is no such network, or it is of a kind that there is not here; [`Error::Io`].
pub fn read_nnunet(source: &Path, options: &NnunetOptions) -> Result<NnunetModel> {
    let found = Source::find(source, options.configuration.as_deref())?;
    read_folder(&found.folder, options, true)
}

/// Reads a folder of plans and folds, and that of the stage before it.
fn read_folder(folder: &Path, options: &NnunetOptions, is_last: bool) -> Result<NnunetModel> {
    let plans_file = folder.join("plans.json");
    let wrong = |reason: String| Error::Import { path: plans_file.clone(), reason };
    let text = fs::read_to_string(&plans_file).map_err(Error::io(&plans_file))?;
    let plans: Plans = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let labels =
        NnunetDescription::read(&folder.join("dataset.json")).map_err(engine::Error::from)?;
    let mut networks = Vec::new();
    let mut origin = String::new();
    let mut previous = None;
    for fold in folds(folder, options)? {
        let path = folder.join(format!("fold_{fold}")).join(&options.checkpoint);
        let mut checkpoint = Checkpoint::open(&path)?;
        let facts = Facts::of(&checkpoint.root(), &path)?;
        let Facts { trainer, configuration, .. } = &facts;
        origin = format!("{trainer}__{}__{configuration}", plans.plans_name);
        let config =
            plans.configuration(configuration).map_err(|error| wrong(error.to_string()))?;
        supported(&plans, configuration, &config)
            .map_err(|reason| wrong(format!("{configuration}: {reason}")))?;
        let plan = plans.plan(configuration).map_err(|error| wrong(error.to_string()))?;
        let (normalized, channels) = (plan.normalize.len(), labels.description.channels.len());
        if normalized != channels {
            return Err(wrong(format!(
                "{configuration} normalises {normalized} channels, and dataset.json has {channels}"
            )));
        }
        let mut network = network(&plans, configuration, &plan, &labels.description, &facts)?;
        if let Some(stage) = &config.previous_stage {
            if !is_last {
                return Err(wrong(format!(
                    "{configuration} reads what {stage} says, and is itself read by another; cascades have two stages here"
                )));
            }
            if previous.is_none() {
                previous = Some(before(folder, stage, options)?);
            }
            network.previous_labels = seen_of_previous(&labels.description);
            network.interface.channels += network.previous_labels.len();
        }
        let parameters = parameters(&mut checkpoint, &path)?;
        let trained = Trained {
            metadata: WeightsMetadata::of(&network, None),
            config: network,
            plan,
            parameters,
        };
        trained.build(&Device::Cpu).map_err(|error| Error::Import {
            path: path.clone(),
            reason: format!("its weights are not those of the network in plans.json: {error}"),
        })?;
        networks.push((format!("fold_{fold}"), trained));
    }
    Ok(NnunetModel { origin, networks, previous })
}

/// The labels that a network of a cascade sees: all but the background and what is ignored.
fn seen_of_previous(labels: &Description) -> Vec<u16> {
    let all = labels.classes.iter().flat_map(|class| &class.values).copied();
    all.filter(|&label| label != 0).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The stage before, whose folder lies beside.
fn before(folder: &Path, stage: &str, options: &NnunetOptions) -> Result<Box<NnunetModel>> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let beside = name.rsplit_once("__").map(|(trainer_and_plans, _)| {
        folder.with_file_name(format!("{trainer_and_plans}__{stage}"))
    });
    let Some(beside) = beside.filter(|beside| beside.join("plans.json").is_file()) else {
        return Err(Error::Import {
            path: folder.to_owned(),
            reason: format!(
                "it reads what {stage} says (a cascade), whose folder TRAINER__PLANS__{stage} is not beside it; put it there, \
                 or import 3d_fullres"
            ),
        });
    };
    // Other folds may be at hand there.
    let options = NnunetOptions { folds: Vec::new(), ..options.clone() };
    Ok(Box::new(read_folder(&beside, &options, false)?))
}

/// The folds that are asked for, or all, in their order.
fn folds(folder: &Path, options: &NnunetOptions) -> Result<Vec<String>> {
    let wrong = |reason: String| Error::Import { path: folder.to_owned(), reason };
    let mut there = Vec::new();
    let mut without = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path: PathBuf = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(fold) = name.strip_prefix("fold_").filter(|_| path.is_dir()) else { continue };
        let list = if path.join(&options.checkpoint).is_file() { &mut there } else { &mut without };
        list.push(fold.to_owned());
    }
    let order = |fold: &String| (fold.parse::<u32>().unwrap_or(u32::MAX), fold.clone());
    there.sort_by_key(order);
    without.sort_by_key(order);
    if let Some(missing) = options.folds.iter().find(|&fold| !there.contains(fold)) {
        let reason = if without.contains(missing) { "has no" } else { "is not there, with its" };
        return Err(wrong(format!(
            "fold_{missing} {reason} {}; there are {}",
            options.checkpoint,
            if there.is_empty() { "none".to_owned() } else { there.join(", ") }
        )));
    }
    if there.is_empty() {
        return Err(wrong(format!(
            "no fold has a {}; name another file with --checkpoint, or finish the training",
            options.checkpoint
        )));
    }
    let mut chosen = if options.folds.is_empty() { there } else { options.folds.clone() };
    // As nnU-Net: one that was trained on all cases is not averaged with those of a cross-validation, unless asked for.
    if options.folds.is_empty() && chosen.len() > 1 {
        chosen.retain(|fold| fold != "all");
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|fold| seen.insert(fold.clone()));
    Ok(chosen)
}

/// What a checkpoint says beside its weights.
#[derive(Debug)]
struct Facts {
    trainer: String,
    configuration: String,
    /// Among the axes of the network.
    mirrored: Vec<usize>,
}

impl Facts {
    fn of(root: &Item<'_>, path: &Path) -> Result<Self> {
        let lacks = |what: &str| Error::Import {
            path: path.to_owned(),
            reason: format!(
                "it has no {what}, as checkpoints of nnU-Net v2 have; give one of those"
            ),
        };
        let text = |item: Option<Item<'_>>| item.and_then(|it| it.text().map(str::to_owned));
        let trainer = text(root.get("trainer_name")).ok_or_else(|| lacks("trainer_name"))?;
        let configuration = text(root.get("init_args").and_then(|it| it.get("configuration")))
            .ok_or_else(|| lacks("init_args.configuration"))?;
        let mirrored = match root.get("inference_allowed_mirroring_axes") {
            // It was trained without.
            None => Vec::new(),
            Some(axes) if axes.is_none() => Vec::new(),
            Some(axes) => axes
                .parts()
                .and_then(|parts| {
                    parts.map(|it| usize::try_from(it.int()?).ok()).collect::<Option<Vec<_>>>()
                })
                .filter(|axes| axes.iter().all(|&axis| axis < 3))
                .ok_or_else(|| lacks("axes under inference_allowed_mirroring_axes"))?,
        };
        Ok(Self { trainer, configuration, mirrored })
    }
}

/// Refuses what prediction would do in another way.
fn supported(plans: &Plans, name: &str, config: &Configuration) -> Result<(), String> {
    known_layers(plans, name)?;
    let mut axes = plans.transpose_forward;
    axes.sort_unstable();
    if axes != [0, 1, 2] {
        return Err(format!(
            "transpose_forward {:?} is no order of three axes",
            plans.transpose_forward
        ));
    }
    let refuse = |what: &str, name: &str, known: &str| {
        Err(format!("{what} is {name}, which there is not here; there is {known}"))
    };
    let resampling = "resample_data_or_seg_to_shape";
    let none = "no_resampling_data_or_seg_to_shape";
    for (what, function) in [
        ("resampling_fn_data", &config.resampling_fn_data),
        ("resampling_fn_probabilities", &config.resampling_fn_probabilities),
    ] {
        if let Some(name) = function.as_deref().filter(|&it| it != resampling && it != none) {
            return refuse(what, name, resampling);
        }
    }
    let data = config.resampling_fn_data_kwargs;
    let probabilities = config.resampling_fn_probabilities_kwargs;
    for settings in [data, probabilities].into_iter().flatten() {
        if settings.force_separate_z.is_some() {
            return Err("slices are always, or never, resampled apart (force_separate_z), which there is not here"
                .to_owned());
        }
        if settings.order_z != 0 {
            return Err(
                "thick slices are interpolated (order_z), which there is not here".to_owned()
            );
        }
    }
    if let Some(ResamplingSettings { order, .. }) = probabilities.filter(|it| it.order != 1) {
        return Err(format!(
            "probabilities are interpolated by splines of order {order}; here by 1"
        ));
    }
    match config.preprocessor_name.as_deref() {
        None | Some("DefaultPreprocessor") => {}
        Some(name) => return refuse("preprocessor_name", name, "DefaultPreprocessor"),
    }
    if plans.label_manager != "LabelManager" {
        return refuse("label_manager", &plans.label_manager, "LabelManager");
    }
    Ok(())
}

/// The layers whose weights have the same names and shapes as those of others.
fn known_layers(plans: &Plans, name: &str) -> Result<(), String> {
    let settings = plans.architecture(name).map_err(|error| error.to_string())?.arch_kwargs;
    let rank = settings.kernel_sizes.first().map_or(0, Vec::len);
    let class = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    for (what, found, known) in [
        ("conv_op", class(&settings.conv_op), format!("Conv{rank}d")),
        ("norm_op", class(&settings.norm_op), format!("InstanceNorm{rank}d")),
        ("nonlin", class(&settings.nonlin), "LeakyReLU".to_owned()),
    ] {
        if found != known {
            return Err(format!("{what} is {found}, which there is not here; there is {known}"));
        }
    }
    if !settings.norm_op_kwargs.affine {
        return Err("its norms learn neither scale nor offset, which there is not here".to_owned());
    }
    // Dropout does nothing in prediction.
    Ok(())
}

fn network(
    plans: &Plans,
    configuration: &str,
    plan: &Plan,
    labels: &Description,
    facts: &Facts,
) -> Result<NetworkConfig> {
    let regions = !labels.regions_class_order.is_empty();
    let mut mirror_axes = [false; 3];
    for axis in &facts.mirrored {
        // A network for slices counts its own two.
        if let Some(mirrored) = mirror_axes.get_mut(axis + 3 - plan.rank) {
            *mirrored = true;
        }
    }
    Ok(NetworkConfig {
        schema: NetworkConfig::SCHEMA,
        dataset: plans.dataset_name.clone(),
        architecture: planned_model(plans, configuration)?,
        interface: Interface {
            channels: labels.channels.len(),
            classes: labels.classes.len() - usize::from(regions),
            rank: plan.rank,
        },
        activation: if regions { Activation::Sigmoid } else { Activation::Softmax },
        channels: labels.channels.clone(),
        orientation: None,
        spacing: None,
        previous_labels: Vec::new(),
        classes: labels.classes.clone(),
        regions_class_order: labels.regions_class_order.clone(),
        mirror_axes,
        predict: PredictConfig::default(),
        text: None,
        temperature: 1.0,
        vector_scaling: None,
    })
}

/// The weights, each once, in single precision.
fn parameters(checkpoint: &mut Checkpoint, path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let wrong = |reason: String| Error::Import { path: path.to_owned(), reason };
    let root = checkpoint.root();
    let weights =
        root.get("network_weights").ok_or_else(|| wrong("it has no network_weights".to_owned()))?;
    let listed = weights.tensors().map_err(|what| wrong(format!("network_weights {what}")))?;
    let listed = listed.into_iter().map(|(name, info)| (name.to_owned(), info.clone())).collect();
    loaded(checkpoint, listed, path)
}
