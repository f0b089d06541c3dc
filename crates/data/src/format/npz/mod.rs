//! NPZ: what nnU-Net saves with `--save_probabilities`, an archive with `probabilities`, `(C, D, H, W)`.
//! It does not say where its voxels lie: they are those of the image.

mod write;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use half::f16;
use ndarray::{Array4, Axis, Zip};
use zip::ZipArchive;

use super::decoded::{Decoded, Meta, Trouble, Voxel};

pub use self::write::write_npz;

/// Bytes that a byte of a deflate stream can stand for.
const RATIO: u64 = 1032;
/// The header of an array is shorter than this, bytes.
const HEADER: usize = 1 << 16;
/// How far a sum of probabilities in half precision may be from 1 and yet be meant to be 1.
const ROUNDING: f32 = 1e-2;
/// Values that are decoded at a time.
const CHUNK: usize = 1 << 16;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float16,
    Float32,
    Float64,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        match name {
            "<f2" => Some(Self::Float16),
            "<f4" => Some(Self::Float32),
            "<f8" => Some(Self::Float64),
            _ => None,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Float16 => 2,
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// The value of these bytes, the least significant first.
    fn value(self, bytes: [u8; 8]) -> f64 {
        let [a, b, c, d, ..] = bytes;
        match self {
            Self::Float16 => f16::from_le_bytes([a, b]).into(),
            Self::Float32 => f32::from_le_bytes([a, b, c, d]).into(),
            Self::Float64 => f64::from_le_bytes(bytes),
        }
    }
}

/// What the header of an array says.
struct Header {
    kind: Kind,
    /// `(C, D, H, W)`.
    shape: [usize; 4],
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 40, 56, 40), }`
    fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = |what: &str| Trouble::damaged(format!("its array's header states no {what}"));
        let after = |key: &str| -> Option<&str> {
            let rest = text.split_once(key)?.1;
            Some(rest.trim_start_matches(['\'', '"']).trim_start().strip_prefix(':')?.trim_start())
        };
        let name = after("descr").ok_or_else(|| wrong("type"))?;
        let name = name.trim_start_matches(['\'', '"']).split(['\'', '"']).next();
        let name = name.unwrap_or_default();
        let kind = Kind::of(name).ok_or_else(|| {
            Trouble::unsupported(
                format!("its values are of type {name}"),
                "save probabilities as float16, float32 or float64",
            )
        })?;
        if !after("fortran_order").is_some_and(|order| order.starts_with("False")) {
            return Err(Trouble::unsupported(
                "its array is in Fortran's order",
                "save it in C's order, numpy's default",
            ));
        }
        let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
        let (shape, _) = shape.ok_or_else(|| wrong("shape"))?;
        let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        let extents: Vec<usize> =
            extents.map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong("shape"))?;
        let shape = <[usize; 4]>::try_from(extents).map_err(|extents| {
            Trouble::unsupported(
                format!("its array has the shape {extents:?}, not (classes, z, y, x)"),
                "save class probabilities as nnU-Net does",
            )
        })?;
        Ok(Self { kind, shape })
    }

    fn meta(&self) -> Result<Meta, Trouble> {
        let [channels, size @ ..] = self.shape;
        let name = format!("{:?}", self.kind).to_lowercase();
        if channels == 0 {
            return Err(Trouble::damaged("it holds no class"));
        }
        Meta::picture(size, channels, name)
    }
}

/// The header of the probabilities, and what `run` makes of the values that follow.
fn with_array<T>(
    path: &Path,
    run: impl FnOnce(Header, &mut dyn std::io::Read, u64) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let file = File::open(path).map_err(Trouble::Io)?;
    let length = file.metadata().map_err(Trouble::Io)?.len();
    let mut archive = ZipArchive::new(file).map_err(Trouble::damaged)?;
    let names = archive.file_names().map(|name| name.map(std::borrow::Cow::into_owned));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(Trouble::damaged)?;
    // nnU-Net's first version has another name for them.
    let known = ["probabilities.npy", "softmax.npy"];
    let name = known.into_iter().find(|known| names.iter().any(|name| name == known));
    let Some(name) = name else {
        return Err(Trouble::unsupported(
            format!("it holds no array `probabilities`, but {}", names.join(", ")),
            "save it as nnU-Net does, with --save_probabilities",
        ));
    };
    let mut entry = archive.by_name(name).map_err(Trouble::damaged)?;
    let mut start = [0; 8];
    let cut = |_| Trouble::damaged("its array ends within the header");
    entry.read_exact(&mut start).map_err(cut)?;
    let [magic @ .., major, _] = start;
    if magic != *b"\x93NUMPY" {
        return Err(Trouble::damaged("its array is none of numpy's"));
    }
    let header = if major == 1 {
        let mut bytes = [0; 2];
        entry.read_exact(&mut bytes).map_err(cut)?;
        usize::from(u16::from_le_bytes(bytes))
    } else {
        let mut bytes = [0; 4];
        entry.read_exact(&mut bytes).map_err(cut)?;
        usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    };
    if header > HEADER {
        return Err(Trouble::damaged("its array's header is too long"));
    }
    let mut text = vec![0; header];
    entry.read_exact(&mut text).map_err(cut)?;
    let header = Header::parse(&String::from_utf8_lossy(&text))?;
    run(header, &mut entry, length.saturating_mul(RATIO))
}

pub(crate) fn meta(path: &Path) -> Result<Meta, Trouble> {
    with_array(path, |header, _, _| header.meta())
}

pub(crate) fn decode<V: Voxel>(path: &Path) -> Result<Decoded<V>, Trouble> {
    with_array(path, |header, values, most| {
        let meta = header.meta()?;
        let size = header.kind.size();
        let all = meta
            .grid
            .len()
            .checked_mul(meta.channels)
            .filter(|all| all.checked_mul(size).is_some_and(|bytes| bytes as u64 <= most));
        let all = all.ok_or_else(|| {
            Trouble::damaged("its header announces more values than the file can hold")
        })?;
        let mut data = Vec::new();
        let mut held = Vec::new();
        while data.len() < all {
            held.clear();
            let wanted = CHUNK.min(all - data.len()) * size;
            values.take(wanted as u64).read_to_end(&mut held).map_err(Trouble::damaged)?;
            if held.len() < wanted {
                return Err(Trouble::damaged(format!(
                    "it holds {} of the {all} values that its header announces",
                    data.len() + held.len() / size
                )));
            }
            for bytes in held.chunks_exact(size) {
                let mut padded = [0; 8];
                padded[..size].copy_from_slice(bytes);
                let value = header.kind.value(padded);
                let found = V::from_f64(value);
                data.push(found.ok_or_else(|| Trouble::not_label(&meta, data.len(), value))?);
            }
        }
        Ok(Decoded { meta, data })
    })
}

/// Lets the probabilities of each voxel `(C, D, H, W)` sum to 1 where the rounding of half precision alone
/// keeps them from it.
pub(super) fn normalize(probabilities: &mut Array4<f32>) {
    let sums = probabilities.sum_axis(Axis(0));
    for mut class in probabilities.axis_iter_mut(Axis(0)) {
        Zip::from(&mut class).and(&sums).for_each(|value, &sum| {
            if (sum - 1.0).abs() < ROUNDING {
                *value /= sum;
            }
        });
    }
}
