//! `lesion_losses_ood` (one channel, sigmoid), `unified-focal-loss` and `DicePlusPlus` (Keras).

use super::*;

pub(super) fn binary_dice(case: &Case) -> Result<Ours> {
    let settings = json!({
        "activation": "sigmoid",
        "pool_batch": case.params["batch_dice"],
        "smooth": case.params["smooth"],
        "cost": if flag(case, "log_loss") { "log" } else { "complement" },
        "log_floor": case.params["eps"],
        "allow_soft": true,
    });
    Ok(Ours::new(loss("dice", &settings)?, channel(case)?))
}

pub(super) fn correlation(case: &Case) -> Result<Ours> {
    let settings =
        json!({ "activation": "sigmoid", "smooth": case.params["eps"], "allow_soft": true });
    Ok(Ours::new(loss("mcc", &settings)?, channel(case)?))
}

pub(super) fn binary_cross_entropy(case: &Case) -> Result<Ours> {
    let loss = loss("cross_entropy", &json!({ "activation": "sigmoid" }))?;
    Ok(Ours::new(loss, channel(case)?))
}

pub(super) fn top_k(case: &Case) -> Result<Ours> {
    let settings = json!({
        "percent": case.params["k"],
        "cross_entropy": {
            "activation": "sigmoid",
            "positive_weight": case.params["pos_weight"].as_f64().unwrap_or(1.0),
        },
    });
    Ok(Ours::new(loss("top_k", &settings)?, channel(case)?))
}

pub(super) fn sigmoid_focal(case: &Case) -> Result<Ours> {
    let alpha = case.param("alpha")?;
    let settings = json!({
        "activation": "sigmoid",
        "gamma": case.params["gamma"],
        "alpha": (alpha >= 0.0).then_some(alpha),
        "allow_soft": true,
    });
    let count = match case.params["reduction"].as_str() {
        Some("sum") => case.input("logits")?.values.len() as f64,
        _ => 1.0,
    };
    Ok(Ours::new(sum(&[(count, "focal", settings)])?, channel(case)?))
}

/// A target of one channel: probabilities where some value is neither 0 nor 1.
fn channel(case: &Case) -> Result<Target> {
    let target = case.input("target")?;
    let soft = case.params["label_kind"] == "soft";
    let labels = tensor(&target)?;
    Ok(if soft { Target::soft(labels) } else { Target::regions(labels) })
}

/// Probabilities are kept 1e-7 from 0 and 1, as Keras has it, where a loss does so.
const CLIP: f64 = 1e-7;

/// The losses of `unified-focal-loss` and `DicePlusPlus`, from softmax and one-hot or soft labels.
pub(super) fn keras(case: &Case) -> Result<Ours> {
    let params = &case.params;
    let unified = |weight: f64, symmetric: bool| {
        let foreground = if classes(case)? > 2 { vec![1] } else { vec![] };
        anyhow::Ok(json!({
            "weight": weight, "symmetric": symmetric, "foreground": foreground,
            "delta": params["delta"], "gamma": params["gamma"],
            "error_exponent": params["gamma_plus_plus"].as_f64().unwrap_or(1.0),
            "allow_soft": true,
        }))
    };
    // Without a weight, the two parts are added.
    let mixed = |symmetric: bool| match params["weight"].as_f64() {
        Some(weight) => loss("unified_focal", &unified(weight, symmetric)?),
        None => sum(&[(2.0, "unified_focal", unified(0.5, symmetric)?)]),
    };
    let cross_entropy = json!({ "clip": CLIP });
    let (loss, clips_labels) = match case.function.as_str() {
        "dice_loss" | "tversky_loss" => (tversky(case, &json!({}))?, false),
        "focal_tversky_loss" => {
            let more = json!({ "gamma": params["gamma"], "clip": CLIP });
            (tversky(case, &more)?, false)
        }
        "focal_loss" => {
            let settings = json!({
                "gamma": params["gamma_f"], "clip": CLIP, "allow_soft": true,
                "class_weights": params["alpha"].as_array().cloned().unwrap_or_default(),
            });
            (loss("focal", &settings)?, false)
        }
        "combo_loss" => (combo(case)?, false),
        "symmetric_focal_loss" => (loss("unified_focal", &unified(0.0, true)?)?, false),
        "asymmetric_focal_loss" => (loss("unified_focal", &unified(0.0, false)?)?, false),
        "symmetric_focal_tversky_loss" => (loss("unified_focal", &unified(1.0, true)?)?, false),
        "asymmetric_focal_tversky_loss" => (loss("unified_focal", &unified(1.0, false)?)?, false),
        "sym_unified_focal_loss" => (mixed(true)?, false),
        "asym_unified_focal_loss" => (mixed(false)?, false),
        "dice_plus_loss" => {
            let more = json!({
                "alpha": 0.5, "beta": 0.5, "smooth": CLIP / 2.0, "clip": CLIP,
                "error_exponent": params["gamma"], "allow_soft": true,
            });
            (loss("tversky", &more)?, true)
        }
        "tversky_plus_plus_loss" => {
            let more = json!({ "smooth": CLIP, "clip": CLIP, "error_exponent": params["gamma"] });
            (tversky(case, &more)?, true)
        }
        "focal_tversky_plus_plus_loss" => {
            let more = json!({
                "smooth": CLIP, "clip": CLIP, "error_exponent": params["gamma"],
                "gamma": params["focal_exponent"],
            });
            (tversky(case, &more)?, true)
        }
        "cross_entropy" => (loss("cross_entropy", &cross_entropy)?, false),
        "dice_crossentropy" => {
            let dice = json!({
                "alpha": 0.5, "beta": 0.5, "smooth": CLIP / 2.0, "clip": CLIP, "allow_soft": true,
            });
            let dice = Ours::new(loss("tversky", &dice)?, clipped(case)?);
            return Ok(Ours::new(loss("cross_entropy", &cross_entropy)?, labels(case)?).plus(dice));
        }
        other => bail!("{other} is not a loss that we know"),
    };
    Ok(Ours::new(loss, if clips_labels { clipped(case)? } else { labels(case)? }))
}

fn labels(case: &Case) -> Result<Target> {
    match case.params["label_kind"].as_str() {
        Some("soft") => Ok(Target::soft(tensor(&case.input("target")?)?)),
        _ => indices(case, "target"),
    }
}

/// The "++" losses keep labels from 0 and 1 as well, as no label of ours would.
fn clipped(case: &Case) -> Result<Target> {
    let like = tensor(&case.input("logits")?)?;
    Ok(Target::soft(labels(case)?.probabilities(&like)?.clamp(CLIP, 1.0 - CLIP)?))
}

/// Tversky by one weight, that of false negatives.
fn tversky(case: &Case, more: &Value) -> Result<LossConfig> {
    let delta = case.param("delta")?;
    let mut settings = json!({
        "alpha": 1.0 - delta, "beta": delta, "allow_soft": true,
        "smooth": case.params["smooth"].as_f64().unwrap_or(1e-6),
    });
    let both = settings.as_object_mut().zip(more.as_object());
    let (map, more) = both.context("settings are tables")?;
    map.extend(more.clone());
    loss("tversky", &settings)
}

/// Cross entropy minus Dice. `beta` weights the background, the rest the foreground; without it
/// nothing is weighted. Without `alpha` the two are not either.
fn combo(case: &Case) -> Result<LossConfig> {
    let alpha = case.params["alpha"].as_f64();
    let weights = case.params["beta"].as_f64().map_or(vec![], |beta| vec![beta, 1.0 - beta]);
    let cross_entropy =
        json!({ "gamma": 0.0, "class_weights": weights, "clip": CLIP, "allow_soft": true });
    let dice = json!({ "smooth": 2e-6, "cost": "negative", "allow_soft": true });
    sum(&[
        (alpha.unwrap_or(1.0), "focal", cross_entropy),
        (alpha.map_or(1.0, |alpha| 1.0 - alpha), "dice", dice),
    ])
}
