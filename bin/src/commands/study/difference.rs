//! Where what is stored is another than what is made again.

/// How far a table that is made again may be from the one that is stored: other machines round sums and exponentials otherwise.
const ROUNDING: f64 = 1e-9;

/// Where two JSON values differ by more than rounding.
pub(super) fn difference(
    one: &serde_json::Value,
    other: &serde_json::Value,
    at: &str,
) -> Option<String> {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(a), Number(b)) => {
            let (a, b) = (a.as_f64()?, b.as_f64()?);
            ((a - b).abs() > ROUNDING * a.abs().max(1.0)).then(|| at.to_owned())
        }
        (Array(a), Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b, &format!("{at}/{i}"))),
        (Object(a), Object(b)) if a.keys().eq(b.keys()) => a
            .iter()
            .zip(b.values())
            .find_map(|((key, a), b)| difference(a, b, &format!("{at}/{key}"))),
        (a, b) => (a != b).then(|| at.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn rounding_is_no_difference_and_all_else_is() {
        let one = json!({"a": [1.0, {"b": 0.5}], "c": null});

        assert_eq!(difference(&one, &json!({"a": [1.0, {"b": 0.5 + 1e-12}], "c": null}), ""), None);
        for (other, place) in [
            (json!({"a": [1.0, {"b": 0.5 + 1e-6}], "c": null}), "/a/1/b"),
            (json!({"a": [1.0], "c": null}), "/a"),
            (json!({"a": [1.0, {"b": 0.5}], "c": 0}), "/c"),
            (json!({"a": [1.0, {"b": 0.5}]}), ""),
        ] {
            assert_eq!(difference(&one, &other, "").as_deref(), Some(place));
        }
    }
}
