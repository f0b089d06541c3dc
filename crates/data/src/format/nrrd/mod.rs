//! NRRD: `.nrrd`, and `.nhdr` with its voxels in other files; raw, gzip or text.
//!
//! Axes of space become ours, the one axis that is not of space, wherever it comes, becomes channels.

mod write;

use std::path::{Path, PathBuf};

use volume::Grid;

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

/// The fields of a header, by their names in lower case, and how many bytes it is long.
struct Fields {
    pairs: Vec<(String, String)>,
    /// Files of a list, which follows the header.
    list: Vec<String>,
    length: u64,
}

impl Fields {
    fn read(path: &Path) -> Result<Self, Trouble> {
        let mut listing = false;
        let (lines, length) = header(path, str::is_empty)?;
        let ended = lines.last().is_some_and(String::is_empty);
        let mut fields = Self { pairs: Vec::new(), list: Vec::new(), length };
        for line in lines.iter().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if listing {
                fields.list.push(line.trim().to_owned());
            } else if let Some((name, value)) = line.split_once(": ") {
                let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
                listing = matches!(&*name, "data file" | "datafile") && value.starts_with("LIST");
                fields.pairs.push((name, value));
            } else if !line.contains(":=") {
                return Err(Trouble::damaged(format!("\"{line}\" is no field of a header")));
            }
        }
        if !ended && fields.get(&["data file", "datafile"]).is_none() {
            return Err(Trouble::damaged("its header has no end"));
        }
        Ok(fields)
    }

    fn get(&self, names: &[&str]) -> Option<&str> {
        let found = self.pairs.iter().find(|(name, _)| names.contains(&&**name));
        found.map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> Result<&str, Trouble> {
        self.get(&[name])
            .ok_or_else(|| Trouble::damaged(format!("its header has no field \"{name}\"")))
    }

    fn number(&self, names: &[&str]) -> Result<i64, Trouble> {
        let text = self.get(names).unwrap_or("0");
        text.parse()
            .map_err(|_| Trouble::damaged(format!("\"{text}\" is no number of {}", names[0])))
    }
}

/// What the header says, and where the voxels are.
fn open(path: &Path) -> Result<Volume, Trouble> {
    let fields = Fields::read(path)?;
    let kind = kind(fields.need("type")?)?;
    let sizes: Vec<usize> = numbers("sizes", fields.need("sizes")?)?;
    let rank: usize = fields.need("dimension")?.parse().unwrap_or(0);
    if sizes.len() != rank || rank == 0 || sizes.contains(&0) {
        return Err(Trouble::damaged(format!("its sizes {sizes:?} are not those of {rank} axes")));
    }
    let vectors = vectors(&fields, rank)?;
    let spatial: Vec<usize> = spatial(&fields, &vectors, &sizes)?;
    let (meta, run) = describe(&fields, kind, &sizes, &spatial, vectors)?;
    let packing = match fields.need("encoding")?.to_ascii_lowercase().as_str() {
        "raw" => Packing::Raw,
        "gzip" | "gz" => Packing::Gzip,
        "text" | "txt" | "ascii" => Packing::Text,
        other => {
            let cause = format!("its encoding is \"{other}\"");
            return Err(Trouble::unsupported(cause, "save it with gzip, or raw"));
        }
    };
    let big_endian = match fields.get(&["endian"]).map(str::to_ascii_lowercase).as_deref() {
        Some("big") => true,
        Some("little") => false,
        None if packing == Packing::Text || matches!(kind, Kind::Int8 | Kind::Uint8) => false,
        _ => {
            return Err(Trouble::damaged(
                "it does not say which byte of a value comes first (endian)",
            ));
        }
    };
    let files = files(path, &fields)?;
    let detached = fields.get(&["data file", "datafile"]).is_some();
    let lines = u64::try_from(fields.number(&["line skip", "lineskip"])?).unwrap_or(0);
    let skip = match fields.number(&["byte skip", "byteskip"])? {
        -1 if packing == Packing::Raw => Skip::All,
        bytes => Skip::Before {
            start: if detached { 0 } else { fields.length },
            lines,
            bytes: u64::try_from(bytes)
                .map_err(|_| Trouble::damaged("its byte skip is negative"))?,
        },
    };
    Ok(Volume { meta, kind, big_endian, packing, run, files, skip })
}

fn kind(text: &str) -> Result<Kind, Trouble> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "signed char" | "int8" | "int8_t" => Kind::Int8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Kind::Uint8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
            Kind::Int16
        }
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Kind::Uint16,
        "int" | "signed int" | "int32" | "int32_t" => Kind::Int32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Kind::Uint32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Kind::Int64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            Kind::Uint64
        }
        "float" => Kind::Float32,
        "double" => Kind::Float64,
        other => {
            let cause = format!("voxels of type \"{other}\" are not read");
            return Err(Trouble::unsupported(cause, "save numbers"));
        }
    })
}

/// The vector of each axis, `None` where it is not one of space.
fn vectors(fields: &Fields, rank: usize) -> Result<Vec<Option<Vec<f64>>>, Trouble> {
    let Some(text) = fields.get(&["space directions"]) else {
        return Ok(vec![None; rank]);
    };
    let mut vectors = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            vectors.push(None);
            rest = after.trim_start();
        } else {
            let (vector, after) = vector("space directions", rest)?;
            vectors.push(Some(vector));
            rest = after;
        }
    }
    if vectors.len() != rank {
        return Err(Trouble::damaged(format!("its space directions are not those of {rank} axes")));
    }
    Ok(vectors)
}

/// A vector in brackets, and what follows it.
fn vector<'a>(field: &str, text: &'a str) -> Result<(Vec<f64>, &'a str), Trouble> {
    let inside = text.strip_prefix('(').and_then(|text| text.split_once(')'));
    let (inside, after) =
        inside.ok_or_else(|| Trouble::damaged(format!("\"{text}\" in {field} is no vector")))?;
    let vector = numbers(field, &inside.replace(',', " "))?;
    if vector.iter().any(|component: &f64| !component.is_finite()) {
        return Err(Trouble::damaged(format!("\"{text}\" in {field} is no vector")));
    }
    Ok((vector, after.trim_start()))
}

/// Which axes are those of space: those with a vector, or a kind that says so; else the last three.
fn spatial(
    fields: &Fields,
    vectors: &[Option<Vec<f64>>],
    sizes: &[usize],
) -> Result<Vec<usize>, Trouble> {
    let all = 0..vectors.len();
    let mut axes: Vec<usize> = all.clone().filter(|&axis| vectors[axis].is_some()).collect();
    if axes.is_empty() {
        let kinds: Vec<&str> = fields.get(&["kinds"]).unwrap_or("").split_whitespace().collect();
        let is_space = |axis: &usize| matches!(kinds.get(*axis), Some(&("domain" | "space")));
        axes = all.clone().filter(is_space).collect();
    }
    if axes.is_empty() {
        axes = all.clone().skip(vectors.len().saturating_sub(3)).collect();
    }
    let others: Vec<usize> = all.filter(|axis| !axes.contains(axis)).collect();
    let wide = others.iter().filter(|&&axis| sizes[axis] > 1).count();
    if !(2..=3).contains(&axes.len()) || wide > 1 {
        return Err(Trouble::unsupported(
            format!("of its {} axes {} are of space", sizes.len(), axes.len()),
            "save a volume, or a volume with several channels",
        ));
    }
    Ok(axes)
}

/// What the header says of voxels, and how many of a channel follow one another.
fn describe(
    fields: &Fields,
    kind: Kind,
    sizes: &[usize],
    spatial: &[usize],
    vectors: Vec<Option<Vec<f64>>>,
) -> Result<(Meta, usize), Trouble> {
    let mut notes = Vec::new();
    let extent = |axis: usize| spatial.get(axis).map_or(1, |&axis| sizes[axis]);
    let size = [extent(2), extent(1), extent(0)];
    let other = (0..sizes.len()).find(|axis| !spatial.contains(axis) && sizes[*axis] > 1);
    let channels = other.map_or(1, |axis| sizes[axis]);
    let mut before = sizes[..other.unwrap_or(0)].iter();
    let run = before.try_fold(1, |product: usize, &size| product.checked_mul(size));
    let run = run.ok_or_else(|| Trouble::damaged("its sizes are beyond any memory"))?;

    let known: Vec<Vec<f64>> = vectors.into_iter().flatten().collect();
    let spacings =
        fields.get(&["spacings"]).map(|text| numbers::<f64>("spacings", text)).transpose()?;
    let grid = if known.is_empty() {
        let spacing = |axis: usize| -> f64 {
            let own = spatial.get(axis).and_then(|&axis| spacings.as_ref()?.get(axis).copied());
            own.filter(|mm| mm.is_finite() && *mm > 0.0).unwrap_or(1.0)
        };
        if spacings.is_some() {
            notes.push(
                "there is no orientation in the header: left and right are a guess".to_owned(),
            );
        }
        let straight: Vec<Vec<f64>> = (0..3)
            .map(|axis| (0..3).map(|row| if row == axis { spacing(axis) } else { 0.0 }).collect())
            .collect();
        on_grid(&of_vectors(&straight, &[], [-1.0, -1.0, 1.0]), size)?
    } else {
        let origin =
            fields.get(&["space origin"]).map(|text| vector("space origin", text)).transpose()?;
        let origin = origin.map(|(origin, _)| origin).unwrap_or_default();
        on_grid(&of_vectors(&known, &origin, towards(fields, &mut notes)), size)?
    };
    let geometry = !known.is_empty() || spacings.is_some();
    let voxel_type = kind.name();
    let header_spacing = geometry.then_some(grid.spacing);
    let grid: Grid = grid;
    Ok((Meta { grid, channels, voxel_type, geometry, header_spacing, notes, sparse: false }, run))
}

/// Whether each axis of the file's space runs with ours, which are R, A and S.
fn towards(fields: &Fields, notes: &mut Vec<String>) -> [f64; 3] {
    let space = fields.get(&["space"]).unwrap_or("").to_ascii_lowercase();
    match space.trim_end_matches("-time").trim_end_matches('t') {
        "right-anterior-superior" | "ras" => [1.0, 1.0, 1.0],
        "left-anterior-superior" | "las" => [-1.0, 1.0, 1.0],
        "left-posterior-superior" | "lps" => [-1.0, -1.0, 1.0],
        _ => {
            notes.push(
                "its space is not the patient's: it is read as left-posterior-superior".to_owned(),
            );
            [-1.0, -1.0, 1.0]
        }
    }
}

/// The files with the voxels: the file itself, one beside it, or several.
fn files(path: &Path, fields: &Fields) -> Result<Vec<PathBuf>, Trouble> {
    match fields.get(&["data file", "datafile"]) {
        None => Ok(vec![path.to_owned()]),
        Some(text) if text.starts_with("LIST") => {
            fields.list.iter().map(|name| beside(path, name)).collect()
        }
        Some(name) if name.contains('%') => Err(Trouble::unsupported(
            format!("its voxels are in files numbered as \"{name}\""),
            "save it as one .nrrd file",
        )),
        Some(name) => Ok(vec![beside(path, name)?]),
    }
}
