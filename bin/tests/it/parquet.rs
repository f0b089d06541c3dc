use std::fs;
use std::path::Path;

use crate::program::{RUN, command, sconce};

/// A Parquet file as the package `parquet` writes it: one column, `image`, of bytes, and one row, which
/// holds `case1`, in a page whose values are stored plainly.
const FILE: &[u8] = b"PAR1\x15\x00\x15\x1e\x15\x1e,\x15\x02\x15\x00\x15\x06\x15\x06\x00\x00\x02\
    \x00\x00\x00\x02\x01\x05\x00\x00\x00case1\x15\x02\x19,H\x06schema\x15\x02\x00\x15\x0c%\x02\
    \x18\x05image\x00\x16\x02\x19\x1c\x19\x1c&\x00\x1c\x15\x0c\x19%\x00\x06\x19\x18\x05image\
    \x15\x00\x16\x02\x16@\x16@&\x08I\x1c\x15\x00\x15\x00\x15\x02\x00\x00\x00\x16@\x16\x02&\x08\
    \x16@\x14\x00\x00(\x01x\x19\x1c\x1c\x00\x00\x00[\x00\x00\x00PAR1";

/// Where the page says how its values are stored, and what it says where they are numbers of a
/// dictionary: that this is not there makes the reader panic.
const ENCODING: (usize, u8) = (14, 4);

fn write(folder: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("set/data"))?;
    Ok(fs::write(folder.join("set/data/train-00000-of-00001.parquet"), bytes)?)
}

fn damaged() -> Vec<u8> {
    let mut bytes = FILE.to_vec();
    bytes[ENCODING.0] = ENCODING.1;
    bytes
}

#[test]
fn a_folder_of_the_hub_needs_no_layout() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write(folder.path(), FILE)?;

    let ran = sconce(folder.path(), ["dataset", "check", "set"])?;

    // The row is found, and is no picture.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("(train-00000-of-00001_000000, image): it is of no format"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn a_damaged_file_costs_one_line_though_its_reader_panics() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = place.path();
    write(folder, &damaged())?;
    let cause = "set/data/train-00000-of-00001.parquet: its pages make no sense; copy or export";

    let check = sconce(folder, ["dataset", "check", "set"])?;
    assert_eq!(check.err, "check cases: 1 to do\n", "{check:?}");
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.out.starts_with(&format!("error: cannot read {cause}")), "{check:?}");

    // Names are read when the folder is opened.
    let layout = "[data.parquet]\nid = \"image\"\n";
    let (start, rest) = RUN.split_once("[data.raters]\n").expect("the layout of the run file");
    fs::write(folder.join("run.toml"), format!("{start}{layout}{rest}"))?;
    let line = "train run.toml --data set --output run --device cpu";
    let train = sconce(folder, line.split(' '))?;
    assert_eq!(train.code, Some(1), "{train:?}");
    assert_eq!(train.err.lines().count(), 1, "{train:?}");
    assert!(train.error().starts_with(&format!("error: cannot read {cause}")), "{train:?}");

    // Who asks for it is shown the panic.
    let asked = command(folder).args(line.split(' ')).env("RUST_BACKTRACE", "1").output()?;
    let text = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(text.contains("panicked at") && text.contains("stack backtrace"), "{text}");
    Ok(())
}
