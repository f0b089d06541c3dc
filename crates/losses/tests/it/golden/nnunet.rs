//! nnU-Net: minus Dice, and cross entropy.

use super::*;

pub(super) fn dice_cross_entropy(case: &Case) -> Result<Ours> {
    let terms = [
        (case.param("weight_ce")?, "cross_entropy", json!({})),
        (case.param("weight_dice")?, "dice", dice(case)),
    ];
    let ignored = case.params["ignore_label"].as_f64();
    Ok(Ours::new(sum(&terms)?, indices_without(case, "target", ignored)?))
}

pub(super) fn dice_top_k(case: &Case) -> Result<Ours> {
    let top_k = json!({
        "percent": case.params["k"],
        "cross_entropy": { "label_smoothing": case.params["label_smoothing"] },
    });
    let terms = [(1.0, "top_k", top_k), (1.0, "dice", dice(case))];
    Ok(Ours::new(sum(&terms)?, indices(case, "target")?))
}

/// Regions. Where voxels can be ignored, the last channel says which are, and its cross entropy is
/// a sum over the classes, else a mean.
pub(super) fn dice_binary(case: &Case) -> Result<Ours> {
    let mut settings = dice(case);
    settings["activation"] = "sigmoid".into();
    let regions = tensor(&case.input("target")?)?;
    let classes = classes(case)?;
    let (weight, target) = if flag(case, "use_ignore_label") {
        let keep = (1.0 - regions.narrow(1, classes, 1)?.squeeze(1)?)?;
        (classes as f64, Target::regions(regions.narrow(1, 0, classes)?).with_weight(keep))
    } else {
        (1.0, Target::regions(regions))
    };
    let cross_entropy = json!({ "activation": "sigmoid" });
    let terms = [(weight, "cross_entropy", cross_entropy), (1.0, "dice", settings)];
    Ok(Ours::new(sum(&terms)?, target))
}

pub(super) fn cross_entropy(case: &Case) -> Result<Ours> {
    let settings = json!({
        "label_smoothing": case.params["label_smoothing"],
        "class_weights": case.params["weight"].as_array().cloned().unwrap_or_default(),
    });
    Ok(Ours::new(loss("cross_entropy", &settings)?, indices(case, "target")?))
}

/// Heads of several resolutions; where the weights are nnU-Net's own, ours must equal them.
pub(super) fn deep_supervision(case: &Case) -> Result<()> {
    let weights: Vec<f64> = serde_json::from_value(case.params["weights"].clone())?;
    if weights.len() > 1 && weights.last() == Some(&0.0) {
        let ours = sconce_losses::deep_supervision::weights(weights.len());
        close(&ours, &weights, Tolerance::new(1e-12, 0.0)).context("weights")?;
    }
    let loss = sum(&[(1.0, "cross_entropy", json!({})), (1.0, "dice", dice(case))])?;
    let head = |head: usize| -> Result<(Var, Target)> {
        let logits = case.input(&format!("logits{head}"))?;
        Ok((Var::from_tensor(&tensor(&logits)?)?, indices(case, &format!("target{head}"))?))
    };
    let heads = (0..weights.len()).map(head).collect::<Result<Vec<_>>>()?;

    let mut total = floats(&[0.0], &[])?;
    for ((logits, target), &weight) in
        heads.iter().zip(&weights).filter(|(_, weight)| **weight > 0.)
    {
        total = (total + (Loss::forward(&loss, logits, target)? * weight)?)?;
    }
    let roles: Vec<String> = (0..weights.len()).map(|head| format!("grad{head}")).collect();
    let inputs: Vec<(&Var, &str)> =
        heads.iter().zip(&roles).map(|((logits, _), role)| (logits, role.as_str())).collect();
    agrees(case, &total, &inputs)
}

fn dice(case: &Case) -> Value {
    json!({
        "smooth": case.params["smooth"],
        "include_background": flag(case, "do_bg"),
        "pool_batch": flag(case, "batch_dice"),
        "cost": "negative",
    })
}
