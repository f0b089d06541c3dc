//! Whether elements are as long as they say, before the parser makes room for them.

use dicom_core::dictionary::{DataDictionary as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::tokens;
use crate::format::decoded::Trouble;

/// The transfer syntaxes that differ from the others in how elements are written.
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Where the first element is.
const START: usize = 132;
/// The length of what goes on until it is said to end.
const OPEN: u32 = u32::MAX;
/// Nothing real is nested deeper.
pub(super) const MOST_NESTED: usize = 64;

const GROUP_LENGTH: Tag = Tag(0x0002, 0x0000);
const TRANSFER_SYNTAX: Tag = Tag(0x0002, 0x0010);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// Goes through all elements of a file, into sequences as well.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
    big_endian: bool,
    /// Where the sequences and items end that are open; nowhere yet, of those that say so themselves.
    ends: Vec<usize>,
}

/// That no element of a file says that it is longer than what follows.
pub(super) fn check(bytes: &[u8]) -> Result<(), Trouble> {
    let mut walk = Walk { bytes, at: START, explicit: true, big_endian: false, ends: Vec::new() };
    let mut syntax = String::new();
    // The first group is always written in the same way, and as long as its first element says, whatever follows: so the
    // parser takes it, which would else come to other elements than are seen here.
    let (tag, _, value) = walk.element()?;
    let announced = <[u8; 4]>::try_from(value).ok().filter(|_| tag == GROUP_LENGTH);
    let announced = announced.ok_or_else(|| {
        Trouble::damaged("it does not begin with the length of its first group of elements")
    })?;
    let end = walk.at.saturating_add(u32::from_le_bytes(announced) as usize);
    while walk.at < end {
        let (tag, _, value) = walk.element()?;
        if tag == TRANSFER_SYNTAX {
            let text = String::from_utf8_lossy(value);
            text.trim_end_matches(['\0', ' ']).clone_into(&mut syntax);
        }
    }
    if syntax == DEFLATED {
        return Err(Trouble::unsupported(
            "it is compressed as a whole (deflated transfer syntax)",
            "unpack it, for instance with dcmconv +te",
        ));
    }
    let elements = walk.at;
    walk.explicit = syntax != IMPLICIT;
    walk.big_endian = syntax == BIG_ENDIAN;
    while walk.at < bytes.len() {
        walk.step()?;
    }
    tokens::check(&bytes[elements..], &syntax)
}

impl<'a> Walk<'a> {
    /// The group of the next element; `None` at the end.
    fn peek(&self) -> Option<u16> {
        let two = self.bytes.get(self.at..self.at + 2)?;
        let two = [two[0], two[1]];
        Some(if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Trouble> {
        let left = self.bytes.len() - self.at;
        if count > left {
            return Err(Trouble::damaged(format!(
                "an element announces {count} bytes, but {left} are left in the file"
            )));
        }
        self.at += count;
        Ok(&self.bytes[self.at - count..self.at])
    }

    fn short(&mut self) -> Result<u16, Trouble> {
        let value = self.peek().ok_or_else(|| Trouble::damaged("it ends within an element"))?;
        self.at += 2;
        Ok(value)
    }

    fn long(&mut self) -> Result<u32, Trouble> {
        let four: [u8; 4] = self.take(4)?.try_into().expect("four bytes");
        Ok(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// What an element is, and how long it says that it is.
    fn head(&mut self) -> Result<(Tag, VR, u32), Trouble> {
        let tag = Tag(self.short()?, self.short()?);
        if tag.group() == ITEM.group() {
            return Ok((tag, VR::UN, self.long()?));
        }
        if !self.explicit {
            let known = StandardDataDictionary.by_tag(tag);
            let is_sequence = known.is_some_and(|entry| entry.vr == VirtualVr::Exact(VR::SQ));
            let length = self.long()?;
            return Ok((tag, if is_sequence || length == OPEN { VR::SQ } else { VR::UN }, length));
        }
        let two = self.take(2)?;
        let vr = VR::from_binary([two[0], two[1]]).unwrap_or(VR::UN);
        let wide = matches!(
            vr,
            VR::OB
                | VR::OD
                | VR::OF
                | VR::OL
                | VR::OV
                | VR::OW
                | VR::SQ
                | VR::SV
                | VR::UC
                | VR::UN
                | VR::UR
                | VR::UT
                | VR::UV
        );
        if wide {
            self.short()?;
            return Ok((tag, vr, self.long()?));
        }
        Ok((tag, vr, u32::from(self.short()?)))
    }

    fn element(&mut self) -> Result<(Tag, VR, &'a [u8]), Trouble> {
        let (tag, vr, length) = self.head()?;
        Ok((tag, vr, self.take(length as usize)?))
    }

    /// Passes an element, or enters it where it holds others.
    fn step(&mut self) -> Result<(), Trouble> {
        while self.ends.last().is_some_and(|end| *end <= self.at) {
            self.ends.pop();
        }
        if self.ends.len() > MOST_NESTED {
            return Err(Trouble::damaged("its sequences are nested too deeply"));
        }
        let (tag, vr, length) = self.head()?;
        match tag {
            ITEM_END | SEQUENCE_END => {
                self.ends.pop();
                return Ok(());
            }
            PIXEL_DATA if length == OPEN => return self.fragments(),
            _ => {}
        }
        if vr == VR::UN && length == OPEN && tag != ITEM {
            return Err(Trouble::unsupported(
                format!("sequence {tag} is written as of unknown kind (UN)"),
                "rewrite it, for instance with dcmconv",
            ));
        }
        if tag == ITEM || vr == VR::SQ {
            let left = self.bytes.len() - self.at;
            if length != OPEN && length as usize > left {
                return Err(Trouble::damaged(format!(
                    "a sequence announces {length} bytes, but {left} are left in the file"
                )));
            }
            self.ends.push(if length == OPEN { usize::MAX } else { self.at + length as usize });
            return Ok(());
        }
        self.take(length as usize).map(drop)
    }

    /// Passes the fragments of packed pixels.
    fn fragments(&mut self) -> Result<(), Trouble> {
        while self.at < self.bytes.len() {
            let (tag, _, length) = self.head()?;
            match tag {
                SEQUENCE_END => break,
                ITEM => self.take(length as usize).map(drop)?,
                _ => return Err(Trouble::damaged("its packed pixels are not in items")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of implicit elements, the length of whose first group is `wrong` by so many bytes.
    fn file(wrong: i32, elements: &[(u16, u16, u32, &[u8])]) -> Vec<u8> {
        let syntax = format!("{IMPLICIT}\0");
        let length = 8 + i32::try_from(syntax.len()).expect("a short text") + wrong;
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM\x02\0\0\0UL\x04\0");
        bytes.extend(length.to_le_bytes());
        bytes.extend(b"\x02\0\x10\0UI\x12\0");
        bytes.extend(syntax.as_bytes());
        for (group, element, length, value) in elements {
            bytes.extend(group.to_le_bytes());
            bytes.extend(element.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    #[test]
    fn elements_are_where_the_parser_sees_them() {
        let name: (u16, u16, u32, &[u8]) = (0x10, 0x10, 4, b"name");
        assert!(check(&file(0, &[name])).is_ok());
        let long = [name, (0x10, 0x20, 0x7000_0000, b"")];
        let error = format!("{:?}", check(&file(0, &long)));
        assert!(error.contains("announces 1879048192 bytes, but 0 are left"), "{error}");
        // An explicit element that the first group takes in, as it says and as the parser has it.
        let mut taken = file(16, &[]);
        taken.extend(b"\x10\0\x10\0LO\x08\0somebody");
        taken.extend(&file(0, &[name])[file(0, &[]).len()..]);
        assert!(check(&taken).is_ok(), "{:?}", check(&taken));
        let meta = dicom_object::FileMetaTable::from_reader(&taken[128..]);
        assert!(meta.is_ok(), "{meta:?}");
        let error =
            format!("{:?}", check(&[&[0; 128][..], b"DICM\x08\0\0\0UL\x04\0\0\0\0\0"].concat()));
        assert!(error.contains("does not begin with the length of its first group"), "{error}");
    }
}
