//! `sconce zoo import`: networks of other programs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use sconce::losses::Activation;
use sconce::zoo::{
    self, DataSet, Imported, MonaiOptions, NnunetOptions, PackOptions, SmpNormalization, SmpOptions,
};

use crate::output::Output;

/// Take over what another program has trained; nothing in its files is run
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Import {
    /// A network of nnU-Net v2; several folds are averaged in prediction
    Nnunet {
        /// The folder of a trained configuration, one that holds such folders, or a ZIP archive of one
        #[arg(value_name = "FOLDER|ZIP")]
        source: PathBuf,
        /// The model folder to make
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
        /// The configuration, where there are several, such as 2d
        #[arg(long, value_name = "NAME")]
        configuration: Option<String>,
        /// Such as 0,1,2 or all; default: every fold that there is
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        folds: Vec<String>,
        /// The file of each fold
        #[arg(long, value_name = "FILE", default_value = "checkpoint_final.pth")]
        checkpoint: String,
        #[command(flatten)]
        card: Card,
    },
    /// A bundle of MONAI: UNet, BasicUNet, DynUNet or SegResNet
    Monai {
        /// The bundle, or a ZIP archive of it
        #[arg(value_name = "FOLDER|ZIP")]
        source: PathBuf,
        /// The model folder to make
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
        /// The configuration; default: configs/inference.json or .yaml
        #[arg(long, value_name = "FILE")]
        config: Option<String>,
        /// The weights, in the bundle or elsewhere; default: models/model.safetensors or .pt
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<String>,
        #[arg(
            long,
            value_name = "ID=VALUE",
            help = "Replace what the configuration says, such as inferer#roi_size=[96,96,96]; repeatable"
        )]
        set: Vec<String>,
        #[arg(
            long,
            value_name = "LIST",
            value_delimiter = ',',
            help = "Leave out transforms of these classes, such as CropForegroundd: predictions are then others"
        )]
        without: Vec<String>,
        /// How logits become probabilities; default: as the postprocessing says
        #[arg(long, value_name = "NAME")]
        activation: Option<ActivationName>,
        #[command(flatten)]
        card: Card,
    },
    /// A network of segmentation-models-pytorch: Unet, FPN or DeepLabV3Plus on a ResNet
    Smp {
        /// A folder with config.json and model.safetensors, or a state dict, .safetensors or .pth
        #[arg(value_name = "FOLDER|FILE")]
        source: PathBuf,
        /// The model folder to make
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
        /// Unet, FPN or DeepLabV3Plus; default: by config.json or the names of the weights
        #[arg(long, value_name = "NAME")]
        architecture: Option<String>,
        /// resnet18, resnet34 or resnet50; default: by config.json or the shapes of the weights
        #[arg(long, value_name = "NAME")]
        encoder: Option<String>,
        /// How images were normalised in training
        #[arg(long, value_name = "NAME", conflicts_with_all = ["mean", "std"])]
        normalize: Option<NormalizationName>,
        /// The mean of each channel, from 0 to 1
        #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "std")]
        mean: Vec<f64>,
        /// The standard deviation of each channel
        #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "mean")]
        std: Vec<f64>,
        /// How logits become probabilities; default: sigmoid of one channel, softmax of several
        #[arg(long, value_name = "NAME")]
        activation: Option<ActivationName>,
        /// The names of the network's classes, such as background,polyp
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        classes: Vec<String>,
        /// What the network saw at once, pixels; default: 512,512
        #[arg(long, value_name = "HEIGHT,WIDTH", value_delimiter = ',')]
        patch: Vec<usize>,
        #[command(flatten)]
        card: Card,
    },
}

/// What the model card says.
#[derive(Debug, clap::Args)]
pub(crate) struct Card {
    /// The model's name; default: the folder's
    #[arg(long)]
    name: Option<String>,
    /// The licence of the weights, which follows the data's, such as cc-by-4.0
    #[arg(long, default_value = "other")]
    license: String,
    /// One paragraph on what the model is for
    #[arg(long, default_value = "")]
    description: String,
    /// A data set that it was trained on: NAME, NAME,LICENCE or NAME,LICENCE,SOURCE; repeatable
    #[arg(long = "data-set", value_name = "DATA")]
    data_sets: Vec<DataSet>,
}

impl Card {
    fn options(&self, output: &Path) -> PackOptions {
        PackOptions {
            name: self.name.clone().unwrap_or_else(|| super::super::train::title(output)),
            license: self.license.clone(),
            description: self.description.clone(),
            datasets: self.data_sets.clone(),
            ..PackOptions::default()
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ActivationName {
    Softmax,
    Sigmoid,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Softmax => Self::Softmax,
            ActivationName::Sigmoid => Self::Sigmoid,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NormalizationName {
    Imagenet,
    #[value(name = "0-1")]
    ZeroToOne,
    ZScore,
    None,
}

impl From<NormalizationName> for SmpNormalization {
    fn from(name: NormalizationName) -> Self {
        match name {
            NormalizationName::Imagenet => Self::Imagenet,
            NormalizationName::ZeroToOne => Self::ZeroToOne,
            NormalizationName::ZScore => Self::ZScore,
            NormalizationName::None => Self::None,
        }
    }
}

impl Import {
    pub(super) fn run(&self) -> anyhow::Result<Output> {
        Ok(Output::of(&self.imported()?))
    }

    fn imported(&self) -> anyhow::Result<Imported> {
        Ok(match self {
            Self::Nnunet { source, output, configuration, folds, checkpoint, card } => {
                let options = NnunetOptions {
                    configuration: configuration.clone(),
                    folds: folds.clone(),
                    checkpoint: checkpoint.clone(),
                };
                zoo::import_nnunet(source, output, &options, &card.options(output))?
            }
            Self::Monai { source, output, config, checkpoint, set, without, activation, card } => {
                let set = set.iter().map(|it| {
                    let (id, value) = it.split_once('=').with_context(|| {
                        format!("--set {it:?} has no value; give it as ID=VALUE")
                    })?;
                    Ok((id.trim().to_owned(), value.trim().to_owned()))
                });
                let options = MonaiOptions {
                    config: config.clone(),
                    checkpoint: checkpoint.clone(),
                    set: set.collect::<anyhow::Result<_>>()?,
                    without: without.clone(),
                    activation: activation.map(Into::into),
                };
                zoo::import_monai(source, output, &options, &card.options(output))?
            }
            Self::Smp {
                source,
                output,
                architecture,
                encoder,
                normalize,
                mean,
                std,
                activation,
                classes,
                patch,
                card,
            } => {
                let given = || SmpNormalization::Given { mean: mean.clone(), std: std.clone() };
                let named = normalize.map(SmpNormalization::from);
                let patch = (!patch.is_empty()).then(|| <[usize; 2]>::try_from(patch.as_slice()));
                let options = SmpOptions {
                    architecture: architecture.clone(),
                    encoder: encoder.clone(),
                    normalize: named.or_else(|| (!mean.is_empty()).then(given)),
                    activation: activation.map(Into::into),
                    classes: classes.clone(),
                    patch: patch
                        .transpose()
                        .context("--patch takes two numbers, the height and the width")?,
                };
                zoo::import_smp(source, output, &options, &card.options(output))?
            }
        })
    }
}
