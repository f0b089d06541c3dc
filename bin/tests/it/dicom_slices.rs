//! DICOM slices of a CT, as few attributes as one can have.

use std::fs;
use std::path::Path;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// Writes a series of `depth` slices of 32 x 32 voxels of 1 mm, 2 mm apart: a bright square on dark ground.
pub(crate) fn write_series(folder: &Path, depth: usize) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for z in 0..depth {
        fs::write(folder.join(format!("slice{z}.dcm")), slice(z))?;
    }
    Ok(())
}

fn slice(z: usize) -> Vec<u8> {
    let mut meta = element(0x0002, 0x0001, *b"OB", &[0, 1]);
    meta.extend(text(0x0002, 0x0002, *b"UI", CT));
    meta.extend(text(0x0002, 0x0003, *b"UI", &format!("1.2.3.4.{}", z + 1)));
    meta.extend(text(0x0002, 0x0010, *b"UI", EXPLICIT));
    let length = u32::try_from(meta.len()).expect("a few bytes");
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(element(0x0002, 0x0000, *b"UL", &length.to_le_bytes()));
    file.extend(meta);
    for (group, number, vr, value) in [
        (0x0008, 0x0016, *b"UI", CT.to_owned()),
        (0x0008, 0x0018, *b"UI", format!("1.2.3.4.{}", z + 1)),
        (0x0008, 0x0060, *b"CS", "CT".to_owned()),
        (0x0010, 0x0010, *b"PN", "Nobody".to_owned()),
        (0x0010, 0x0020, *b"LO", "7".to_owned()),
        (0x0018, 0x0050, *b"DS", "2".to_owned()),
        (0x0020, 0x000d, *b"UI", "1.2.3".to_owned()),
        (0x0020, 0x000e, *b"UI", "1.2.3.4".to_owned()),
        (0x0020, 0x0013, *b"IS", (z + 1).to_string()),
        (0x0020, 0x0032, *b"DS", format!("0\\0\\{}", 2 * z)),
        (0x0020, 0x0037, *b"DS", "1\\0\\0\\0\\1\\0".to_owned()),
        (0x0020, 0x0052, *b"UI", "1.2.3.9".to_owned()),
    ] {
        file.extend(text(group, number, vr, &value));
    }
    file.extend(element(0x0028, 0x0002, *b"US", &1u16.to_le_bytes()));
    file.extend(text(0x0028, 0x0004, *b"CS", "MONOCHROME2"));
    file.extend(element(0x0028, 0x0010, *b"US", &32u16.to_le_bytes()));
    file.extend(element(0x0028, 0x0011, *b"US", &32u16.to_le_bytes()));
    file.extend(text(0x0028, 0x0030, *b"DS", "1\\1"));
    for (number, value) in [(0x0100, 16u16), (0x0101, 16), (0x0102, 15), (0x0103, 1)] {
        file.extend(element(0x0028, number, *b"US", &value.to_le_bytes()));
    }
    let value = |y: usize, x: usize| {
        if (8..24).contains(&y) && (8..24).contains(&x) { 200i16 } else { -700 }
    };
    let pixels: Vec<u8> =
        (0..32).flat_map(|y| (0..32).flat_map(move |x| value(y, x).to_le_bytes())).collect();
    file.extend(element(0x7fe0, 0x0010, *b"OW", &pixels));
    file
}

fn text(group: u16, number: u16, vr: [u8; 2], value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    if !bytes.len().is_multiple_of(2) {
        bytes.push(if vr == *b"UI" { 0 } else { b' ' });
    }
    element(group, number, vr, &bytes)
}

/// An element of explicit VR, the least significant byte first.
fn element(group: u16, number: u16, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes(), vr].concat();
    if matches!(&vr, b"OB" | b"OW") {
        bytes.extend([0, 0]);
        bytes.extend(u32::try_from(value.len()).expect("a few bytes").to_le_bytes());
    } else {
        bytes.extend(u16::try_from(value.len()).expect("a few bytes").to_le_bytes());
    }
    bytes.extend(value);
    bytes
}
