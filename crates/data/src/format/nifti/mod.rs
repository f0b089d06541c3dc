//! NIfTI-1 and NIfTI-2: `.nii`, `.nii.gz` and the pair `.hdr` with `.img`, compressed or not.
//!
//! The package `nifti` parses headers of NIfTI-1, decodes voxels and writes. Before it sees a
//! byte, the header is judged here: no memory is asked for that the file's length does not
//! justify, and voxels stream into the one array that stays.

mod affine;
mod header;
mod source;
mod write;

use std::path::{Path, PathBuf};

use nifti::{DataElement, NiftiType};

pub(crate) use self::write::{write_image, write_labels, write_soft_labels};

use self::header::Header;
use self::source::Source;
use super::decoded::{Decoded, Meta, Trouble, Voxel};

/// Voxels that are decoded at a time.
const CHUNK: usize = 1 << 16;

/// Whether the content, decompressed where it has to be, starts as a header does.
pub(crate) fn has_content(path: &Path) -> bool {
    Source::open(path).is_ok_and(|source| Header::read(source).is_ok())
}

/// What the header says.
pub(crate) fn meta(path: &Path) -> Result<Meta, Trouble> {
    let (header, ..) = open(path)?;
    describe(&header)
}

/// The voxels: axis x runs fastest in the file, as the last axis does in our arrays, so that the
/// order of values is the same. All axes after the third, in the file's order, are channels.
pub(crate) fn decode<V: Voxel>(path: &Path) -> Result<Decoded<V>, Trouble> {
    let (header, mut source, position) = open(path)?;
    let meta = describe(&header)?;
    let samples = samples(header.voxel_type);
    let values = meta.grid.len().checked_mul(meta.channels);
    let bytes = values
        .and_then(|values| values.checked_mul(header.voxel_type.size_of()))
        .map(|bytes| (bytes / samples) as u64);
    let (values, bytes) = values.zip(bytes).ok_or_else(|| too_short(u64::MAX, 0))?;

    let skipped = header.vox_offset.saturating_sub(position);
    let available = source.bound.saturating_sub(header.vox_offset);
    if bytes > available {
        return Err(too_short(bytes, available));
    }
    source.skip(skipped)?;
    // What a compressed file promises is believed only up to a usual ratio, then as it comes.
    let room = values.min(usize::try_from(source.length.saturating_mul(8)).unwrap_or(usize::MAX));
    let mut sink = Sink { data: Vec::with_capacity(room), meta: &meta, scale: header.scale };
    match header.voxel_type {
        NiftiType::Uint8 => sink.take(&mut source, &header, values, <f64 as From<u8>>::from)?,
        NiftiType::Int8 => sink.take(&mut source, &header, values, <f64 as From<i8>>::from)?,
        NiftiType::Uint16 => sink.take(&mut source, &header, values, <f64 as From<u16>>::from)?,
        NiftiType::Int16 => sink.take(&mut source, &header, values, <f64 as From<i16>>::from)?,
        NiftiType::Uint32 => sink.take(&mut source, &header, values, <f64 as From<u32>>::from)?,
        NiftiType::Int32 => sink.take(&mut source, &header, values, <f64 as From<i32>>::from)?,
        NiftiType::Uint64 => sink.take(&mut source, &header, values, |value: u64| value as f64)?,
        NiftiType::Int64 => sink.take(&mut source, &header, values, |value: i64| value as f64)?,
        NiftiType::Float32 => sink.take(&mut source, &header, values, <f64 as From<f32>>::from)?,
        NiftiType::Float64 => sink.take(&mut source, &header, values, |value: f64| value)?,
        // Colours lie side by side, volume by volume; the standard scales none.
        NiftiType::Rgb24 | NiftiType::Rgba32 => {
            sink.scale = None;
            for _ in 0..meta.channels / samples {
                sink.take_colours(&mut source, &header, samples)?;
            }
        }
        other => unreachable!("{other:?} is refused with the header"),
    }
    let data = sink.data;
    source.finish()?;
    Ok(Decoded { meta, data })
}

fn too_short(bytes: u64, available: u64) -> Trouble {
    Trouble::Damaged(format!(
        "its header announces {bytes} bytes of voxels, but the file can hold {available} at most"
    ))
}

/// Colour components in a voxel.
fn samples(voxel_type: NiftiType) -> usize {
    match voxel_type {
        NiftiType::Rgb24 => 3,
        NiftiType::Rgba32 => 4,
        _ => 1,
    }
}

fn describe(header: &Header) -> Result<Meta, Trouble> {
    let (grid, header_spacing, mut notes) = affine::grid(header)?;
    notes.splice(0..0, header.notes.iter().cloned());
    let more = header.dims.get(3..).unwrap_or_default();
    let product = more
        .iter()
        .try_fold(samples(header.voxel_type), |product, &extent| product.checked_mul(extent));
    let channels = product.ok_or_else(|| too_short(u64::MAX, 0))?;
    if more.iter().filter(|&&extent| extent > 1).count() > 1 {
        notes.push(format!("axes of {more:?} beyond the third became {channels} channels"));
    }
    let voxel_type = match header.voxel_type {
        NiftiType::Rgb24 => "rgb24".to_owned(),
        NiftiType::Rgba32 => "rgba32".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let header_spacing = Some(header_spacing);
    Ok(Meta { grid, channels, voxel_type, geometry: true, header_spacing, notes, sparse: false })
}

/// Where voxels go, as intensities or labels.
struct Sink<'a, V> {
    data: Vec<V>,
    meta: &'a Meta,
    scale: Option<(f64, f64)>,
}

impl<V: Voxel> Sink<'_, V> {
    fn push(&mut self, stored: f64) -> Result<(), Trouble> {
        let value = self.scale.map_or(stored, |(slope, inter)| stored * slope + inter);
        let index = self.data.len();
        let voxel =
            V::from_f64(value).ok_or_else(|| Trouble::not_label(self.meta, index, value))?;
        self.data.push(voxel);
        Ok(())
    }

    /// Reads `count` values of type `T`, a portion at a time.
    fn take<T: DataElement>(
        &mut self,
        source: &mut Source,
        header: &Header,
        count: usize,
        widen: impl Fn(T) -> f64,
    ) -> Result<(), Trouble> {
        let size = size_of::<T>();
        let mut left = count;
        while left > 0 {
            let portion = left.min(CHUNK);
            let bytes = read(source, portion * size, || {
                format!("the file ends after {} of {count} values", count - left)
            })?;
            let values = T::from_raw_vec(bytes, header.endianness).map_err(Trouble::damaged)?;
            for value in values {
                self.push(widen(value))?;
            }
            left -= portion;
        }
        Ok(())
    }

    /// Reads one volume of colours, whose components lie side by side.
    fn take_colours(
        &mut self,
        source: &mut Source,
        header: &Header,
        samples: usize,
    ) -> Result<(), Trouble> {
        let mut colours = Sink { data: Vec::<f32>::new(), meta: self.meta, scale: None };
        let count = self.meta.grid.len() * samples;
        colours.take(source, header, count, <f64 as From<u8>>::from)?;
        for sample in 0..samples {
            for value in colours.data.iter().skip(sample).step_by(samples) {
                self.push(f64::from(*value))?;
            }
        }
        Ok(())
    }
}

fn read(source: &mut Source, count: usize, short: impl Fn() -> String) -> Result<Vec<u8>, Trouble> {
    use std::io::Read as _;

    let mut bytes = Vec::with_capacity(count);
    source.take(count as u64).read_to_end(&mut bytes).map_err(source::trouble)?;
    if bytes.len() < count { Err(Trouble::Damaged(short())) } else { Ok(bytes) }
}

/// The header of a file, the file that holds the voxels, and how far that has been read.
fn open(path: &Path) -> Result<(Header, Source, u64), Trouble> {
    let header_path = header_of_pair(path);
    let mut source = Source::open(&header_path)?;
    let (header, length) = Header::read(&mut source)?;
    if !header.pair {
        return Ok((header, source, length));
    }
    let candidates = images_of_pair(&header_path);
    let Some(image) = candidates.iter().find(|candidate| candidate.is_file()) else {
        return Err(Trouble::unsupported(
            format!("its voxels should be in {}, which is not there", candidates[0].display()),
            "put the two files side by side",
        ));
    };
    Ok((header, Source::open(image)?, 0))
}

/// A user may name either file of a pair.
fn header_of_pair(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    if let Some(stem) = stem.strip_suffix(".img") {
        for ending in [".hdr", ".hdr.gz"] {
            let header = PathBuf::from(format!("{stem}{ending}"));
            if header.is_file() {
                return header;
            }
        }
    }
    path.to_owned()
}

fn images_of_pair(header: &Path) -> [PathBuf; 2] {
    let name = header.to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.strip_suffix(".hdr").or_else(|| stem.strip_suffix(".nii")).unwrap_or(stem);
    [format!("{stem}.img"), format!("{stem}.img.gz")].map(PathBuf::from)
}
