//! MONAI: losses of one-hot labels, with smoothing above and below the quotient.

use super::*;

pub(super) fn dice(case: &Case) -> Result<Ours> {
    let (weight, name, settings) = overlap(case)?;
    Ok(Ours::new(sum(&[(weight, name, settings)])?, indices(case, "target")?))
}

/// Its cross entropy is over softmax even where Dice is over sigmoid.
pub(super) fn dice_cross_entropy(case: &Case) -> Result<Ours> {
    let (weight, name, settings) = overlap(case)?;
    let cross_entropy = json!({ "class_weights": weights(case) });
    let terms = [
        (factor(case, "lambda_dice") * weight, name, settings),
        (factor(case, "lambda_ce"), "cross_entropy", cross_entropy),
    ];
    Ok(Ours::new(sum(&terms)?, indices(case, "target")?))
}

/// Its focal loss is over sigmoid even where Dice is over softmax.
pub(super) fn dice_focal(case: &Case) -> Result<Ours> {
    let (weight, name, settings) = overlap(case)?;
    let (focal_weight, focal) = focal_settings(case, false)?;
    let terms = [
        (factor(case, "lambda_dice") * weight, name, settings),
        (factor(case, "lambda_focal") * focal_weight, "focal", focal),
    ];
    Ok(Ours::new(sum(&terms)?, indices(case, "target")?))
}

pub(super) fn focal(case: &Case) -> Result<Ours> {
    if flag(case, "use_softmax") && !background(case) {
        return focal_of_foreground(case);
    }
    let (weight, settings) = focal_settings(case, flag(case, "use_softmax"))?;
    Ok(Ours::new(sum(&[(weight, "focal", settings)])?, indices(case, "target")?))
}

/// Without the background, MONAI takes the softmax of the other classes' logits alone, and ignores
/// `alpha`.
fn focal_of_foreground(case: &Case) -> Result<Ours> {
    let foreground = classes(case)? - 1;
    let settings = json!({ "gamma": case.params["gamma"].as_f64().unwrap_or(2.0) });
    let loss = sum(&[(1.0 / foreground as f64, "focal", settings)])?;
    let all = indices(case, "target")?.probabilities(&tensor(&case.input("logits")?)?)?;
    let ours = Ours::new(loss, Target::regions(all.narrow(1, 1, foreground)?));
    Ok(Ours { from_class: 1, ..ours })
}

pub(super) fn generalized_dice(case: &Case) -> Result<Ours> {
    let settings = json!({
        "activation": activation(case),
        "volume_weight": case.params["w_type"].as_str().unwrap_or("square"),
        "smooth": 1e-5,
        "include_background": background(case),
        "pool_batch": flag(case, "batch"),
    });
    Ok(Ours::new(loss("generalized_dice", &settings)?, indices(case, "target")?))
}

pub(super) fn tversky(case: &Case) -> Result<Ours> {
    let settings = json!({
        "activation": activation(case),
        "alpha": case.params["alpha"],
        "beta": case.params["beta"],
        "smooth": 1e-5,
        "include_background": background(case),
        "pool_batch": flag(case, "batch"),
    });
    Ok(Ours::new(loss("tversky", &settings)?, indices(case, "target")?))
}

/// Dice or Jaccard, and a weight: the latter is the Tversky loss with `alpha = beta = 1`, whose
/// smoothing is not doubled; of squares, it is the Jaccard metric loss with a norm of 2.
fn overlap(case: &Case) -> Result<(f64, &'static str, Value)> {
    let (above, below) = smoothings(case);
    let mut settings = json!({
        "activation": activation(case),
        "include_background": background(case),
        "pool_batch": flag(case, "batch"),
        "class_weights": weights(case),
    });
    let (name, more) = match (flag(case, "jaccard"), flag(case, "squared_pred")) {
        (true, true) => return jaccard_of_squares(case, above),
        (true, false) => (
            "tversky",
            json!({
                "alpha": 1.0, "beta": 1.0,
                "smooth": above / 2.0, "smooth_denominator": below / 2.0,
            }),
        ),
        (false, squared) => {
            ("dice", json!({ "smooth": above, "smooth_denominator": below, "squared": squared }))
        }
    };
    let both = settings.as_object_mut().zip(more.as_object());
    let (settings_map, more) = both.context("settings are tables")?;
    settings_map.extend(more.clone());
    Ok((1.0, name, settings))
}

/// Ours is a mean over all classes: where the background is left out, it weighs 0, and the mean is
/// scaled up to one over the others.
fn jaccard_of_squares(case: &Case, above: f64) -> Result<(f64, &'static str, Value)> {
    let pooled = f64::from(u8::from(flag(case, "batch")));
    let classes = classes(case)?;
    let counted = if background(case) { classes } else { classes - 1 };
    // Weights are for the classes that count.
    let mut weights = weights(case);
    if weights.is_empty() {
        weights = vec![1.0.into(); counted];
    }
    if !background(case) {
        weights.insert(0, 0.0.into());
    }
    let settings = json!({
        "activation": activation(case), "norm": 2.0, "alpha": 1.0, "beta": 1.0,
        "smooth": above / 2.0, "batch": pooled, "image": 1.0 - pooled, "active_hard": "all",
        "class_weights": weights,
    });
    Ok((classes as f64 / counted as f64, "dice_semimetric", settings))
}

/// What is added above and below the quotient.
fn smoothings(case: &Case) -> (f64, f64) {
    let smooth = |name: &str| case.params[name].as_f64().unwrap_or(1e-5);
    (smooth("smooth_nr"), smooth("smooth_dr"))
}

pub(super) fn has_one_smoothing(case: &Case) -> bool {
    let (above, below) = smoothings(case);
    (above - below).abs() == 0.0
}

/// MONAI's mean is over classes too, where ours is a sum under softmax.
fn focal_settings(case: &Case, softmax: bool) -> Result<(f64, Value)> {
    let classes = classes(case)?;
    let counted = if background(case) { classes } else { classes - 1 };
    let alpha = case.params["alpha"].as_f64();
    let class_weight = |class: usize| match (class, alpha) {
        (0, _) if !background(case) => 0.0,
        (0, Some(alpha)) if softmax => 1.0 - alpha,
        (_, Some(alpha)) if softmax => alpha,
        _ => 1.0,
    };
    let weights: Vec<f64> = (0..classes).map(class_weight).collect();
    let gamma = case.params["gamma"].as_f64().unwrap_or(2.0);
    let settings = if softmax {
        json!({ "gamma": gamma, "class_weights": weights })
    } else {
        json!({
            "activation": "sigmoid", "gamma": gamma, "alpha": alpha, "class_weights": weights,
        })
    };
    let scale = if softmax { 1.0 } else { classes as f64 };
    Ok((scale / counted as f64, settings))
}

fn activation(case: &Case) -> &'static str {
    if flag(case, "sigmoid") { "sigmoid" } else { "softmax" }
}

fn background(case: &Case) -> bool {
    case.params["include_background"].as_bool().unwrap_or(true)
}

fn weights(case: &Case) -> Vec<Value> {
    case.params["weight"].as_array().cloned().unwrap_or_default()
}

fn factor(case: &Case, name: &str) -> f64 {
    case.params[name].as_f64().unwrap_or(1.0)
}
