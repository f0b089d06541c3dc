use sconce_models::{Architecture, ModelConfig, Topology, Unet};

#[test]
fn every_kind_survives_a_round_trip_through_toml() -> anyhow::Result<()> {
    for model in ModelConfig::defaults() {
        let text = toml::to_string(&model)?;
        assert_eq!(toml::from_str::<ModelConfig>(&text)?, model, "{text}");
        assert_eq!(toml::from_str::<ModelConfig>(&format!("[{}]", model.name()))?, model);
    }
    Ok(())
}

#[test]
fn an_unknown_setting_is_refused() {
    let error = toml::from_str::<ModelConfig>("[unet]\nfeatures = [8]\n").unwrap_err().to_string();

    assert!(error.contains("unknown field `features`"), "{error}");
    assert!(error.contains("features_per_stage"), "{error}");
}

#[test]
fn a_plan_fills_in_what_the_settings_leave_open() -> anyhow::Result<()> {
    let topology = Topology {
        strides: vec![vec![1; 3], vec![1, 2, 2], vec![2; 3], vec![2; 3]],
        kernel_sizes: vec![vec![1, 3, 3], vec![3; 3], vec![3; 3], vec![3; 3]],
    };
    // Where the settings are that a plan fills in.
    let planned =
        [("unet", "unet"), ("residual_unet", "residual_unet"), ("text_unet", "text_unet.unet")];
    for model in ModelConfig::defaults() {
        let Some((_, table)) = planned.iter().find(|(name, _)| *name == model.name()) else {
            // No plan shapes it.
            assert_eq!(model.fitted(&topology)?, model);
            continue;
        };
        let settings = |more: &str| {
            let text = format!("[{table}]\nfeatures_per_stage = [4, 8, 8]\n{more}");
            toml::from_str::<ModelConfig>(&text)
        };
        let kernels = "kernel_sizes = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]";
        let strides = "strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]";
        let own = "strides = [[1, 1, 1], [1, 1, 1], [1, 2, 2]]";

        let fitted = settings("")?.fitted(&topology)?;
        assert_eq!(fitted, settings(&format!("{strides}\n{kernels}"))?);
        let fitted = settings(own)?.fitted(&topology)?;
        assert_eq!(fitted, settings(&format!("{own}\n{kernels}"))?);
    }
    Ok(())
}

#[test]
fn more_stages_than_a_plan_has_are_refused() {
    let topology = Topology { strides: vec![vec![1; 2]; 2], kernel_sizes: vec![vec![3; 2]; 2] };

    let error = Unet::default().fitted(&topology).unwrap_err().to_string();

    let expected = "the network has 4 stages, but the patch can be halved for 2 at most; use fewer \
                    features_per_stage, a larger patch_size, or give strides";
    assert_eq!(error, expected);
}
