//! What headers say of a patient goes nowhere.

mod planted;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use ndarray::{Array3, Array4};
use sconce::data::{read_image, write_label_map};
use sconce::volume::{Grid, Image, LabelMap};

use self::planted::NAME;
use crate::program::{RUN, contents, sconce};

/// Every format that has a field for text, by the ending of its files.
const FORMATS: [&str; 8] = ["nii", "nrrd", "mha", "png", "jpg", "tif", "gif", "dcm"];

/// A bright disc on a dark ground, at a place of its own for each case.
fn disc(case: usize) -> anyhow::Result<(Image, Array3<u16>)> {
    let center = [16.0 + 2.0 * case as f64, 20.0];
    let inside =
        |(_, y, x): (usize, usize, usize)| (y as f64 - center[0]).hypot(x as f64 - center[1]) < 9.0;
    let labels = Array3::from_shape_fn([1, 40, 40], |at| u16::from(inside(at)));
    let values = Array4::from_shape_fn([1, 1, 40, 40], |(_, z, y, x)| {
        let base = if inside((z, y, x)) { 160.0 } else { 40.0 };
        base + ((7 * y + 3 * x + case) % 11) as f32
    });
    Ok((Image::new(Grid::new([1, 40, 40], [1.0; 3])?, values)?, labels))
}

/// A data set whose images all bear the name.
fn write(folder: &Path, extension: &str) -> anyhow::Result<()> {
    for part in ["images", "labels"] {
        fs::create_dir_all(folder.join("data").join(part))?;
    }
    for case in 0..4 {
        let (image, labels) = disc(case)?;
        let path = folder.join(format!("data/images/case{case}.{extension}"));
        planted::write(&path, extension, &image)?;
        // Pictures lose where they lie.
        let map = LabelMap::new(read_image(&path)?.grid, labels)?;
        write_label_map(folder.join(format!("data/labels/case{case}.nii.gz")), &map)?;
    }
    let classes = RUN.find("classes = [").expect("the run file names classes");
    let (_, rest) = RUN[classes..].split_once("]\n\n").expect("other tables");
    let data = format!("[data.pairs]\nimage = \"images/{{id}}.{extension}\"\n");
    let head = "schema = 1\nseed = 3\n\n";
    let one = rest.replace("fusion = \"mean\"", "fusion = \"majority\"");
    fs::write(folder.join("run.toml"), format!("{head}{data}\n{one}"))?;
    Ok(())
}

/// Whether a file says the name, packed or not.
fn says(bytes: &[u8]) -> bool {
    let mut plain = Vec::new();
    let unpacked = bytes.starts_with(&[0x1f, 0x8b])
        && flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).is_ok();
    let bytes = if unpacked { &plain } else { bytes };
    // The family name, in the order of any byte.
    let family = NAME.split('^').next().unwrap_or(NAME).as_bytes();
    bytes.windows(family.len()).any(|part| part.eq_ignore_ascii_case(family))
}

#[test]
fn a_name_in_a_header_is_in_no_report_model_log_or_prediction() -> anyhow::Result<()> {
    for extension in FORMATS {
        let workplace = tempfile::tempdir()?;
        let folder = workplace.path();
        write(folder, extension)?;
        fs::create_dir(folder.join("out"))?;
        let image = format!("data/images/case0.{extension}");
        assert!(says(&fs::read(folder.join(&image))?), "{extension}: nothing is planted");

        for line in [
            "dataset check data --run run.toml".to_owned(),
            "dataset summary data --run run.toml --html out/data.html".to_owned(),
            "dataset convert data out/raw --run run.toml --to nnunet_raw".to_owned(),
            "train run.toml --data data --output out/run --device cpu --cache out/cache".to_owned(),
            "report out/run --output out/report.html".to_owned(),
            "zoo pack out/run --output out/model".to_owned(),
            // A DICOM segmentation is of a patient by what it is; any other file is not.
            format!(
                "predict -m out/model -i {image} -o out/predicted --probabilities --file-ending .nii.gz"
            ),
            "zoo export onnx out/model -o out/model.onnx".to_owned(),
            "evaluate -m out/run --data data -o out/scores".to_owned(),
        ] {
            let ran = sconce(folder, line.split_whitespace())?;
            assert_eq!(ran.code, Some(0), "{extension}: {line}: {ran:?}");
            assert!(!says(ran.out.as_bytes()) && !says(ran.err.as_bytes()), "{line}: {ran:?}");
        }

        let written = contents(&folder.join("out"))?;
        assert!(written.len() > 20, "{written:?}");
        for (path, bytes) in written {
            assert!(!says(&bytes), "{extension}: {} says who was looked at", path.display());
        }
    }
    Ok(())
}
