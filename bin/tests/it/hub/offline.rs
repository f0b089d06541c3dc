use std::fs;
use std::path::Path;

use super::LINE;
use crate::program::{RUN, files, good, sconce, trained};

#[test]
fn offline_an_empty_cache_is_said_in_one_line_wherever_a_model_is_named() -> anyhow::Result<()> {
    let workplace = crate::program::workplace()?;
    let folder = workplace.path();
    let with = |part: &str| format!("{RUN}\n{part}\n");
    fs::write(
        folder.join("student.toml"),
        with("[supervision]\nteachers = [\"hub:owner/model\"]\ntemperature = 2.0"),
    )?;
    let cases = [
        LINE,
        "evaluate -m hub:owner/model --data data",
        "compare hub:owner/model hub:owner/model",
        "train run.toml --data data --output run --init hub:owner/model --device cpu",
        "train student.toml --data data --output run --device cpu",
        "distill cache student.toml --data data --output said --device cpu",
        "zoo show hub:owner/model",
        "zoo verify hub:owner/model --device cpu",
        "zoo diff hub:owner/model hub:owner/model",
        "zoo export onnx hub:owner/model -o model.onnx",
        "zoo export nnunet hub:owner/model -o nnunet",
        "zoo pull hub:owner/model",
    ];

    for line in cases {
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!(ran.code, Some(1), "{line}: {ran:?}");
        assert_eq!(
            ran.error(),
            "error: cannot get hub:owner/model from the hub: it is not in the cache; go online \
             once, or give a folder",
            "{line}"
        );
    }
    let wrong = sconce(folder, LINE.replace("owner/", "").split(' '))?;
    assert!(wrong.error().contains("give hub:OWNER/NAME"), "{wrong:?}");
    for (line, said) in [
        (
            "zoo push data hub:owner/model",
            "cannot push to hub:owner/model: HF_HUB_OFFLINE is set; go online",
        ),
        ("zoo search organ", "cannot search the hub: HF_HUB_OFFLINE is set; go online"),
        ("zoo rm hub:owner/model", "cannot remove hub:owner/model: it is not in the cache"),
        ("zoo rm data", "\"data\" is no model of the hub; give hub:OWNER/NAME"),
        ("zoo pull data", "\"data\" is no model of the hub; give hub:OWNER/NAME"),
    ] {
        let ran = sconce(folder, line.split(' '))?;
        assert_eq!((ran.code, ran.error()), (Some(1), format!("error: {said}").as_str()));
    }
    assert!(folder.join("data").exists());
    Ok(())
}

#[test]
fn offline_a_model_in_the_cache_is_used() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    good(folder, "zoo pack run --output packed --license cc-by-nc-4.0")?;
    let cache = folder.join("hf/hub/models--owner--model");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    fs::create_dir_all(cache.join("refs"))?;
    fs::write(cache.join("refs/main"), commit)?;
    let snapshot = cache.join("snapshots").join(commit);
    for file in files(&folder.join("packed"))? {
        let to = snapshot.join(file.strip_prefix(folder.join("packed"))?);
        fs::create_dir_all(to.parent().unwrap_or(Path::new("")))?;
        fs::copy(file, to)?;
    }

    let ran = sconce(folder, LINE.split(' '))?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warning =
        "warning: hub:owner/model is not for commercial use, by its license, cc-by-nc-4.0";
    assert!(ran.err.lines().any(|line| line == warning), "{ran:?}");
    good(folder, "zoo verify hub:owner/model@main --device cpu")?;

    let local = LINE.replace("hub:owner/model", "packed").replace("out", "local");
    good(folder, &local)?;
    let read = |name: &str| fs::read(folder.join(name).join("image.nii.gz"));
    assert!(read("out")? == read("local")?, "the model of the hub predicts something else");
    good(folder, "zoo rm hub:owner/model")?;
    assert!(!cache.exists());
    Ok(())
}
