//! What each evaluation comes from: at the end of the page, after all that was found.

use super::tables::table;
use super::text::{escape, put};
use crate::Provenance;
use crate::evaluate::Evaluation;

/// A row for each thing that is known; empty where nothing is.
pub(super) fn of(evaluations: &[Evaluation]) -> String {
    let mut body = String::new();
    for Evaluation { name, weights, provenance, .. } in evaluations {
        let known = provenance.as_ref();
        let hash = |of: fn(&Provenance) -> &Option<String>| known.and_then(|it| of(it).clone());
        let rows = [
            ("program", known.map(|it| it.version.clone())),
            ("command", known.map(|it| it.command.clone()).filter(|it| !it.is_empty())),
            ("seed", known.and_then(|it| it.seed).map(|seed| seed.to_string())),
            ("training data, SHA-256", hash(|it| &it.training_data)),
            ("scored data, SHA-256", hash(|it| &it.scored_data)),
            ("weights, SHA-256", weights.clone()),
        ];
        for (what, value) in rows {
            let Some(value) = value else { continue };
            put!(
                body,
                "<tr><th scope=\"row\" class=\"text\">{}</th><td class=\"text\">{what}</td>\
                 <td class=\"text wide\"><code>{}</code></td></tr>\n",
                escape(name),
                escape(&value)
            );
        }
    }
    if body.is_empty() {
        return body;
    }
    let head = "<th scope=\"col\" class=\"text\">evaluation</th><th scope=\"col\" class=\"text\">what</th>\
                <th scope=\"col\" class=\"text\">value</th>";
    table("", "Where the numbers come from", head, &body)
}
