//! Whether the parser would make room for more than a file holds.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use dicom_encoding::TransferSyntaxIndex as _;
use dicom_parser::DataSetReader;
use dicom_parser::dataset::DataToken;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::lengths::MOST_NESTED;
use crate::format::decoded::Trouble;

/// Goes through the elements after the first group by the parser's own steps, and stops before one for whose value there are not the
/// bytes, or that is nested too deeply.
///
/// The parser makes room for as much as an element announces before it reads, 4 GB of a file of a few bytes. Where a file is not
/// written as it should be, nobody but the parser knows where it sees an element; so it is asked, and let go on only where that is safe.
pub(super) fn check(elements: &[u8], syntax: &str) -> Result<(), Trouble> {
    // What it does not know, it does not read.
    let Some(syntax) = TransferSyntaxRegistry.get(syntax) else { return Ok(()) };
    let left = Rc::new(Cell::new(elements.len()));
    let source = Counted { bytes: elements, left: Rc::clone(&left) };
    let Ok(tokens) = DataSetReader::new_with_ts(source, syntax) else { return Ok(()) };
    let mut depth = 0_usize;
    for token in tokens {
        // What else is wrong, it says itself when it reads.
        let Ok(token) = token else { return Ok(()) };
        let length = match token {
            DataToken::ElementHeader(header) => header.len.get(),
            DataToken::SequenceStart { len, .. } | DataToken::ItemStart { len } => {
                depth += 1;
                len.get()
            }
            DataToken::SequenceEnd | DataToken::ItemEnd => {
                depth = depth.saturating_sub(1);
                None
            }
            _ => None,
        };
        if let Some(length) = length
            && length as usize > left.get()
        {
            return Err(Trouble::damaged(format!(
                "an element announces {length} bytes, but {} are left in the file",
                left.get()
            )));
        }
        if depth > 2 * MOST_NESTED {
            return Err(Trouble::damaged("its sequences are nested too deeply"));
        }
    }
    Ok(())
}

/// Bytes, of which it is known how many are left.
struct Counted<'a> {
    bytes: &'a [u8],
    left: Rc<Cell<usize>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.left.set(self.bytes.len());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn element(tag: [u16; 2], length: u32, value: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = tag.iter().flat_map(|it| it.to_le_bytes()).collect();
        bytes.extend(length.to_le_bytes());
        bytes.extend(value);
        bytes
    }

    #[test]
    fn no_element_is_longer_than_the_file() {
        let name = element([0x10, 0x10], 4, b"name");
        assert!(check(&name, IMPLICIT).is_ok());
        let long = [name.clone(), element([0x10, 0x20], 0x7000_0000, b"1")].concat();
        let error = format!("{:?}", check(&long, IMPLICIT));
        assert!(error.contains("announces 1879048192 bytes, but 1 are left"), "{error}");
        let within =
            [element([0x8, 0x1140], u32::MAX, b""), element([0xfffe, 0xe000], u32::MAX, b""), long];
        assert!(check(&within.concat(), IMPLICIT).is_err());
    }

    #[test]
    fn sequences_are_not_nested_without_end() {
        let open =
            [element([0x8, 0x1140], u32::MAX, b""), element([0xfffe, 0xe000], u32::MAX, b"")]
                .concat();
        assert!(check(&open.repeat(10), IMPLICIT).is_ok());
        let error = format!("{:?}", check(&open.repeat(1000), IMPLICIT));
        assert!(error.contains("nested too deeply"), "{error}");
    }
}
