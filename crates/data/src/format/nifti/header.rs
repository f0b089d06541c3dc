use std::io::Read;

use nifti::{Endianness, NiftiHeader, NiftiType};

use crate::format::decoded::Trouble;

/// The fields of a NIfTI-1 or NIfTI-2 header that are used, checked and widened.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Extents of all axes in use, the fastest (x) first: one to seven, each at least 1.
    pub(super) dims: Vec<usize>,
    pub(super) voxel_type: NiftiType,
    pub(super) endianness: Endianness,
    /// `pixdim`, in the units of the file: the first entry is the handedness of the qform.
    pub(super) pixdim: [f64; 8],
    /// Where the voxels start in their file.
    pub(super) vox_offset: u64,
    /// Slope and intercept, where the file scales its values.
    pub(super) scale: Option<(f64, f64)>,
    pub(super) qform: Option<Qform>,
    pub(super) sform: Option<[[f64; 4]; 3]>,
    /// Millimetres in a unit of length of this file.
    pub(super) millimetres: f64,
    /// Whether the voxels are in a second file, `.img`.
    pub(super) pair: bool,
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Qform {
    /// `b`, `c`, `d` of a unit quaternion.
    pub(super) quaternion: [f64; 3],
    pub(super) offset: [f64; 3],
}

/// The fields as a file states them, before they are judged; those of NIfTI-1 fit as well.
struct Raw {
    dim: [i64; 8],
    datatype: i16,
    bitpix: i16,
    pixdim: [f64; 8],
    vox_offset: f64,
    slope: f64,
    inter: f64,
    intent_code: i32,
    qform_code: i32,
    sform_code: i32,
    quaternion: [f64; 3],
    offset: [f64; 3],
    rows: [[f64; 4]; 3],
    units: i32,
    pair: bool,
    endianness: Endianness,
    length: u64,
}

/// The lengths of the two headers, which are also their first field.
const NIFTI_1: usize = 348;
const NIFTI_2: usize = 540;

const CONVERT: &str = "convert it to NIfTI-1, for instance with `nib-convert`";

impl Header {
    /// Reads a header, and leaves `input` right behind it: the number of bytes read comes back.
    pub(super) fn read(mut input: impl Read) -> Result<(Self, u64), Trouble> {
        let mut bytes = [0; NIFTI_2];
        fill(&mut input, &mut bytes[..NIFTI_1], 0)?;
        let (length, endianness) = version(&bytes[..4])?;
        let raw = if length == NIFTI_1 {
            first(&bytes[..NIFTI_1], endianness)?
        } else {
            fill(&mut input, &mut bytes[NIFTI_1..], NIFTI_1)?;
            second(&bytes, endianness)?
        };
        Ok((raw.judge()?, length as u64))
    }
}

/// Fills `bytes`, or says how many were there.
fn fill(input: &mut impl Read, bytes: &mut [u8], before: usize) -> Result<(), Trouble> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) if before + filled == 0 => return Err(Trouble::damaged("the file is empty")),
            Ok(0) => {
                return Err(Trouble::Damaged(format!(
                    "the file ends within its header, after {} of {} bytes",
                    before + filled,
                    before + bytes.len()
                )));
            }
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(super::source::trouble(error)),
        }
    }
    Ok(())
}

fn version(size: &[u8]) -> Result<(usize, Endianness), Trouble> {
    let size: [u8; 4] = size.try_into().expect("four bytes");
    let (little, big) = (i32::from_le_bytes(size), i32::from_be_bytes(size));
    for length in [NIFTI_1, NIFTI_2] {
        if usize::try_from(little) == Ok(length) {
            return Ok((length, Endianness::Little));
        }
        if usize::try_from(big) == Ok(length) {
            return Ok((length, Endianness::Big));
        }
    }
    Err(Trouble::unsupported(
        format!("it is no NIfTI file (a header of {little} bytes, not 348 or 540)"),
        "check what kind of file it is",
    ))
}

/// NIfTI-1, by the `nifti` package, once it is certain that it will not misread the byte order.
fn first(bytes: &[u8], endianness: Endianness) -> Result<Raw, Trouble> {
    let magic = &bytes[344..348];
    let pair = match magic {
        b"n+1\0" => false,
        b"ni1\0" => true,
        [0, ..] => {
            return Err(Trouble::unsupported(
                "it is an Analyze 7.5 header, which does not say where left and right are",
                CONVERT,
            ));
        }
        _ => {
            return Err(Trouble::damaged(format!(
                "its magic bytes are \"{}\", not n+1 or ni1",
                magic.escape_ascii()
            )));
        }
    };
    let short = |at: usize| {
        let bytes = [bytes[at], bytes[at + 1]];
        i64::from(match endianness {
            Endianness::Little => i16::from_le_bytes(bytes),
            Endianness::Big => i16::from_be_bytes(bytes),
        })
    };
    let dim: [i64; 8] = std::array::from_fn(|axis| short(40 + 2 * axis));
    // The package tells the byte order by dim[0], so that must be sound first.
    rank(dim[0])?;
    let header = NiftiHeader::from_reader(bytes).map_err(Trouble::damaged)?;
    let [a, b, c] = [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from));
    Ok(Raw {
        dim,
        datatype: header.datatype,
        bitpix: header.bitpix,
        pixdim: header.pixdim.map(f64::from),
        vox_offset: f64::from(header.vox_offset),
        slope: f64::from(header.scl_slope),
        inter: f64::from(header.scl_inter),
        intent_code: i32::from(header.intent_code),
        qform_code: i32::from(header.qform_code),
        sform_code: i32::from(header.sform_code),
        quaternion: [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
        offset: [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from),
        rows: [a, b, c],
        units: i32::from(header.xyzt_units),
        pair,
        endianness,
        length: NIFTI_1 as u64,
    })
}

/// NIfTI-2, which the `nifti` package does not read.
fn second(bytes: &[u8; NIFTI_2], endianness: Endianness) -> Result<Raw, Trouble> {
    fn take<const N: usize>(bytes: &[u8], at: usize, big: bool) -> [u8; N] {
        let mut found: [u8; N] = bytes[at..at + N].try_into().expect("N bytes");
        if big {
            found.reverse();
        }
        found
    }
    let pair = match &bytes[4..8] {
        b"n+2\0" => false,
        b"ni2\0" => true,
        magic => {
            return Err(Trouble::damaged(format!(
                "its magic bytes are \"{}\", not n+2 or ni2",
                magic.escape_ascii()
            )));
        }
    };
    let big = endianness == Endianness::Big;
    let short = |at| i16::from_le_bytes(take(bytes, at, big));
    let int = |at| i32::from_le_bytes(take(bytes, at, big));
    let long = |at| i64::from_le_bytes(take(bytes, at, big));
    let double = |at| f64::from_le_bytes(take(bytes, at, big));
    let dim = std::array::from_fn(|axis| long(16 + 8 * axis));
    rank(dim[0])?;
    Ok(Raw {
        dim,
        datatype: short(12),
        bitpix: short(14),
        pixdim: std::array::from_fn(|axis| double(104 + 8 * axis)),
        vox_offset: long(168) as f64,
        slope: double(176),
        inter: double(184),
        intent_code: int(504),
        qform_code: int(344),
        sform_code: int(348),
        quaternion: [double(352), double(360), double(368)],
        offset: [double(376), double(384), double(392)],
        rows: std::array::from_fn(|row| {
            std::array::from_fn(|column| double(400 + 32 * row + 8 * column))
        }),
        units: int(500),
        pair,
        endianness,
        length: NIFTI_2 as u64,
    })
}

fn rank(dim0: i64) -> Result<usize, Trouble> {
    match usize::try_from(dim0) {
        Ok(rank @ 1..=7) => Ok(rank),
        _ => Err(Trouble::Damaged(format!("it states {dim0} axes (dim[0]), not 1 to 7"))),
    }
}

impl Raw {
    fn judge(self) -> Result<Header, Trouble> {
        let mut notes = Vec::new();
        let rank = rank(self.dim[0])?;
        let extent = |axis: usize| match usize::try_from(self.dim[axis]) {
            Ok(extent) if extent > 0 => Ok(extent),
            _ => Err(Trouble::Damaged(format!(
                "its axis {axis} has an extent of {} voxels (dim[{axis}])",
                self.dim[axis]
            ))),
        };
        let dims = (1..=rank).map(extent).collect::<Result<Vec<_>, _>>()?;
        if (3000..3100).contains(&self.intent_code) {
            return Err(Trouble::unsupported(
                format!("it is a CIFTI-2 matrix (intent code {}), no volume", self.intent_code),
                "extract a volume from it, for instance with `wb_command`",
            ));
        }
        let voxel_type = voxel_type(self.datatype)?;
        let bits = 8 * voxel_type.size_of();
        if usize::try_from(self.bitpix) != Ok(bits) {
            notes.push(format!(
                "the header says {} bits a voxel, but its data type has {bits}, which is used",
                self.bitpix
            ));
        }
        let millimetres = match self.units & 7 {
            1 => 1e3,
            3 => 1e-3,
            _ => 1.0,
        };
        #[expect(clippy::float_cmp, reason = "three constants")]
        if millimetres != 1.0 {
            notes.push(format!("lengths were converted to mm (1 unit = {millimetres} mm)"));
        }
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        let qform = Qform { quaternion: self.quaternion, offset: self.offset };
        let sound = finite(&self.quaternion) && finite(&self.offset);
        Ok(Header {
            vox_offset: self.offset_of_voxels(&mut notes)?,
            dims,
            voxel_type,
            endianness: self.endianness,
            pixdim: self.pixdim,
            // A slope of 0 means "not scaled" by the standard; NaN is what nibabel writes for it.
            scale: (self.slope != 0.0 && self.slope.is_finite())
                .then_some((self.slope, if self.inter.is_finite() { self.inter } else { 0.0 }))
                .filter(|&scale| scale != (1.0, 0.0)),
            qform: (self.qform_code > 0 && sound).then_some(qform),
            sform: (self.sform_code > 0 && self.rows.iter().all(|row| finite(row)))
                .then_some(self.rows),
            millimetres,
            pair: self.pair,
            notes,
        })
    }

    fn offset_of_voxels(&self, notes: &mut Vec<String>) -> Result<u64, Trouble> {
        let offset = self.vox_offset;
        let wrong =
            |why: &str| Trouble::Damaged(format!("its voxels start at byte {offset}, {why}"));
        if !(0.0..=9e15).contains(&offset) {
            return Err(wrong("which is no place in a file (vox_offset)"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be in range"
        )]
        let start = offset as u64;
        if self.pair || start >= self.length {
            return Ok(start);
        }
        if start == 0 {
            let start = self.length + 4;
            notes.push(format!("the header does not say where voxels start; byte {start} is used"));
            return Ok(start);
        }
        Err(wrong("within the header (vox_offset)"))
    }
}

fn voxel_type(code: i16) -> Result<NiftiType, Trouble> {
    let known = match code {
        2 => NiftiType::Uint8,
        4 => NiftiType::Int16,
        8 => NiftiType::Int32,
        16 => NiftiType::Float32,
        64 => NiftiType::Float64,
        128 => NiftiType::Rgb24,
        256 => NiftiType::Int8,
        512 => NiftiType::Uint16,
        768 => NiftiType::Uint32,
        1024 => NiftiType::Int64,
        1280 => NiftiType::Uint64,
        2304 => NiftiType::Rgba32,
        32 | 1792 | 2048 => {
            return Err(Trouble::unsupported(
                format!("its voxels are complex numbers (datatype {code})"),
                "save magnitude or phase as a file of its own",
            ));
        }
        1 | 1536 => {
            return Err(Trouble::unsupported(
                format!("its voxel type is not read (datatype {code})"),
                "save it as float32 or uint8",
            ));
        }
        _ => {
            return Err(Trouble::Damaged(format!("its voxel type is unknown (datatype {code})")));
        }
    };
    Ok(known)
}
