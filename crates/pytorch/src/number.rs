//! Numbers of Python and `NumPy`.

use half::f16;

use crate::node::Node;

/// A whole number in two's complement, the lowest byte first; `None` where it does not fit.
pub(crate) fn whole(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(all))
}

/// A number of `NumPy`, of a type such as `f8`; `None` where the type is none of a number.
pub(crate) fn numpy(code: &str, bytes: &[u8], big_endian: bool) -> Option<Node> {
    let code = code.trim_start_matches(['<', '>', '|', '=']);
    let mut bytes = bytes.to_vec();
    if big_endian {
        bytes.reverse();
    }
    let fits = code.get(1..)?.parse() == Ok(bytes.len());
    match (code.as_bytes().first()?, bytes.as_slice()) {
        _ if !fits => None,
        (b'b', &[value]) => Some(Node::Bool(value != 0)),
        (b'i', bytes) => whole(bytes).map(Node::Int),
        // The sign is that of a byte more.
        (b'u', bytes) if bytes.len() < 8 => whole(&[bytes, &[0]].concat()).map(Node::Int),
        (b'u', &[.., high]) if high < 0x80 => whole(&bytes).map(Node::Int),
        (b'f', &[a, b]) => Some(Node::Float(f16::from_le_bytes([a, b]).to_f64())),
        (b'f', &[a, b, c, d]) => Some(Node::Float(f32::from_le_bytes([a, b, c, d]).into())),
        (b'f', bytes) => Some(Node::Float(f64::from_le_bytes(bytes.try_into().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_a_sign() {
        assert_eq!(whole(&[]), Some(0));
        assert_eq!(whole(&[0xff]), Some(-1));
        assert_eq!(whole(&[0xff, 0x00]), Some(255));
        assert_eq!(whole(&i64::MIN.to_le_bytes()), Some(i64::MIN));
        assert_eq!(whole(&[0; 9]), None);
    }

    #[test]
    fn numbers_of_numpy_are_read_by_their_type() {
        let shown = |code: &str, bytes: &[u8], big| format!("{:?}", numpy(code, bytes, big));

        assert_eq!(shown("f8", &0.1_f64.to_le_bytes(), false), "Some(Float(0.1))");
        assert_eq!(shown(">f4", &0.5_f32.to_be_bytes(), true), "Some(Float(0.5))");
        assert_eq!(shown("f2", &[0x00, 0x3c], false), "Some(Float(1.0))");
        assert_eq!(shown("i8", &(-3_i64).to_le_bytes(), false), "Some(Int(-3))");
        assert_eq!(shown("u2", &[0xff, 0xff], false), "Some(Int(65535))");
        assert_eq!(shown("u8", &[0xff; 8], false), "None");
        assert_eq!(shown("b1", &[1], false), "Some(Bool(true))");
        assert_eq!(shown("f8", &[1], false), "None");
        assert_eq!(shown("V4", &[0; 4], false), "None");
        assert_eq!(shown("", &[], false), "None");
    }
}
