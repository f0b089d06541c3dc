use std::fs;

use crate::program::{assert_no_partial, good, json, sconce, trained};

/// What asks the teachers of a run file.
const ASK: &str = "distill cache student.toml --data data --output said --device cpu";

#[test]
fn what_teachers_said_is_stored_once_and_learnt_from() -> anyhow::Result<()> {
    let workplace = trained()?;
    let folder = workplace.path();
    let run_file = fs::read_to_string(folder.join("run.toml"))?;
    let supervision = "[supervision]\nteachers = [\"run\"]\ntemperature = 2.0\n";
    fs::write(folder.join("student.toml"), format!("{run_file}\n{supervision}"))?;

    let report = json(folder, ASK)?;

    assert_eq!((report["written"].as_u64(), report["kept"].as_u64()), (Some(6), Some(0)));
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("said/opinions.json"))?)?;
    assert_eq!(record["teachers"][0]["name"], "run");
    // An interrupted one goes on.
    fs::remove_file(folder.join("said/case03.nii.gz"))?;
    let report = json(folder, ASK)?;
    assert_eq!(report["written"].as_u64(), Some(1), "{report}");
    // The teacher itself is no longer needed.
    fs::remove_dir_all(folder.join("run"))?;
    good(
        folder,
        "train student.toml --data data --output student --device cpu --set supervision.cache=\"said\"",
    )?;
    let origins = fs::read_to_string(folder.join("student/origins.json"))?;
    assert!(origins.contains(record["teachers"][0]["weights"].as_str().expect("a hash")));

    let refused = sconce(folder, "distill cache run.toml --data data --output x".split(' '))?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.error().contains("run.toml has no [supervision] with teachers"), "{refused:?}");
    assert!(!folder.join("x").exists());
    fs::write(folder.join("said/case03.nii.gz"), "not a volume")?;
    let line = "train student.toml --data data --output other --device cpu --set supervision.cache=\"said\"";
    let refused = sconce(folder, line.split(' '))?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error().contains("case03.nii.gz"), "{refused:?}");
    assert_no_partial(folder)
}
