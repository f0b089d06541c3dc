use candle::Device;
use golden::{Case, Exempt, Group};
use sconce_zoo as zoo;

use crate::fixture;

const LATER: &str = "model folders of nnU-Net are not imported yet";

const EXEMPT: &[Exempt] = &[
    Exempt { function: "nnUNetPredictor", when: is_model_folder, reason: LATER },
    Exempt { function: "stages", when: is_stages, reason: LATER },
];

fn is_model_folder(case: &Case) -> bool {
    case.params["model_folder"].is_string()
}

/// One for each folder: what its networks predict, stage by stage.
fn is_stages(case: &Case) -> bool {
    case.function == "stages"
}

/// Every model folder of the reference data is loaded, or exempt (what they predict is checked in
/// `engine`, which needs no import for it); one of our own verifies.
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
    Group::load_folders("nnunet_models").check(is_stages, EXEMPT, |case| {
        zoo::load(&case.file("", "model"))?;
        Ok(())
    });
    let folder = tempfile::tempdir()?;
    let verification = zoo::verify(&fixture::packed(folder.path(), 1, "model")?, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    Ok(())
}
