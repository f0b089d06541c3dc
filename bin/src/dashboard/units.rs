//! Quantities in words.

use std::time::Duration;

/// Bytes.
pub(crate) fn amount(bytes: u64) -> String {
    match bytes {
        0 => "0 MB".to_owned(),
        1..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// How long something takes, to the second; to the hour, where it takes days.
pub(super) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        1..48 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// Three digits that count.
pub(super) fn rate(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A learning rate: short where it is a round one.
pub(super) fn small(value: f64) -> String {
    if value == 0.0 || (1e-3..1e3).contains(&value.abs()) {
        let text = format!("{value:.5}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_as_short_as_they_can_be() {
        let clock = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 61, 3600, 86_399, 172_799, 172_800, 5_000_000].map(clock),
            ["0:00", "0:59", "1:01", "1:00:00", "23:59:59", "47:59:59", "2 d 0 h", "57 d 20 h"]
        );
        assert_eq!([0.012, 1.0, 12.34, 456.7].map(rate), ["0.012", "1.00", "12.3", "457"]);
        assert_eq!(
            [0.0, 0.01, 0.007_894_3, 0.000_123, 0.001].map(small),
            ["0", "0.01", "0.00789", "1.23e-4", "0.001"]
        );
        assert_eq!(
            [0, 1, 148_500, 12_000_000, 1_260_000_000].map(amount),
            ["0 MB", "1 kB", "149 kB", "12 MB", "1.3 GB"]
        );
    }
}
