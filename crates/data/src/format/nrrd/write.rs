use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use volume::{Grid, Image, LabelMap, SoftLabelMap};

use crate::format::replace::replace;
use crate::format::stored::{LEVEL, Stored};
use crate::format::write::refuse;
use crate::{Error, Result};

pub(crate) fn write_labels(path: &Path, labels: &LabelMap) -> Result<()> {
    write(path, &labels.grid, 1, &Stored::labels(labels))
}

pub(crate) fn write_image(path: &Path, image: &Image) -> Result<()> {
    write(path, &image.grid, image.channels(), &Stored::image(image))
}

pub(crate) fn write_soft_labels(path: &Path, labels: &SoftLabelMap) -> Result<()> {
    write(path, &labels.grid, labels.classes(), &Stored::probabilities(labels))
}

/// Writes a file with the voxels in it, one channel after the other: the same bytes for the same values.
fn write(path: &Path, grid: &Grid, channels: usize, values: &Stored<'_>) -> Result<()> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("nhdr")) {
        return Err(refuse(path, "a header without its voxels is not written".to_owned()));
    }
    let [d, h, w] = grid.size;
    let several = channels > 1;
    let vector = |axis: usize| {
        let along = |row: usize| grid.direction[row][axis] * grid.spacing[axis];
        format!("({},{},{})", -along(0), -along(1), along(2))
    };
    let [r, a, s] = grid.origin;
    let header = format!(
        "NRRD0004\n# Complete NRRD file format specification at:\n\
         # http://teem.sourceforge.net/nrrd/format.html\n\
         type: {}\ndimension: {}\nspace: left-posterior-superior\nsizes: {w} {h} {d}{}\n\
         space directions: {} {} {}{}\nkinds: domain domain domain{}\nendian: little\n\
         encoding: gzip\nspace origin: ({},{},{s})\n\n",
        values.nrrd_type(),
        if several { 4 } else { 3 },
        if several { format!(" {channels}") } else { String::new() },
        vector(2),
        vector(1),
        vector(0),
        if several { " none" } else { "" },
        if several { " list" } else { "" },
        -r,
        -a,
    );
    replace(path, ".nrrd", |temporary| {
        let outcome = || -> std::io::Result<()> {
            let mut file = File::create(temporary)?;
            file.write_all(header.as_bytes())?;
            let mut packed = BufWriter::new(GzEncoder::new(file, Compression::new(LEVEL)));
            values.write(1, &mut packed)?;
            packed.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()?;
            Ok(())
        };
        outcome().map_err(Error::writing(path))
    })
}
