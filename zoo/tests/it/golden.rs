use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::bail;
use candle::Device;
use golden::{Case, Exempt, Group};
use sconce_zoo as zoo;

use crate::fixture;

const EXEMPT: &[Exempt] = &[Exempt {
    function: "nnUNetPredictor",
    when: |case| case.params["model_folder"].is_string(),
    reason: "model folders of nnU-Net are not imported yet",
}];

fn is_model_folder(case: &Case) -> bool {
    case.params["model_folder"].is_string()
}

/// Every model folder of the reference data is loaded, or exempt; one of our own verifies.
#[test]
fn golden_model_folders() -> anyhow::Result<()> {
    let group = Group::load("nnunet");
    // The compact copy has none.
    if group.cases().iter().any(is_model_folder) {
        group.check(is_model_folder, EXEMPT, |case| {
            let name = case.params["model_folder"].as_str().unwrap_or_default();
            zoo::load(&case.file("nnunet", name))?;
            Ok(())
        });
    }
    for folder in other_folders()? {
        // As above: when this passes, the exemption is stale.
        if zoo::load(&folder).is_ok() {
            bail!("{} loads, so its exemption is stale", folder.display());
        }
    }
    let folder = tempfile::tempdir()?;
    let verification = zoo::verify(&fixture::packed(folder.path(), 1, "model")?, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    Ok(())
}

/// The model folders that lie beside the groups, where the full golden folder is given.
fn other_folders() -> anyhow::Result<Vec<PathBuf>> {
    let Some(golden) = env::var_os("SCONCE_GOLDEN_DIR") else { return Ok(Vec::new()) };
    let folder = PathBuf::from(golden).join("nnunet_models");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path().join("model"));
    }
    Ok(found)
}
