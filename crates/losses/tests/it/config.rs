use sconce_losses::LossConfig;

#[test]
fn every_kind_survives_a_round_trip_through_toml() -> anyhow::Result<()> {
    for loss in LossConfig::defaults() {
        let text = toml::to_string(&loss)?;
        assert_eq!(toml::from_str::<LossConfig>(&text)?, loss, "{text}");
    }
    Ok(())
}

#[test]
fn every_kind_is_its_default_where_nothing_is_set() -> anyhow::Result<()> {
    for loss in LossConfig::defaults() {
        let name = loss.name();
        if name != "sum" {
            assert_eq!(toml::from_str::<LossConfig>(&format!("[{name}]"))?, loss);
        }
    }
    Ok(())
}

#[test]
fn every_kind_can_say_what_it_is_and_what_its_settings_mean() -> anyhow::Result<()> {
    for loss in LossConfig::defaults() {
        let name = loss.name();
        let documentation = loss.documentation();
        assert!(documentation.text.len() > 40, "{name}: {}", documentation.text);
        let is_derived = ["cross_entropy", "sum"].contains(&name);
        assert_eq!(documentation.source.is_empty(), is_derived, "{name}");
        let settings = serde_json::to_value(&loss)?;
        let settings = settings[name].as_object().expect("settings are a table").keys();
        for setting in settings {
            let found = documentation.settings.iter().find(|(field, _)| field == setting);
            assert!(found.is_some_and(|(_, meaning)| meaning.len() > 5), "{name}.{setting}");
        }
    }
    Ok(())
}

#[derive(Debug, serde::Deserialize)]
struct Run {
    #[expect(dead_code, reason = "only its parse error is looked at")]
    loss: LossConfig,
}

fn refusal(text: &str) -> String {
    toml::from_str::<Run>(text).expect_err("a refusal").to_string()
}

#[test]
fn a_refused_setting_is_pointed_at() {
    assert_eq!(
        refusal("[loss.mcc]\nsmooth = -1.0\n"),
        "\
TOML parse error at line 2, column 10
  |
2 | smooth = -1.0
  |          ^^^^
-1 is not a positive, finite number
",
    );
}

#[test]
fn unknown_settings_and_losses_are_refused_with_those_there_are() {
    let setting = refusal("[loss.dice]\nsmoth = 1.0\n");
    assert!(setting.contains("unknown field `smoth`, expected one of"), "{setting}");

    let kind = refusal("[loss.dise]\n");
    assert!(kind.contains("unknown variant `dise`, expected one of `cross_entropy`"), "{kind}");
}
