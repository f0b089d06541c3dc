//! Whether packed frames are as large as the file says that they are.

use dicom_dictionary_std::tags;

use super::attributes::{Attributes as _, Object};
use crate::format::decoded::Trouble;

/// The transfer syntaxes of JPEG, and those of JPEG 2000.
const JPEG: [&str; 4] = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
];
const JPEG_2000: [&str; 2] = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"];

/// That every frame has the rows and columns of the file: unpackers make room for what a frame says of itself, which may be gigabytes
/// of a few bytes.
pub(super) fn check(object: &Object) -> Result<(), Trouble> {
    let (file, syntax) = (&object.file, object.syntax());
    let element = file.element(tags::PIXEL_DATA).ok();
    let fragments = element.and_then(|pixels| pixels.fragments()).unwrap_or_default();
    let sizes: Vec<[usize; 2]> = if JPEG.contains(&syntax) {
        // A frame may go on in the next fragment.
        sizes_of_jpeg(&fragments.concat())
    } else if JPEG_2000.contains(&syntax) {
        fragments.iter().filter_map(|fragment| size_of_jpeg_2000(fragment)).collect()
    } else {
        return Ok(());
    };
    let stated = [tags::ROWS, tags::COLUMNS].map(|tag| file.count(tag).unwrap_or(0));
    match sizes.into_iter().find(|size| *size != stated) {
        None => Ok(()),
        Some([height, width]) => Err(Trouble::damaged(format!(
            "a packed frame of it has {height} × {width} pixels, but its header says {} × {}",
            stated[0], stated[1]
        ))),
    }
}

/// Height and width of each frame, as its start says: in segments of known length, and between scans, in which no such mark is.
fn sizes_of_jpeg(bytes: &[u8]) -> Vec<[usize; 2]> {
    let mut sizes = Vec::new();
    let mut at = 0;
    while let Some(&[first, mark]) = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()) {
        if first != 0xff || matches!(mark, 0x00 | 0xff) {
            at += 1;
            continue;
        }
        at += 2;
        if matches!(mark, 0x01 | 0xd0..=0xd9) {
            continue;
        }
        let number = |from: usize| -> Option<usize> {
            let two = bytes.get(from..from + 2)?.first_chunk()?;
            Some(usize::from(u16::from_be_bytes(*two)))
        };
        if matches!(mark, 0xc0..=0xcf) && !matches!(mark, 0xc4 | 0xc8 | 0xcc) {
            sizes.extend(number(at + 3).zip(number(at + 5)).map(|(height, width)| [height, width]));
        }
        at += number(at).unwrap_or(2).max(2);
    }
    sizes
}

/// Height and width of a frame of JPEG 2000, which follow its first two marks.
fn size_of_jpeg_2000(bytes: &[u8]) -> Option<[usize; 2]> {
    let start = bytes.windows(4).position(|it| it == [0xff, 0x4f, 0xff, 0x51])?;
    let number = |place: usize| -> Option<usize> {
        let from = start + 8 + 4 * place;
        let four = bytes.get(from..from + 4)?.first_chunk()?;
        usize::try_from(u32::from_be_bytes(*four)).ok()
    };
    let (width, height, left, top) = (number(0)?, number(1)?, number(2)?, number(3)?);
    Some([height.saturating_sub(top), width.saturating_sub(left)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_their_size_and_thumbnails_do_not_count() {
        let frame =
            |height: u8, width: u8| vec![0xff, 0xc0, 0, 11, 8, 0, height, 0, width, 1, 1, 0x11, 0];
        // A thumbnail within a segment, and a scan with a byte that looks like a mark.
        let thumbnail = [vec![0xff, 0xe1, 0, 15], frame(9, 9)].concat();
        let scan = [0xff, 0xda, 0, 2, 1, 0xff, 0, 0xc0, 0xff, 0xd0, 7];
        let one = |height, width| {
            [&[0xff, 0xd8][..], &thumbnail, &frame(height, width), &scan, &[0xff, 0xd9]].concat()
        };
        let both = [one(3, 4), vec![0], one(5, 6)].concat();

        assert_eq!(sizes_of_jpeg(&both), [[3, 4], [5, 6]]);
        // Cut within the width of the second.
        assert_eq!(sizes_of_jpeg(&both[..both.len() - 18]), [[3, 4]]);
        assert!(sizes_of_jpeg(&[0xff, 0xc0, 0]).is_empty());
    }

    #[test]
    fn a_frame_of_jpeg_2000_begins_where_it_says() {
        let mut bytes = vec![0xff, 0x4f, 0xff, 0x51, 0, 47, 0, 0];
        for number in [20_u32, 30, 4, 10] {
            bytes.extend(number.to_be_bytes());
        }
        assert_eq!(size_of_jpeg_2000(&bytes), Some([20, 16]));
        assert_eq!(size_of_jpeg_2000(&bytes[..20]), None);
    }
}
