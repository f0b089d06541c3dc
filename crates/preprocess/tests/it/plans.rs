//! Plans in nnU-Net's format: the same as its own planners make, and read back as what a run needs.

use anyhow::{Context as _, Result};
use sconce_preprocess::nnunet::{PlanningConfig, Plans, Reader, Stages, plan_networks};
use sconce_preprocess::{
    CaseFingerprint, Fingerprint, Intensities, Normalize, Orientation, Preset,
};
use serde::Deserialize;
use serde_json::Value;

/// A made-up data set, and what nnU-Net 2.8.1 plans for it: `benchmarks/interop/nnunet_plans.py`.
#[derive(Deserialize)]
struct MadeUp {
    name: String,
    sizes: Vec<[usize; 3]>,
    spacings: Vec<[f64; 3]>,
    kept: f64,
    channels: Vec<String>,
    labels: usize,
    preset: Preset,
    memory: Option<f64>,
    flat: bool,
    plans: Value,
}

impl MadeUp {
    fn all() -> Result<Vec<Self>> {
        Ok(serde_json::from_str(include_str!("plans/nnunet.json"))?)
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::new(self.channels.len());
        for (&size, &spacing) in self.sizes.iter().zip(&self.spacings) {
            let values =
                Intensities { mean: 20.0, std: 7.0, min: 0.0, max: 100.0, quantiles: vec![19.0] };
            fingerprint.push(CaseFingerprint {
                channels: self.channels.len(),
                size,
                spacing,
                orientation: Orientation::IDENTITY,
                kept: self.kept,
                classes: self.labels,
                foreground: vec![values; self.channels.len()],
            });
        }
        fingerprint
    }

    fn planned(&self) -> Result<sconce_preprocess::nnunet::Planned> {
        let config = PlanningConfig {
            dataset: self.name.clone(),
            channels: self.channels.clone(),
            labels: self.labels,
            preset: self.preset,
            memory: self.memory.unwrap_or(self.preset.memory()),
            reader: if self.flat { Reader::NaturalImage2d } else { Reader::SimpleItk },
        };
        Ok(plan_networks(config, &self.fingerprint())?)
    }
}

/// That both say the same; numbers, but for rounding.
fn agree(ours: &Value, theirs: &Value, place: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys = |map: &serde_json::Map<String, Value>| -> Vec<String> {
                map.keys().cloned().collect()
            };
            let (mut left, mut right) = (keys(ours), keys(theirs));
            left.sort();
            right.sort();
            assert_eq!(left, right, "{place}");
            for (key, value) in ours {
                agree(value, &theirs[key], &format!("{place}.{key}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                agree(ours, theirs, &format!("{place}[{at}]"));
            }
        }
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            assert!((left - right).abs() <= 1e-9 * right.abs(), "{place}: {left}, not {right}");
        }
        _ => assert_eq!(ours, theirs, "{place}"),
    }
}

#[test]
fn nnu_net_plans_the_same() -> Result<()> {
    for made_up in MadeUp::all()? {
        let mut ours = serde_json::to_value(&made_up.planned()?.plans)?;
        let object = ours.as_object_mut().context("plans are an object")?;
        // Not compared: nnU-Net draws the voxels that it takes them of.
        object.remove("foreground_intensity_properties_per_channel");
        agree(&ours, &made_up.plans, &made_up.name);
    }
    Ok(())
}

#[test]
fn each_choice_is_explained() -> Result<()> {
    for made_up in MadeUp::all()? {
        let planned = made_up.planned()?;
        let text = planned.explained().join("\n");
        for (name, configuration) in &planned.plans.configurations {
            assert!(text.contains(name.as_str()), "{}: {text}", made_up.name);
            if let Some(patch) = &configuration.patch_size {
                let patch: Vec<String> = patch.iter().map(usize::to_string).collect();
                assert!(text.contains(&patch.join(" × ")), "{}: {text}", made_up.name);
            }
        }
        for channel in &made_up.channels {
            assert!(text.contains(channel.as_str()), "{}: {text}", made_up.name);
        }
        assert!(!text.contains("NaN") && !text.contains("  "), "{text}");
    }
    Ok(())
}

#[test]
fn what_is_written_is_read_back_as_a_run_needs_it() -> Result<()> {
    for made_up in MadeUp::all()? {
        let plans = made_up.planned()?.plans;
        let plans: Plans = serde_json::from_str(&serde_json::to_string(&plans)?)?;

        let flat = plans.plan("2d")?;
        assert_eq!((flat.rank, flat.patch_size[0], flat.canonical), (2, 1, false));
        assert_eq!(flat.normalize.len(), made_up.channels.len());
        let Stages { strides, kernel_sizes } = plans.stages("2d")?;
        assert_eq!(strides.len(), kernel_sizes.len());
        // The topology that the plan's own spacing and patch lead to.
        let own: Vec<Vec<usize>> =
            flat.topology().strides.iter().map(|stride| stride[1..].to_vec()).collect();
        assert_eq!(strides, own, "{}", made_up.name);
        if made_up.flat {
            let error = plans.plan("3d_fullres").unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "the plans {} have no configuration 3d_fullres; there are 2d",
                    plans.plans_name
                )
            );
            continue;
        }
        let full = plans.plan("3d_fullres")?;
        assert_eq!(full.transpose, plans.transpose_forward);
        if plans.configurations.contains_key("3d_cascade_fullres") {
            assert_eq!(plans.plan("3d_cascade_fullres")?, full);
            let cascade = plans.configuration("3d_cascade_fullres")?;
            assert_eq!(cascade.previous_stage.as_deref(), Some("3d_lowres"));
        }
        if made_up.channels[0].eq_ignore_ascii_case("ct") {
            let expected = Normalize::Ct { mean: 20.0, std: 7.0, lower: 19.0, upper: 19.0 };
            assert_eq!(full.normalize[0], expected);
        }
    }
    Ok(())
}

#[test]
fn plans_that_make_no_sense_are_refused() -> Result<()> {
    let made_up = &MadeUp::all()?[0];
    let plans = || -> Result<Plans> { Ok(made_up.planned()?.plans) };
    let refusal = |plans: &Plans, name: &str| plans.plan(name).unwrap_err().to_string();

    let mut circular = plans()?;
    circular.configurations.get_mut("2d").context("2d")?.inherits_from = Some("2d".to_owned());
    assert!(refusal(&circular, "2d").contains("inherits from itself"));

    let mut bare = plans()?;
    bare.configurations.get_mut("2d").context("2d")?.patch_size = None;
    assert!(refusal(&bare, "2d").ends_with("has no patch_size"));

    let mut odd = plans()?;
    let flat = odd.configurations.get_mut("2d").context("2d")?;
    flat.normalization_schemes = Some(vec!["MyNormalization".to_owned()]);
    assert!(refusal(&odd, "2d").contains("normalised by MyNormalization"));

    let mut rough = plans()?;
    let flat = rough.configurations.get_mut("2d").context("2d")?;
    flat.resampling_fn_data_kwargs.as_mut().context("settings")?.order = 4;
    assert!(refusal(&rough, "2d").contains("splines of order 4"));
    Ok(())
}
