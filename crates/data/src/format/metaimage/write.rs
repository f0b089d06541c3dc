use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
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

/// Writes a file with the voxels in it, channels side by side: the same bytes for the same values.
fn write(path: &Path, grid: &Grid, channels: usize, values: &Stored<'_>) -> Result<()> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mhd")) {
        return Err(refuse(path, "a header without its voxels is not written".to_owned()));
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
    let written = values.write(channels, &mut BufWriter::new(&mut packed));
    let packed = written.and_then(|()| packed.finish()).map_err(Error::writing(path))?;

    let [d, h, w] = grid.size;
    let [z, y, x] = grid.spacing;
    // The axes' directions, one after the other, x first, in the space of ITK.
    let axis = |axis: usize| {
        let [r, a, s] = std::array::from_fn(|row| grid.direction[row][axis]);
        format!("{} {} {s}", -r, -a)
    };
    let [r, a, s] = grid.origin;
    let several = if channels > 1 {
        format!("ElementNumberOfChannels = {channels}\n")
    } else {
        String::new()
    };
    let header = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
         CompressedData = True\nCompressedDataSize = {}\nTransformMatrix = {} {} {}\n\
         Offset = {} {} {s}\nCenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\n\
         ElementSpacing = {x} {y} {z}\nDimSize = {w} {h} {d}\n{several}ElementType = {}\n\
         ElementDataFile = LOCAL\n",
        packed.len(),
        axis(2),
        axis(1),
        axis(0),
        -r,
        -a,
        values.met_type(),
    );
    replace(path, ".mha", |temporary| {
        let outcome = || {
            let mut file = File::create(temporary)?;
            file.write_all(header.as_bytes())?;
            file.write_all(&packed)
        };
        outcome().map_err(Error::writing(path))
    })
}
