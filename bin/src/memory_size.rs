//! An amount of memory on the command line.

/// Bytes: `16` and `16GB` are 16·10⁹, `500MB` is 500·10⁶, `8GiB` is 8·2³⁰.
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    let digits = text.find(|it: char| !(it.is_ascii_digit() || it == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "gb" | "g" => 1e9,
        "mb" | "m" => 1e6,
        "gib" => f64::from(1 << 30),
        "mib" => f64::from(1 << 20),
        _ => return Err("its unit is none of MB, GB, MiB and GiB"),
    };
    match number.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        Ok(count) if (0.0..=1e15).contains(&(count * unit)) => Ok((count * unit) as u64),
        _ => Err("it is not an amount of memory, such as 16, 16GB or 500MB"),
    }
}

/// As [`bytes`] reads it: the least amount of MB that is no less.
pub(crate) fn enough(bytes: u64) -> String {
    let megabytes = bytes.div_ceil(1_000_000);
    format!("{megabytes}MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_units_that_people_write() {
        let of = ["16", "16GB", "0.5 gb", "500MB", "8GiB", "512mib", "0"].map(bytes);
        let expected =
            [16_000_000_000, 16_000_000_000, 500_000_000, 500_000_000, 8 << 30, 512 << 20, 0];
        assert_eq!(of, expected.map(Ok));
        for wrong in ["", "GB", "-1", "1.2.3", "8 apples", "1e99", "99999999999999GB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_said_to_be_enough_is() {
        for amount in [1, 999_999, 1_000_000, 1_234_567_890] {
            assert!(bytes(&enough(amount)).is_ok_and(|read| read >= amount));
        }
    }
}
