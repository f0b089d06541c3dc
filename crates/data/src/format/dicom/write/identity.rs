//! Names in the world, and the time.

use std::time::{SystemTime, UNIX_EPOCH};

use volume::Grid;

use super::images::Images;
use super::{Frame, Kind};

/// A number that two segmentations do not share, unless they are the same: of the same images, with the same names. Without
/// images, no two are.
pub(super) fn seed(
    grid: &Grid,
    frames: &[Frame],
    kind: Kind,
    images: &Images,
    classes: &[String],
) -> u128 {
    let of = if let Some(series) = &images.series {
        format!("{series} {:?}", images.instances)
    } else {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        format!("{:?} {}", now.unwrap_or_default(), std::process::id())
    };
    let about = format!("{grid:?} {kind:?} {classes:?} {of}");
    let mut seed = hash(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, about.as_bytes());
    for frame in frames {
        seed = hash(seed ^ (u128::from(frame.segment) << 64 | frame.slice as u128), &frame.values);
    }
    seed
}

/// FNV-1a of 128 bits.
fn hash(start: u128, bytes: &[u8]) -> u128 {
    let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(start, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(prime))
}

/// A name in the world, derived from a UUID: of version 8, whose bits are anybody's.
pub(super) fn uid(seed: u128, what: &str) -> String {
    let free = hash(seed, what.as_bytes());
    let uuid = free & !(0xf << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    format!("2.25.{uuid}")
}

/// Today and now, in Greenwich.
pub(super) fn now() -> (String, String) {
    calendar(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

/// Date and time, so many seconds after 1970 began.
fn calendar(seconds: u64) -> (String, String) {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years of 400 begin in March, as calendars do where leap days are to come last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (year + 400 * era, month + 3) } else { (year + 400 * era + 1, month - 9) };
    let date = format!("{year:04}{month:02}{day:02}");
    (date, format!("{:02}{:02}{:02}", time / 3600, time / 60 % 60, time % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |seconds: u64| calendar(seconds).0;
        assert_eq!(calendar(0), ("19700101".to_owned(), "000000".to_owned()));
        assert_eq!(calendar(951_868_799), ("20000229".to_owned(), "235959".to_owned()));
        assert_eq!(
            [951_868_800, 1_795_824_000, 4_107_542_400].map(day),
            ["20000301", "20261128", "21000301"]
        );
    }
}
