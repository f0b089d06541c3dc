//! Small files of every kind, as other programs would write them.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tiff::encoder::{Compression as Packed, DeflateLevel, TiffEncoder, colortype};

/// A file's name and content; what is written beside it first comes first.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) beside: Option<(&'static str, Vec<u8>)>,
}

impl Sample {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        Self { name, bytes, beside: None }
    }

    /// Writes the file into a folder.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        if let Some((name, bytes)) = &self.beside {
            fs::write(folder.join(name), bytes).unwrap();
        }
        let path = folder.join(self.name);
        fs::write(&path, &self.bytes).unwrap();
        path
    }
}

/// A NIfTI-1 header of `dims`, x first, little endian, with an sform of 2, 1.5 and 1 mm.
pub(crate) fn nifti_header(dims: &[i16], datatype: i16, bits: i16, magic: [u8; 4]) -> Vec<u8> {
    let mut header = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    put(40, &i16::try_from(dims.len()).unwrap().to_le_bytes());
    for (axis, extent) in dims.iter().enumerate() {
        put(42 + 2 * axis, &extent.to_le_bytes());
    }
    put(70, &datatype.to_le_bytes());
    put(72, &bits.to_le_bytes());
    for (axis, zoom) in [1.0_f32, 2.0, 1.5, 1.0].into_iter().enumerate() {
        put(76 + 4 * axis, &zoom.to_le_bytes());
    }
    let offset = if magic[1] == b'+' { 352.0_f32 } else { 0.0 };
    put(108, &offset.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for (row, (column, zoom)) in [(0, 2.0_f32), (1, 1.5), (2, 1.0)].into_iter().enumerate() {
        put(280 + 16 * row + 4 * column, &zoom.to_le_bytes());
    }
    put(344, &magic);
    header
}

/// A NIfTI-2 file of 3 × 2 × 2 voxels of `float64`, big endian, without orientation.
pub(crate) fn nifti_2() -> Vec<u8> {
    let mut file = vec![0; 544];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &540_i32.to_be_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &64_i16.to_be_bytes());
    put(14, &64_i16.to_be_bytes());
    for (axis, extent) in [3_i64, 3, 2, 2].into_iter().enumerate() {
        put(16 + 8 * axis, &extent.to_be_bytes());
    }
    for axis in 0..4 {
        put(104 + 8 * axis, &1.5_f64.to_be_bytes());
    }
    put(168, &544_i64.to_be_bytes());
    file.extend((0..12).flat_map(|value| (f64::from(value) / 2.0).to_be_bytes()));
    file
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An NRRD file of 5 × 4 × 3 voxels, x first, of 2, 1.5 and 1 mm, with axes along L, P and S.
pub(crate) fn nrrd(kind: &str, encoding: &str, more: &str, voxels: &[u8]) -> Vec<u8> {
    let header = format!(
        "NRRD0004\n# made for a test\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\n\
         sizes: 5 4 3\nspace directions: (2,0,0) (0,1.5,0) (0,0,1)\nkinds: domain domain domain\n\
         endian: little\nencoding: {encoding}\nspace origin: (-10,5.5,3)\n{more}\n"
    );
    [header.as_bytes(), voxels].concat()
}

/// A MetaImage of the same voxels.
pub(crate) fn meta_image(compressed: &str, place: &str, voxels: &[u8]) -> Vec<u8> {
    let header = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
         CompressedData = {compressed}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -10 5.5 3\n\
         ElementSpacing = 2 1.5 1\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = {place}\n"
    );
    [header.as_bytes(), voxels].concat()
}

/// A PNG file with a palette of four colours, two bits a pixel, 5 × 3 pixels of indices 0 to 3.
pub(crate) fn palette_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 5, 3);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![0, 0, 0, 200, 10, 10, 10, 200, 10, 10, 10, 200]);
    let mut writer = encoder.write_header().unwrap();
    // Rows 0 1 2 3 0, 1 1 1 1 1, 3 2 1 0 3.
    writer
        .write_image_data(&[0b0001_1011, 0, 0b0101_0101, 0b0100_0000, 0b1110_0100, 0xc0])
        .unwrap();
    writer.finish().unwrap();
    bytes
}

/// A picture by the `image` package: grey or colour, 8 or 16 bits, PNG or JPEG.
fn picture(format: image::ImageFormat, wide: bool) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    if wide {
        let pixels = image::ImageBuffer::from_fn(9, 7, |x, y| {
            image::Luma([u16::try_from(x * 7000 + y).unwrap()])
        });
        pixels.write_to(&mut bytes, format).unwrap();
    } else {
        let byte = |value: u32| u8::try_from(value % 256).unwrap();
        let pixels = image::ImageBuffer::from_fn(24, 17, |x, y| {
            image::Rgb([byte(10 * x), byte(12 * y), byte(x * y)])
        });
        pixels.write_to(&mut bytes, format).unwrap();
    }
    bytes.into_inner()
}

/// A TIFF file of two pages of 6 × 5 pixels: floats, deflated.
pub(crate) fn pages_tiff() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder =
        TiffEncoder::new(&mut bytes).unwrap().with_compression(Packed::Deflate(DeflateLevel::Fast));
    for page in 0..2_u8 {
        let pixels: Vec<f32> = (0..30_u8).map(|at| f32::from(at) / 4.0 + f32::from(page)).collect();
        encoder.write_image::<colortype::Gray32Float>(6, 5, &pixels).unwrap();
    }
    bytes.into_inner()
}

/// A TIFF file of one page of 16-bit colour.
pub(crate) fn colour_tiff() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let pixels: Vec<u16> = (0..4 * 3 * 3).map(|at| at * 100).collect();
    encoder.write_image::<colortype::RGB16>(4, 3, &pixels).unwrap();
    bytes.into_inner()
}

/// One file of every kind that is read.
/// An archive with one array of numpy's.
pub(crate) fn npz(name: &str, header: &str, values: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    archive.start_file(name, options).unwrap();
    archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
    archive.write_all(&u16::try_from(header.len()).unwrap().to_le_bytes()).unwrap();
    archive.write_all(header.as_bytes()).unwrap();
    archive.write_all(values).unwrap();
    archive.finish().unwrap().into_inner()
}

pub(crate) fn all() -> Vec<Sample> {
    let shorts: Vec<u8> = (0..60_i16).flat_map(|value| (value - 7).to_le_bytes()).collect();
    let mut plain = nifti_header(&[5, 4, 3], 4, 16, *b"n+1\0");
    plain.extend(&shorts);
    let mut scaled = plain.clone();
    scaled[112..116].copy_from_slice(&0.5_f32.to_le_bytes());
    scaled[116..120].copy_from_slice(&10.0_f32.to_le_bytes());
    let mut colour = nifti_header(&[3, 2, 2], 128, 24, *b"n+1\0");
    colour.extend(0..36_u8);
    let mut soft = nifti_header(&[2, 2, 1, 2], 16, 32, *b"n+1\0");
    soft.extend(
        [0.25_f32, 1.0, 0.5, 0.0, 0.75, 0.0, 0.5, 1.0].iter().flat_map(|p| p.to_le_bytes()),
    );
    let header = nifti_header(&[5, 4, 3], 4, 16, *b"ni1\0")[..348].to_vec();
    vec![
        Sample::new("plain.nii", plain),
        Sample::new("scaled.nii.gz", gzip(&scaled)),
        Sample::new("colour.nii", colour),
        Sample::new("soft.nii.gz", gzip(&soft)),
        Sample::new("second.nii", nifti_2()),
        Sample { beside: Some(("pair.img.gz", gzip(&shorts))), ..Sample::new("pair.hdr", header) },
        Sample::new(
            "soft.npz",
            npz(
                "probabilities.npy",
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 2, 2), }\n",
                &[0.25_f32, 1.0, 0.5, 0.0, 0.75, 0.0, 0.5, 1.0].map(f32::to_le_bytes).concat(),
            ),
        ),
        Sample::new("plain.nrrd", nrrd("short", "gzip", "", &gzip(&shorts))),
        Sample::new("raw.nrrd", nrrd("short", "raw", "", &shorts)),
        Sample {
            beside: Some(("apart.raw", shorts.clone())),
            ..Sample::new("apart.nhdr", nrrd("int16", "raw", "data file: apart.raw\n", &[]))
        },
        Sample::new("plain.mha", meta_image("False", "LOCAL", &shorts)),
        Sample::new("packed.mha", meta_image("True", "LOCAL", &zlib(&shorts))),
        Sample {
            beside: Some(("apart.zraw", zlib(&shorts))),
            ..Sample::new("apart.mhd", meta_image("True", "apart.zraw", &[]))
        },
        Sample::new("slice.dcm", crate::dicom::sample()),
        Sample::new("palette.png", palette_png()),
        Sample::new("colour.png", picture(image::ImageFormat::Png, false)),
        Sample::new("wide.png", picture(image::ImageFormat::Png, true)),
        Sample::new("colour.jpg", picture(image::ImageFormat::Jpeg, false)),
        Sample::new("pages.tif", pages_tiff()),
        Sample::new("colour.tif", colour_tiff()),
    ]
}
