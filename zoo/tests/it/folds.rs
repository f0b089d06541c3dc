use std::fs;

use candle::Device;
use sconce_zoo::{self as zoo, Content};

use crate::fixture::{options, run};

#[test]
fn folds_become_one_model() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (folds, model) = (folder.path().join("folds"), folder.path().join("model"));
    fs::create_dir(&folds)?;
    for fold in 0..2 {
        fs::rename(run(folder.path(), fold)?, folds.join(format!("fold_{fold}")))?;
    }

    let made = zoo::pack(&folds, &model, &options())?;

    for name in
        ["README.md", "LICENSE", "CITATION.cff", "fold_0/SHA256SUMS", "fold_1/eval/summary.json"]
    {
        assert!(made.files.iter().any(|file| file == name), "{name}: {:?}", made.files);
    }
    let verification = zoo::verify(&model, &Device::Cpu)?;
    assert!(verification.ok(), "{verification}");
    assert_eq!(zoo::load_all(&model)?.len(), 2);
    let card = fs::read_to_string(model.join("README.md"))?;
    assert!(
        card.contains("# tiny organ\n") && card.contains("| `fold_1` | 3 | 0.8500 |\n"),
        "{card}"
    );
    let Content::Model(details) = zoo::show(&model)?.content else { panic!("it is a model") };
    assert_eq!((details.networks, details.license.as_deref()), (2, Some("cc-by-4.0")));
    Ok(())
}

#[test]
fn a_fold_that_was_changed_is_found() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (folds, model) = (folder.path().join("folds"), folder.path().join("model"));
    fs::create_dir(&folds)?;
    for fold in 0..2 {
        fs::rename(run(folder.path(), fold)?, folds.join(format!("fold_{fold}")))?;
    }
    zoo::pack(&folds, &model, &options())?;

    // The network of one is put into the place of the other, with its hash.
    for name in ["model.safetensors", "SHA256SUMS"] {
        fs::copy(model.join("fold_0").join(name), model.join("fold_1").join(name))?;
    }

    let verification = zoo::verify(&model, &Device::Cpu)?;
    let findings = verification.findings();
    assert!(!verification.ok());
    assert!(
        findings.iter().any(|it| it.starts_with("fold_1/model.safetensors was changed")),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|it| it.starts_with("the network computes something else")),
        "{findings:?}"
    );
    Ok(())
}
