//! What a run asks for, checked at its door: before a case is read or prepared, and before memory
//! is asked for, whose lack ends the program without a word on which setting is to blame.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use data::Fold;
use losses::{Loss as _, LossConfig, Needs, Target};
use models::{Architecture as _, Interface, ModelConfig, Topology};
use preprocess::Plan;

use crate::trained::NetworkConfig;
use crate::{Error, LabelSpace, Result, Run, RunConfig, prompts};

/// Values of a batch's images and logits: 8 GiB in single precision, of which a network in training
/// keeps ten times as much and more, so that no device has room for it.
const MOST_VALUES: u64 = 1 << 31;

/// Parameters of a network: 16 GiB in single precision. The largest of nnU-Net's have a fortieth.
const MOST_PARAMETERS: u64 = 1 << 32;

/// Stages of a network: each halves the image.
const MOST_STAGES: usize = 16;

/// Tensors that these parameters come in.
const MOST_TENSORS: usize = 100_000;

/// Settings that make no sense whatever the data are.
pub(crate) fn settings(run: &Run<'_>, space: &LabelSpace) -> Result<()> {
    let (config, channels) = (run.config, run.dataset.description().channels.len());
    let (ranks, patches) = (run.group.size(), config.train.batch_size);
    if !patches.is_multiple_of(ranks) {
        return refuse(format!(
            "train.batch_size is {patches}, which {ranks} processes cannot share evenly; set it to a multiple \
             of them, or start fewer"
        ));
    }
    let plan = &config.preprocess;
    plan.check(channels).map_err(Error::unsuitable)?;
    // A patch says whether it is a slice; without one, images may be of either rank.
    let of_patch = plan.patch_size.map(|patch| if patch[0] == 1 { 2 } else { 3 });
    let ranks = match plan.rank.or(of_patch) {
        Some(rank) => vec![rank],
        None => vec![2, 3],
    };
    let interface = |rank| Interface { channels, classes: space.channels(), rank };
    batch(config, plan.patch_size.unwrap_or([1; 3]), interface(3))?;
    let mut refusal = None;
    for rank in ranks {
        // What is planned later is as large as it can be.
        let Ok(model) = config.model.fitted(&deepest(rank)) else { continue };
        match network(&model, interface(rank)) {
            Ok(_) => return Ok(()),
            Err(error) => refusal = Some(error),
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// More stages than any image can be halved for.
fn deepest(rank: usize) -> Topology {
    let stride = |stage: usize| vec![1 + stage.min(1); rank];
    Topology {
        strides: (0..MOST_STAGES).map(stride).collect(),
        kernel_sizes: vec![vec![3; rank]; MOST_STAGES],
    }
}

/// The same of a plan and its network, which are final.
pub(crate) fn planned(
    config: &RunConfig,
    plan: &Plan,
    network_config: &NetworkConfig,
) -> Result<()> {
    let interface = network_config.interface;
    batch(config, plan.patch_size, interface)?;
    let stride = network(&network_config.architecture, interface)?;
    let patch = &plan.patch_size[3 - plan.rank..];
    if patch.iter().zip(&stride).any(|(extent, &stride)| !extent.is_multiple_of(stride)) {
        return refuse(format!(
            "a patch of {patch:?} voxels does not divide by the network's stride {stride:?}; change \
             preprocess.patch_size, or the strides of the model"
        ));
    }
    Ok(())
}

/// That the loss of a run suits its labels: what they mean, their number, and whether they are
/// soft, where that is known before they are read.
pub(crate) fn loss(run: &Run<'_>, space: &LabelSpace) -> Result<()> {
    let config = run.config;
    let named = |error: losses::Error| Error::unsuitable(Error::Settings(format!("loss.{error}")));
    config.loss.suits(space.activation()).map_err(named)?;
    let shape = (1, space.channels(), 2, 2);
    let logits = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
    let fused = !run.dataset.description().raters.is_empty() && config.labels.fusion.is_soft();
    let soft = fused || config.labels.smoothing.is_some();
    let target = match space {
        _ if soft => Target::soft((logits.ones_like()? / space.channels() as f64)?),
        LabelSpace::Classes { .. } => Target::hard(logits.argmax(1)?),
        LabelSpace::Regions { .. } => Target::regions(logits.to_dtype(DType::U8)?),
    };
    let maps = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
    let one = vec![vec![1; space.channels()]];
    let target = target.with_distance(maps.clone());
    let target = target.with_components(maps.to_dtype(DType::U32)?, one)?;
    for moment in config.loss.moments() {
        computes("loss", &config.loss.at(moment), &logits, &target)?;
    }
    let Some(supervision) = &config.supervision else { return Ok(()) };
    let loss = supervision.loss(space.activation());
    loss.suits(space.activation())
        .map_err(|error| Error::unsuitable(Error::Settings(format!("supervision.loss.{error}"))))?;
    let Needs { distance, components, .. } = loss.needs();
    if distance || components {
        return refuse(format!(
            "supervision.loss.{} needs maps of labels, which a teacher does not give; choose a loss of \
             probabilities alone",
            loss.name()
        ));
    }
    if has_temperature(&loss) {
        return refuse(
            "the temperature of supervision.loss.kl_divergence would count twice; set \
             supervision.temperature alone"
                .to_owned(),
        );
    }
    if supervision.kde.is_some() && (soft || matches!(space, LabelSpace::Regions { .. })) {
        return refuse(
            "supervision.kde needs labels that are certain, and classes that exclude each other; remove it, \
             or use a hard labels.fusion and no labels.smoothing"
                .to_owned(),
        );
    }
    let opinion = Target::soft((logits.ones_like()? / space.channels() as f64)?);
    for moment in loss.moments() {
        computes("supervision.loss", &loss.at(moment), &logits, &opinion)?;
    }
    match supervision.idle() {
        None => Ok(()),
        Some(moment) => refuse(format!(
            "supervision.label and supervision.teacher both weigh 0 when {moment} of the run is done"
        )),
    }
}

/// That some case that is trained on labels each class, where cases label some, and that one process computes.
pub(crate) fn labelled(run: &Run<'_>, split: &Fold) -> Result<()> {
    let dataset = run.dataset;
    if dataset.ids().iter().all(|id| dataset.labelled(id).is_none()) {
        return Ok(());
    }
    let ranks = run.group.size();
    if ranks > 1 {
        return refuse(format!(
            "cases label some of the classes, whose loss {ranks} processes cannot share; start one"
        ));
    }
    let classes = dataset.description().classes.iter().enumerate().skip(1);
    for (at, class) in classes {
        let labels = |id: &String| dataset.labelled(id).is_none_or(|it| it.contains(&at));
        if !split.train.iter().any(labels) {
            return refuse(format!(
                "no case that is trained on labels {}; give more cases with it, or another split",
                class.name
            ));
        }
    }
    Ok(())
}

/// That a run has what its settings say it begins with.
pub(crate) fn origins(run: &Run<'_>, space: &LabelSpace) -> Result<()> {
    let (config, origins) = (run.config, run.origins);
    prompts::check(config, space, origins.text, run.resume)?;
    if config.supervision.as_ref().is_some_and(|it| it.cache.is_some())
        && origins.opinions.is_none()
    {
        return refuse("supervision.cache was not opened: give its opinions".to_owned());
    }
    if config.pretrained.is_some() && origins.encoder.is_none() && !run.resume {
        return refuse("pretrained.encoder was not read: give its weights".to_owned());
    }
    if origins.encoder.is_some() && origins.init.is_some() {
        return refuse(
            "pretrained.encoder and a network to start from would both set the encoder; remove one"
                .to_owned(),
        );
    }
    Ok(())
}

/// That a loss, the setting `key`, can be computed.
fn computes(key: &str, loss: &LossConfig, logits: &Tensor, target: &Target) -> Result<()> {
    match loss.forward(logits, target) {
        Ok(_) => Ok(()),
        Err(losses::Error::Tensor(error)) => Err(error.into()),
        Err(error) => refuse(format!("{key}.{}: {error}", loss.name())),
    }
}

/// Whether a divergence within has a temperature of its own.
fn has_temperature(loss: &LossConfig) -> bool {
    match loss {
        #[expect(clippy::float_cmp, reason = "settings are exact")]
        LossConfig::KlDivergence(loss) => loss.temperature.get() != 1.0,
        LossConfig::Sum(sum) => sum.terms.iter().any(|term| has_temperature(&term.loss)),
        _ => false,
    }
}

/// That distances can be measured, where a loss needs them.
pub(crate) fn maps(needs: Needs, plan: &Plan) -> Result<()> {
    if needs.distance && !plan.resample {
        return refuse(
            "the loss needs distances in mm, but with preprocess.resample = false images keep voxels of \
             their own sizes; set it to true"
                .to_owned(),
        );
    }
    Ok(())
}

fn refuse<T>(reason: String) -> Result<T> {
    Err(Error::unsuitable(Error::Settings(reason)))
}

/// That a batch is not too large.
fn batch(config: &RunConfig, patch: [usize; 3], interface: Interface) -> Result<()> {
    let Interface { channels, classes, .. } = interface;
    let count = config.train.batch_size;
    let factors = [count, patch[0], patch[1], patch[2], channels.saturating_add(classes)];
    let values = product(&factors);
    if values.is_some_and(|values| values <= MOST_VALUES) {
        return Ok(());
    }
    let values = values.map_or("more than 2^64".to_owned(), |values| values.to_string());
    refuse(format!(
        "train.batch_size {count} of patches of {patch:?} voxels, with {channels} channels and \
         {classes} classes, is {values} values, but a step takes {MOST_VALUES} at most (8 GiB); use \
         a smaller train.batch_size or preprocess.patch_size"
    ))
}

/// That a network can be built, and is not too large; its stride. Nothing is allocated for it.
pub(crate) fn network(architecture: &ModelConfig, interface: Interface) -> Result<Vec<usize>> {
    let counting = Counting::default();
    let vb = VarBuilder::from_backend(Box::new(counting.clone()), DType::F32, Device::Cpu);
    let built = architecture.build(interface, vb);
    let name = architecture.name();
    if let Some(excess) = counting.lock().excess.take() {
        return refuse(format!(
            "model.{name} asks for more parameters than can be trained ({excess}); lower its \
             features_per_stage, its kernel_sizes, or the number of its layers"
        ));
    }
    match built {
        Ok(model) => Ok(model.stride().to_vec()),
        // The first line: candle appends a backtrace where backtraces are on.
        Err(error) => refuse(format!(
            "model.{name}: {}",
            error.to_string().lines().next().unwrap_or("it cannot be built")
        )),
    }
}

/// The product, unless it is beyond 64 bits.
fn product(factors: &[usize]) -> Option<u64> {
    let factor = |&factor: &usize| u64::try_from(factor).ok();
    factors.iter().try_fold(1u64, |product, it| product.checked_mul(factor(it)?))
}

/// Counts the parameters that a network asks for, and refuses as soon as they are too many. None of
/// them takes any memory.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Count>>);

#[derive(Default)]
struct Count {
    parameters: u64,
    tensors: usize,
    /// What was too much.
    excess: Option<String>,
}

impl Counting {
    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// Whether there is room for one more.
    fn add(&mut self, name: &str, shape: &[usize]) -> bool {
        self.tensors += 1;
        let sum = product(shape).and_then(|more| self.parameters.checked_add(more));
        let fits = sum.filter(|&sum| sum <= MOST_PARAMETERS);
        if let Some(sum) = fits {
            self.parameters = sum;
        } else {
            let most = MOST_PARAMETERS;
            self.excess = Some(format!("with {name}, of shape {shape:?}, more than {most}"));
        }
        if self.tensors > MOST_TENSORS {
            self.excess = Some(format!("in more than {MOST_TENSORS} tensors"));
        }
        self.excess.is_none()
    }
}

impl SimpleBackend for Counting {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle::Result<Tensor> {
        if !self.lock().add(name, shape.dims()) {
            candle::bail!("too many parameters");
        }
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle::Result<Tensor> {
        candle::bail!("parameter {name} is asked for without its shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}
