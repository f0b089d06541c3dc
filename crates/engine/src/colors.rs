//! The colours that classes are shown in where they have none of their own.

/// The background's.
const BACKGROUND: [u8; 3] = [0, 0, 0];

/// Those of the first classes, which are told apart by most people who do not see all colours.
const FIRST: [[u8; 3]; 6] =
    [[230, 75, 60], [60, 160, 230], [90, 190, 90], [240, 180, 40], [170, 100, 210], [60, 200, 190]];

/// The colour of a class, the background being number 0: after the first few, hues that are as far from the earlier ones as can be.
pub(crate) fn of_class(index: usize) -> [u8; 3] {
    let Some(number) = index.checked_sub(1) else { return BACKGROUND };
    FIRST.get(number).copied().unwrap_or_else(|| hue(number))
}

/// Multiples of the golden ratio divide the circle of hues evenly, however many there are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 to 255"
)]
fn hue(number: usize) -> [u8; 3] {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let hue = 6.0 * (number as f64 * GOLDEN).fract();
    // A third of the brightness changes as well, so that neighbours in hue differ in something else.
    let (dark, bright) = (40.0, 255.0 - 35.0 * (number % 3) as f64);
    std::array::from_fn(|channel| {
        let distance = (hue - 2.0 * channel as f64).rem_euclid(6.0);
        let share = (2.0 - distance.min(6.0 - distance)).clamp(0.0, 1.0);
        (dark + share * (bright - dark)).round() as u8
    })
}

/// As numbers to be mixed with others.
pub(crate) fn mixable(color: [u8; 3]) -> [f32; 3] {
    color.map(f32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_classes_have_a_hundred_colours() {
        let mut colors: Vec<_> = (0..119).map(of_class).collect();
        assert_eq!(colors[0], [0, 0, 0]);
        assert_eq!(colors[1], [230, 75, 60]);

        colors.sort_unstable();
        colors.dedup();

        assert_eq!(colors.len(), 119);
    }
}
