use sconce_models::ModelConfig;

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
