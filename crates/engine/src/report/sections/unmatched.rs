//! What could not be scored, because its other half is missing.

use crate::evaluate::Evaluation;
use crate::report::text::{escape, put};

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let several = evaluations.len() > 1;
    let mut items = String::new();
    for evaluation in evaluations {
        let model = if several { format!("{}: ", escape(&evaluation.name)) } else { String::new() };
        for (what, names) in [
            ("predictions without a reference", &evaluation.unmatched.predictions),
            ("references without a prediction", &evaluation.unmatched.references),
        ] {
            if !names.is_empty() {
                let list: Vec<String> = names.iter().map(|name| escape(name)).collect();
                put!(items, "<li>{model}{what} ({}): {}</li>", names.len(), list.join(", "));
            }
        }
    }
    if items.is_empty() {
        return items;
    }
    format!("<p>These take no part in any score.</p>\n<ul>{items}</ul>\n")
}
