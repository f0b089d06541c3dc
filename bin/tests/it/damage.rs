use std::fs;

use serde_json::Value;

use crate::program::{sconce, workplace};

#[test]
fn everything_that_is_wrong_with_a_folder_is_listed_at_once() -> anyhow::Result<()> {
    let workplace = workplace()?;
    let folder = workplace.path();
    let data = folder.join("data");
    let whole = fs::read(data.join("case02/image.nii.gz"))?;
    fs::write(data.join("case02/image.nii.gz"), &whole[..whole.len() / 2])?;
    fs::write(data.join("case03/task01_seg02.nii.gz"), "not an image")?;
    // An image in place of labels: values that stand for no class.
    fs::copy(data.join("case04/image.nii.gz"), data.join("case04/task01_seg01.nii.gz"))?;

    let text = sconce(folder, ["dataset", "check", "data"])?;
    assert_eq!(text.code, Some(1), "{text:?}");
    for file in ["case02/image.nii.gz", "case03/task01_seg02.nii.gz", "case04/task01_seg01.nii.gz"]
    {
        let lines: Vec<_> =
            text.out.lines().filter(|it| it.starts_with("error: ") && it.contains(file)).collect();
        assert_eq!(lines.len(), 1, "{file}: {text:?}");
        assert!(lines[0].contains("; "), "no remedy: {}", lines[0]);
    }
    assert!(text.out.ends_with("data: 6 cases, 3 errors, 0 warnings\n"), "{text:?}");

    let json = sconce(folder, ["dataset", "check", "data", "--format", "json"])?;
    assert_eq!(json.code, Some(1), "{json:?}");
    let report: Value = serde_json::from_str(&json.out)?;
    let cases: Vec<_> = report["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| problem["case"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(cases, ["case02", "case03", "case04"]);
    Ok(())
}

/// A limit on the size of files stands for a disk that is full.
#[cfg(unix)]
mod full_disk {
    use std::path::Path;
    use std::process::Command;

    use crate::program::{
        Ran, assert_no_partial, clean, contents, files, good, sconce, trained, workplace,
    };

    /// Runs the program where no file may be longer than so many blocks of 512 bytes.
    fn limited(folder: &Path, blocks: u32, line: &str) -> anyhow::Result<Ran> {
        let mut shell = clean(Command::new("sh"), folder);
        // The signal that comes with the limit is ignored, so that the write fails instead.
        shell
            .arg("-c")
            .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_sconce"))
            .args(line.split_whitespace());
        Ok(Ran::of(&shell.output()?))
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_stops_training_and_spares_the_last() -> anyhow::Result<()> {
        let workplace = workplace()?;
        let folder = workplace.path();
        let line = "train run.toml --data data --output run --device cpu";
        good(folder, &format!("{line} --set train.epochs=1"))?;
        let checkpoint = folder.join("run/checkpoint.safetensors");
        let before = std::fs::read(&checkpoint)?;

        let full = limited(folder, 20, &format!("{line} --resume"))?;

        assert_eq!(full.code, Some(1), "{full:?}");
        let error = full.error();
        assert!(error.contains("checkpoint.safetensors") && error.contains("make room"), "{error}");
        assert!(std::fs::read(&checkpoint)? == before, "the checkpoint has changed");
        assert_no_partial(folder)?;
        good(folder, &format!("{line} --resume"))?;
        Ok(())
    }

    #[test]
    fn a_prediction_or_model_that_does_not_fit_leaves_nothing_half_written() -> anyhow::Result<()> {
        let workplace = trained()?;
        let folder = workplace.path();
        let line = "predict -m run -i data/case01/image.nii.gz -o out --probabilities --device cpu";
        let full = limited(folder, 1, line)?;
        assert_eq!(full.code, Some(1), "{full:?}");
        assert!(full.err.contains("out/image"), "{full:?}");
        assert_eq!(files(&folder.join("out"))?.len(), 0, "{full:?}");

        let before = contents(&folder.join("run"))?;
        let pack = limited(folder, 10, "zoo pack run --output model")?;
        assert_eq!(pack.code, Some(1), "{pack:?}");
        pack.error();
        assert!(contents(&folder.join("run"))? == before, "the run has changed");
        assert!(!folder.join("model").exists(), "half a model is there");

        let report = limited(folder, 1, "report run --output report.html")?;
        assert_eq!(report.code, Some(1), "{report:?}");
        assert!(report.error().contains("report.html"), "{report:?}");
        assert!(!folder.join("report.html").exists());
        assert_no_partial(folder)
    }

    #[test]
    fn output_that_cannot_be_written_is_a_failure() -> anyhow::Result<()> {
        let workplace = tempfile::tempdir()?;
        let folder = workplace.path();
        if !Path::new("/dev/full").exists() {
            return Ok(());
        }
        let mut shell = clean(Command::new("sh"), folder);
        shell.arg("-c").arg("exec \"$0\" models > /dev/full").arg(env!("CARGO_BIN_EXE_sconce"));

        let ran = Ran::of(&shell.output()?);

        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.error().contains("make room"), "{ran:?}");
        assert_eq!(sconce(folder, ["models"])?.code, Some(0));
        Ok(())
    }
}
