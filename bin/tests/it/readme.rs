use std::fs;
use std::path::{Path, PathBuf};

use crate::program::sconce;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The commands that a text shows: lines of its code blocks and comments, and code within its
/// sentences.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['#', ' ', '$']);
        let plain = line.split(" #").next().unwrap_or_default().trim();
        let started = plain
            .strip_prefix("sconce ")
            .or_else(|| plain.strip_prefix("cargo run --release -- "))
            .filter(|_| !plain.contains('`'));
        found.extend(started.map(str::to_owned));
        let quoted = line.split('`').skip(1).step_by(2);
        found.extend(quoted.filter_map(|code| code.strip_prefix("sconce ")).map(str::to_owned));
    }
    found
}

/// Runs commands where none of the files that they name exist: the command line must be right, and
/// what is missing must be said in one line.
pub(crate) fn check(texts: &[String]) -> anyhow::Result<usize> {
    let folder = tempfile::tempdir()?;
    // What would be written there takes long, or is taken.
    for taken in ["sconce-quickstart", "phantom-2d", "phantom-3d"] {
        fs::create_dir(folder.path().join(taken))?;
        fs::write(folder.path().join(taken).join("taken"), "")?;
    }
    let mut count = 0;
    for line in texts.iter().flat_map(|text| commands(text)) {
        let ran = sconce(folder.path(), line.split_whitespace())?;
        match ran.code {
            Some(0) => {}
            Some(1) => _ = ran.error(),
            _ => panic!("`sconce {line}` is no command: {ran:?}"),
        }
        count += 1;
    }
    Ok(count)
}

#[test]
fn the_commands_of_the_readme_and_of_the_guide_exist() -> anyhow::Result<()> {
    let guide = root().join("crates/sconce/guide");
    let mut texts = vec![fs::read_to_string(root().join("README.md"))?];
    for page in
        ["monai.md", "nnunet.md", "onnx.md", "prediction.md", "prompts.md", "studies.md", "zoo.md"]
    {
        texts.push(fs::read_to_string(guide.join(page))?);
    }
    let count = check(&texts)?;

    assert!(count >= 34, "the search for commands is broken: {count}");
    Ok(())
}

#[test]
fn the_recipes_are_right_up_to_the_data() -> anyhow::Result<()> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(root().join("zoo/recipes"))? {
        let recipe = entry?.path();
        if recipe.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let path = recipe.canonicalize()?;
        let arguments = ["--data", "missing", "--output", "run"].map(AsRef::as_ref);
        let arguments = ["train".as_ref(), path.as_os_str()].into_iter().chain(arguments);
        let ran = sconce(folder.path(), arguments)?;
        assert_eq!(ran.code, Some(1), "{}: {ran:?}", recipe.display());
        assert!(ran.error().contains("missing"), "{}: {ran:?}", recipe.display());
        assert!(!folder.path().join("run").exists());
        texts.push(fs::read_to_string(recipe)?);
    }
    let count = check(&texts)?;

    assert!(texts.len() >= 5 && count >= texts.len(), "{} recipes, {count} commands", texts.len());
    Ok(())
}
