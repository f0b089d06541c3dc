//! Texts and numbers as the page shows them.

use crate::evaluate;

/// Appends formatted text to a string, which cannot go wrong.
macro_rules! put {
    ($to:expr, $($text:tt)+) => {{
        use std::fmt::Write as _;
        _ = write!($to, $($text)+);
    }};
}
pub(super) use put;

/// What the page shows where a value is undefined.
pub(super) const UNDEFINED: &str = "–";

/// A text that no browser takes for markup, inside an element or a quoted attribute.
///
/// Control characters, which HTML does not allow, become the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            character if character.is_control() => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A value of a score, or [`UNDEFINED`]; values that are not finite are undefined, too.
pub(super) fn number(value: Option<f64>) -> String {
    number_like(value, value)
}

/// A value with as many decimals as `other` is shown with, such as a spread beside its mean.
pub(super) fn number_like(value: Option<f64>, other: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return UNDEFINED.to_owned();
    };
    let decimals = match other.unwrap_or(value).abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 0.095 || size == 0.0 => 3,
        _ => 4,
    };
    // A true minus sign is as wide as a digit.
    evaluate::decimals(Some(value), decimals).replace('-', "−")
}

/// A value with its unit.
pub(super) fn quantity(value: Option<f64>, unit: &str) -> String {
    let text = number(value);
    if unit.is_empty() || text == UNDEFINED { text } else { format!("{text} {unit}") }
}

/// A count with thin spaces between thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// The name of a score as people write it: `nsd_1mm` is `NSD 1mm`.
pub(super) fn label(score: &str) -> String {
    let mut words = Vec::new();
    for (place, word) in score.split('_').enumerate() {
        let mut characters = word.chars();
        let first = characters.next();
        words.push(match word {
            "iou" => "IoU".to_owned(),
            "bdice" => "BDice".to_owned(),
            "nll" | "ece" | "hd" | "hd95" | "asd" | "assd" | "nsd" | "mcc" | "auc" | "roc" => {
                word.to_uppercase()
            }
            _ if place == 0 => {
                first.into_iter().flat_map(char::to_uppercase).chain(characters).collect()
            }
            _ => word.to_owned(),
        });
    }
    words.join(" ")
}

/// `1 case`, `2 cases`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(escape("<a href='x'>\"&\u{1}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn numbers_have_three_or_so_figures() {
        let shown = [0.0, 0.9123, 0.0312, 3.14259, 12.345, 123.45, 12345.6, -0.5]
            .map(|value| number(Some(value)));

        assert_eq!(
            shown,
            ["0.000", "0.912", "0.0312", "3.143", "12.35", "123.5", "12346", "−0.500"]
        );
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(
            [-0.0, -1e-9, -0.01].map(|value| number(Some(value))),
            ["0.000", "0.0000", "−0.0100"]
        );
    }

    #[test]
    fn undefined_is_a_dash_and_never_zero() {
        assert_eq!(number(None), "–");
        assert_eq!(number(Some(f64::NAN)), "–");
        assert_eq!(quantity(Some(f64::INFINITY), "mm"), "–");
        assert_eq!(quantity(Some(1.5), "mm"), "1.500 mm");
    }

    #[test]
    fn scores_have_their_usual_names() {
        assert_eq!(
            ["dice", "iou", "nsd_1mm", "volume_error", "roc_auc_1", "pooled_ece", ""].map(label),
            ["Dice", "IoU", "NSD 1mm", "Volume error", "ROC AUC 1", "Pooled ECE", ""]
        );
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [7, 1234, 1_234_567].map(count),
            ["7", "1\u{2009}234", "1\u{2009}234\u{2009}567"]
        );
    }
}
