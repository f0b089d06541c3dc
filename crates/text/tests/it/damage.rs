//! Folders that are no text encoder.

use std::fs;
use std::path::Path;

use sconce_text::TextEncoder;

/// The encoder that ships, in a folder.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, content) in TextEncoder::tiny()?.files() {
        fs::write(folder.path().join(name), content)?;
    }
    Ok(folder)
}

fn refusal(folder: &Path) -> String {
    let error = TextEncoder::open(folder).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn what_is_missing_or_damaged_is_named() -> anyhow::Result<()> {
    for name in TextEncoder::FILES {
        let folder = folder()?;
        let path = folder.path().join(name);
        fs::write(&path, &fs::read(&path)?[..100])?;
        let error = refusal(folder.path());
        assert!(error.contains(name) && error.contains("get "), "{error}");
        fs::remove_file(&path)?;
        let error = refusal(folder.path());
        assert!(error.contains(name) && error.contains("there is no such file"), "{error}");
    }
    Ok(())
}

#[test]
fn files_that_do_not_fit_each_other_are_refused() -> anyhow::Result<()> {
    let folder = folder()?;
    let path = folder.path().join("config.json");
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    let changed = |key: &str, value: i64| -> anyhow::Result<String> {
        let mut config = config.clone();
        config[key] = value.into();
        fs::write(&path, config.to_string())?;
        Ok(refusal(folder.path()))
    };

    for (key, value, expected) in [
        ("vocab_size", 7, "does not fit config.json"),
        ("hidden_size", 62, "does not divide by num_attention_heads 4"),
        ("num_hidden_layers", 3, "does not fit config.json"),
        ("num_attention_heads", 0, "num_attention_heads is 0"),
        ("max_position_embeddings", 1 << 40, "max_position_embeddings is"),
        ("similarity_threshold", 3, "similarity_threshold must be from -1 to 1"),
    ] {
        let error = changed(key, value)?;
        assert!(error.contains(expected), "{key}: {error}");
    }
    Ok(())
}

#[test]
fn a_whole_clip_model_is_read_for_its_text() -> anyhow::Result<()> {
    let folder = folder()?;
    let path = folder.path().join("config.json");
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    let whole =
        serde_json::json!({"model_type": "clip", "text_config": config, "projection_dim": 64});
    fs::write(&path, whole.to_string())?;

    let whole = TextEncoder::open(folder.path())?.embed(&["liver"])?.to_vec2::<f32>()?;

    assert_eq!(whole, TextEncoder::tiny()?.embed(&["liver"])?.to_vec2::<f32>()?);
    Ok(())
}

#[test]
fn a_prompt_without_words_is_refused() -> anyhow::Result<()> {
    let error = TextEncoder::tiny()?.embed(&[" \n"]).unwrap_err().to_string();

    assert_eq!(error, "the prompt \" \\n\" is empty; name what is to be segmented");
    Ok(())
}
