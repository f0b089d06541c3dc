//! `JDTLosses`: hard or soft labels, with a mask of voxels to keep or an index to ignore.

use super::*;

pub(super) fn jdt(case: &Case) -> Result<Ours> {
    let mode = |name: &str| match case.params[name].as_str() {
        Some("ALL") => Ok("all"),
        Some("PRESENT") => Ok("present"),
        other => bail!("{name} is {other:?}"),
    };
    let settings = json!({
        "batch": case.params["mIoUD"],
        "image": case.params["mIoUI"],
        "class": case.params["mIoUC"],
        "alpha": case.params["alpha"],
        "beta": case.params["beta"],
        "gamma": case.params["gamma"],
        "smooth": case.params["smooth"],
        "threshold": case.params["threshold"],
        "norm": case.params["norm"],
        "cost": if flag(case, "log_loss") { "log" } else { "complement" },
        "class_weights": case.params["class_weights"].as_array().cloned().unwrap_or_default(),
        "active_hard": mode("active_classes_mode_hard")?,
        "active_soft": mode("active_classes_mode_soft")?,
        "allow_soft": true,
    });
    Ok(Ours::new(loss("dice_semimetric", &settings)?, target(case)?))
}

pub(super) fn kl_divergence(case: &Case) -> Result<Ours> {
    let settings = json!({ "temperature": case.params["T"] });
    Ok(Ours::new(loss("kl_divergence", &settings)?, target(case)?))
}

pub(super) fn focal(case: &Case) -> Result<Ours> {
    let settings = json!({ "gamma": case.params["gamma"] });
    Ok(Ours::new(loss("focal", &settings)?, target(case)?))
}

/// A mask takes the place of the ignored index, and then an index beyond the classes is the last.
fn target(case: &Case) -> Result<Target> {
    let masked = case.inputs.contains_key("keep_mask");
    let labels = case.input("label")?;
    let target = if labels.dtype != "I64" {
        Target::soft(tensor(&labels)?)
    } else if masked {
        let last = u32::try_from(classes(case)? - 1)?;
        let labels: Vec<u32> = labels.to_u32()?.into_iter().map(|class| class.min(last)).collect();
        Target::hard(Tensor::from_vec(labels, case.input("label")?.shape, &device())?)
    } else {
        return indices_without(case, "label", case.params["ignore_index"].as_f64());
    };
    Ok(if masked { target.with_weight(tensor(&case.input("keep_mask")?)?) } else { target })
}
