//! The losses and gradients of the implementations that ours stand for.

mod focal_family;
mod monai;
mod nnunet;
mod semimetric;

use anyhow::{Context, Result, bail, ensure};
use candle::{Tensor, Var};
use golden::{Case, Exempt, Group, Tolerance, close, number};
use sconce_losses::{Loss, LossConfig, Target};
use serde_json::{Value, json};

use crate::device::{device, floats, value, values};

const INDEX_BUG: fn(&Case) -> bool = |case| case.variant.as_deref() == Some("as_is_3d_index_bug");
const INDEX_BUG_REASON: &str =
    "for volumes, the original takes the first two slices of an axis for the classes";

const EXEMPT: &[Exempt] = &[
    Exempt { function: "symmetric_focal_loss", when: INDEX_BUG, reason: INDEX_BUG_REASON },
    Exempt { function: "asymmetric_focal_loss", when: INDEX_BUG, reason: INDEX_BUG_REASON },
    Exempt { function: "sym_unified_focal_loss", when: INDEX_BUG, reason: INDEX_BUG_REASON },
    Exempt { function: "asym_unified_focal_loss", when: INDEX_BUG, reason: INDEX_BUG_REASON },
    Exempt {
        function: "FocalLoss",
        when: |case| {
            flag(case, "use_softmax")
                && case.params["include_background"] == false
                && classes(case).is_ok_and(|classes| classes == 2)
        },
        reason: "the original takes the softmax of the one class that is left, which is 1",
    },
    Exempt {
        function: "DiceLoss",
        when: |case| {
            let of_squares = flag(case, "jaccard") && flag(case, "squared_pred");
            of_squares && !monai::has_one_smoothing(case)
        },
        reason: "the Jaccard metric loss of squares has one smoothing, above and below the quotient",
    },
];

/// References whose gradient is NaN at some voxels: there ours must be finite, and is not compared.
/// Anywhere else a NaN is compared like any other value; and an entry is stale, and fails the test,
/// as soon as the gradient of one case that it covers is finite.
const WITHOUT_GRADIENT: &[Exempt] = &[Exempt {
    function: "FocalLoss",
    when: |case| {
        let monai = case.params["to_onehot_y"].is_boolean();
        let steep = case.param("gamma").is_ok_and(|gamma| 0.0 < gamma && gamma < 1.0);
        !monai && steep && saturates(case).unwrap_or(false)
    },
    reason: "where a probability rounds to 1, the original's (1 - p)^(gamma - 1) is infinite, and \
             its product with log p = 0 is NaN",
}];

/// Where a manifest suggests no tolerance.
const LOSS: Tolerance = Tolerance::new(1e-9, 1e-11);
const GRADIENT: Tolerance = Tolerance::new(1e-7, 1e-11);

/// Our settings for a case, and our form of its labels.
struct Ours {
    loss: LossConfig,
    target: Target,
    /// The first class that the loss sees.
    from_class: usize,
    /// What is added to it.
    more: Option<Box<Ours>>,
}

impl Ours {
    fn new(loss: LossConfig, target: Target) -> Self {
        Self { loss, target, from_class: 0, more: None }
    }

    fn plus(self, more: Self) -> Self {
        Self { more: Some(Box::new(more)), ..self }
    }

    fn value(&self, logits: &Tensor) -> Result<Tensor> {
        let seen = logits.narrow(1, self.from_class, logits.dim(1)? - self.from_class)?;
        let value = self.loss.forward(&seen, &self.target)?;
        match &self.more {
            Some(more) => Ok((value + more.value(logits)?)?),
            None => Ok(value),
        }
    }
}

#[test]
fn golden_losses() {
    Group::load("losses").check(
        |_| true,
        EXEMPT,
        |case| {
            run(case)?;
            nn::with_backend(nn::Backend::Reference, || run(case)).context("by the reference")
        },
    );
}

fn run(case: &Case) -> Result<()> {
    if case.function.starts_with("DeepSupervisionWrapper") {
        return nnunet::deep_supervision(case);
    }
    let ours = ours(case)?;
    let logits = Var::from_tensor(&tensor(&case.input("logits")?)?)?;
    let loss = ours.value(&logits)?;
    agrees(case, &loss, &[(&logits, "grad")])
}

fn ours(case: &Case) -> Result<Ours> {
    match case.function.as_str() {
        "JDTLoss" => semimetric::jdt(case),
        "KLDivLoss" => semimetric::kl_divergence(case),
        "FocalLoss" if case.params["to_onehot_y"].is_boolean() => monai::focal(case),
        "FocalLoss" => semimetric::focal(case),
        "DiceLoss" => monai::dice(case),
        "DiceCELoss" => monai::dice_cross_entropy(case),
        "DiceFocalLoss" => monai::dice_focal(case),
        "GeneralizedDiceLoss" => monai::generalized_dice(case),
        "TverskyLoss" => monai::tversky(case),
        "BinaryDiceLoss" => focal_family::binary_dice(case),
        "MCCLoss" => focal_family::correlation(case),
        "BCEWithLogitsLoss" => focal_family::binary_cross_entropy(case),
        "TopKLoss" => focal_family::top_k(case),
        "FocalLoss (torchvision.ops.sigmoid_focal_loss)" => focal_family::sigmoid_focal(case),
        "DC_and_CE_loss(MemoryEfficientSoftDiceLoss)" => nnunet::dice_cross_entropy(case),
        "DC_and_topk_loss(SoftDiceLoss)" => nnunet::dice_top_k(case),
        "DC_and_BCE_loss(MemoryEfficientSoftDiceLoss)" => nnunet::dice_binary(case),
        "RobustCrossEntropyLoss" => nnunet::cross_entropy(case),
        _ => focal_family::keras(case),
    }
}

/// Whether `loss` and its gradients with respect to `inputs` are the reference's. An input that
/// takes no part has a gradient of 0.
fn agrees(case: &Case, loss: &Tensor, inputs: &[(&Var, &str)]) -> Result<()> {
    let expected = number(&case.expected["loss"])?;
    let tolerance = case.tolerance("loss", LOSS).on_device();
    close(&[value(loss)?], &[expected], tolerance).context("loss")?;

    let gradients = loss.backward()?;
    for (input, role) in inputs {
        let actual = match gradients.get(input) {
            Some(gradient) => gradient.clone(),
            None => input.zeros_like()?,
        };
        let mut actual = values(&actual)?;
        let mut expected = case.output(role)?;
        if expected.shape != input.dims() {
            bail!("{role} has shape {:?}, not {:?}", input.dims(), expected.shape);
        }
        let known = |entry: &&Exempt| entry.function == case.function && (entry.when)(case);
        if let Some(entry) = WITHOUT_GRADIENT.iter().find(known) {
            let stale = expected.values.iter().all(|value| value.is_finite());
            ensure!(!stale, "{role} is finite, so this exemption is stale: {}", entry.reason);
            for (actual, expected) in actual.iter_mut().zip(&mut expected.values) {
                if expected.is_nan() {
                    ensure!(actual.is_finite(), "{role} is {actual}; {}", entry.reason);
                    (*actual, *expected) = (0.0, 0.0);
                }
            }
        }
        close(&actual, &expected.values, case.tolerance("grad", GRADIENT).on_device())
            .with_context(|| (*role).to_owned())?;
    }
    Ok(())
}

/// The loss that a config file would name so.
fn loss(name: &str, settings: &Value) -> Result<LossConfig> {
    serde_json::from_value(json!({ name: settings })).with_context(|| settings.to_string())
}

/// A sum of weighted losses.
fn sum(terms: &[(f64, &str, Value)]) -> Result<LossConfig> {
    let terms: Vec<Value> = terms
        .iter()
        .map(|(weight, name, settings)| json!({ "weight": weight, "loss": { *name: settings } }))
        .collect();
    loss("sum", &json!({ "terms": terms }))
}

fn tensor(from: &golden::Tensor) -> Result<Tensor> {
    Ok(floats(&from.values, &from.shape)?)
}

/// Class indices `(N, *S)`, as they are.
fn indices(case: &Case, role: &str) -> Result<Target> {
    let labels = case.input(role)?;
    Ok(Target::hard(Tensor::from_vec(labels.to_u32()?, labels.shape.as_slice(), &device())?))
}

/// Class indices, where those equal to `ignored` do not count.
fn indices_without(case: &Case, role: &str, ignored: Option<f64>) -> Result<Target> {
    let target = indices(case, role)?;
    let Some(ignored) = ignored else { return Ok(target) };
    let labels = case.input(role)?;
    let kept: Vec<f64> =
        labels.values.iter().map(|&label| f64::from((label - ignored).abs() > 0.5)).collect();
    Ok(target.with_weight(floats(&kept, &labels.shape)?))
}

/// The classes of the case's logits.
fn classes(case: &Case) -> Result<usize> {
    case.input("logits")?.shape.get(1).copied().context("logits without a class axis")
}

/// Whether some voxel's probability of a class rounds to 1.
fn saturates(case: &Case) -> Result<bool> {
    let logits = case.input("logits")?;
    let classes = classes(case)?;
    let voxels: usize = logits.shape[2..].iter().product();
    let mut samples = logits.values.chunks_exact(classes * voxels);
    let certain = |sample: &[f64], voxel: usize| {
        let of_voxel = || (0..classes).map(|class| sample[class * voxels + voxel]);
        let largest = of_voxel().fold(f64::NEG_INFINITY, f64::max);
        let others: f64 = of_voxel().map(|logit| (logit - largest).exp()).sum();
        // The largest one's own share is 1 of it.
        others.recip() >= 1.0
    };
    Ok(samples.any(|sample| (0..voxels).any(|voxel| certain(sample, voxel))))
}

/// Whether parameter `name` is true; absent is false.
fn flag(case: &Case, name: &str) -> bool {
    case.params[name].as_bool().unwrap_or(false)
}
