//! MetaImage: `.mha`, and `.mhd` with its voxels in other files; raw, zlib or text.

mod write;

use std::path::{Path, PathBuf};

pub(crate) use self::write::{write_image, write_labels, write_soft_labels};

use super::axes::{of_vectors, on_grid};
use super::decoded::{Decoded, Meta, Trouble, Voxel};
use super::raw::{Kind, Packing, Skip, Volume, beside, header, numbers};

pub(crate) fn meta(path: &Path) -> Result<Meta, Trouble> {
    Ok(open(path)?.meta)
}

pub(crate) fn decode<V: Voxel>(path: &Path) -> Result<Decoded<V>, Trouble> {
    open(path)?.decode()
}

/// The fields of a header, the last of which says where the voxels are, and how many bytes it is long.
struct Fields {
    pairs: Vec<(String, String)>,
    length: u64,
}

impl Fields {
    fn read(path: &Path) -> Result<Self, Trouble> {
        let is_last = |line: &str| line.trim_start().starts_with("ElementDataFile");
        let (lines, length) = header(path, is_last)?;
        if !lines.last().is_some_and(|line| is_last(line)) {
            return Err(Trouble::damaged(
                "its header does not say where its voxels are (ElementDataFile)",
            ));
        }
        let field = |line: &String| {
            let (name, value) = line.split_once('=').ok_or_else(|| {
                Trouble::damaged(format!("\"{}\" is no field of a header", line.trim()))
            })?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        let lines = lines.iter().filter(|line| !line.trim().is_empty());
        Ok(Self { pairs: lines.map(field).collect::<Result<_, Trouble>>()?, length })
    }

    fn get(&self, names: &[&str]) -> Option<&str> {
        let found = self.pairs.iter().find(|(name, _)| names.contains(&&**name));
        found.map(|(_, value)| value.as_str())
    }

    fn is_true(&self, names: &[&str]) -> bool {
        self.get(names).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// Numbers of a field, as many as there should be; `None` where there is no such field.
    fn numbers(&self, names: &[&str], count: usize) -> Result<Option<Vec<f64>>, Trouble> {
        let Some(text) = self.get(names) else { return Ok(None) };
        let found: Vec<f64> = numbers(names[0], text)?;
        if found.len() != count || !found.iter().all(|number| number.is_finite()) {
            return Err(Trouble::damaged(format!("its {} are not {count} numbers", names[0])));
        }
        Ok(Some(found))
    }
}

/// What the header says, and where the voxels are.
fn open(path: &Path) -> Result<Volume, Trouble> {
    let fields = Fields::read(path)?;
    let rank: usize = fields.get(&["NDims"]).and_then(|text| text.parse().ok()).unwrap_or(0);
    let sizes: Vec<usize> = numbers("DimSize", fields.get(&["DimSize"]).unwrap_or(""))?;
    if !(2..=3).contains(&rank) || sizes.len() != rank || sizes.contains(&0) {
        return Err(Trouble::unsupported(
            format!("it has {rank} axes of {sizes:?} voxels"),
            "save a picture or a volume",
        ));
    }
    let kind = kind(fields.get(&["ElementType"]).unwrap_or(""))?;
    let channels: usize =
        fields.get(&["ElementNumberOfChannels"]).map_or(Ok(1), str::parse).unwrap_or(0);
    if channels == 0 {
        return Err(Trouble::damaged("its ElementNumberOfChannels is no number above 0"));
    }
    let (grid, notes) = {
        let spacing = match fields.numbers(&["ElementSpacing"], rank)? {
            None => fields.numbers(&["ElementSize"], rank)?,
            stated => stated,
        };
        let stated = spacing.is_some();
        let spacing = spacing.unwrap_or_else(|| vec![1.0; rank]);
        let names = ["TransformMatrix", "Orientation", "Rotation"];
        let matrix = fields.numbers(&names, rank * rank)?;
        let mut notes = Vec::new();
        if stated && rank == 3 && matrix.is_none() {
            notes.push(
                "there is no orientation in the header: left and right are a guess".to_owned(),
            );
        }
        // Row after row, the direction of one axis after the other.
        let vectors: Vec<Vec<f64>> = (0..rank)
            .map(|axis| {
                let along = |row: usize| match &matrix {
                    Some(matrix) => matrix[axis * rank + row],
                    None => f64::from(u8::from(row == axis)),
                };
                (0..rank).map(|row| along(row) * spacing[axis]).collect()
            })
            .collect();
        let origin = fields.numbers(&["Offset", "Position", "Origin"], rank)?.unwrap_or_default();
        let size = [sizes.get(2).copied().unwrap_or(1), sizes[1], sizes[0]];
        (on_grid(&of_vectors(&vectors, &origin, [-1.0, -1.0, 1.0]), size)?, notes)
    };
    let header_spacing = Some(grid.spacing);
    let voxel_type = kind.name();
    let meta =
        Meta { grid, channels, voxel_type, geometry: true, header_spacing, notes, sparse: false };
    let packing = if fields.is_true(&["CompressedData"]) {
        Packing::Zlib
    } else if fields.get(&["BinaryData"]).is_none_or(|text| text.eq_ignore_ascii_case("true")) {
        Packing::Raw
    } else {
        Packing::Text
    };
    let big_endian = fields.is_true(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"]);
    let place = fields.get(&["ElementDataFile"]).unwrap_or("");
    let local = matches!(place, "LOCAL" | "Local" | "local");
    let skip = match fields.get(&["HeaderSize"]).map_or(Ok(0), str::parse::<i64>) {
        Ok(-1) => Skip::All,
        Ok(bytes) => Skip::Before {
            start: if local { fields.length } else { u64::try_from(bytes).unwrap_or(0) },
            lines: 0,
            bytes: 0,
        },
        Err(_) => return Err(Trouble::damaged("its HeaderSize is no number")),
    };
    let files = files(path, place, local)?;
    Ok(Volume { meta, kind, big_endian, packing, run: 1, files, skip })
}

fn kind(text: &str) -> Result<Kind, Trouble> {
    Ok(match text {
        "MET_CHAR" => Kind::Int8,
        "MET_UCHAR" => Kind::Uint8,
        "MET_SHORT" => Kind::Int16,
        "MET_USHORT" => Kind::Uint16,
        "MET_INT" | "MET_LONG" => Kind::Int32,
        "MET_UINT" | "MET_ULONG" => Kind::Uint32,
        "MET_LONG_LONG" => Kind::Int64,
        "MET_ULONG_LONG" => Kind::Uint64,
        "MET_FLOAT" => Kind::Float32,
        "MET_DOUBLE" => Kind::Float64,
        other => {
            let cause = format!("voxels of type \"{other}\" are not read");
            return Err(Trouble::unsupported(cause, "save numbers"));
        }
    })
}

/// The files with the voxels: the file itself, one beside it, or several.
fn files(path: &Path, place: &str, local: bool) -> Result<Vec<PathBuf>, Trouble> {
    if local {
        return Ok(vec![path.to_owned()]);
    }
    if place.starts_with("LIST") || place.contains('%') {
        return Err(Trouble::unsupported(
            format!("its voxels are in several files ({place})"),
            "save it as one .mha file",
        ));
    }
    Ok(vec![beside(path, place)?])
}
