//! What the rules of a challenge say.

use crate::evaluate::{ChallengeSummary, Evaluation};
use crate::report::tables::{cell, heading, summed_up, table};
use crate::report::text::{escape, put};

pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let several = evaluations.len() > 1;
    let mut body = String::new();
    for evaluation in evaluations {
        let Some(found) = &evaluation.challenge else { continue };
        let model = if several { format!(": {}", escape(&evaluation.name)) } else { String::new() };
        body += &regions(evaluation, found, &model);
        body += &overall(evaluation, found, &model);
    }
    body
}

/// Scores of each region over cases.
fn regions(evaluation: &Evaluation, found: &ChallengeSummary, model: &str) -> String {
    let mut scores: Vec<&String> = found.regions.values().flat_map(|it| it.keys()).collect();
    scores.sort();
    scores.dedup();
    if scores.is_empty() {
        return String::new();
    }
    let mut head = "<th scope=\"col\" class=\"text\">region</th>".to_owned();
    head += &scores.iter().map(|score| named(evaluation, found, score)).collect::<String>();
    let mut body = String::new();
    for (region, of_region) in &found.regions {
        put!(body, "<tr><th scope=\"row\" class=\"text\">{}</th>", escape(region));
        body += &scores.iter().map(|score| summed_up(of_region.get(*score))).collect::<String>();
        body += "</tr>\n";
    }
    let caption = format!("By the rules of {}, over cases{model}", escape(&found.name));
    table("", &caption, &head, &body)
}

/// Scores of all cases together.
fn overall(evaluation: &Evaluation, found: &ChallengeSummary, model: &str) -> String {
    if found.overall.is_empty() {
        return String::new();
    }
    let mut head = "<th scope=\"col\" class=\"text\"></th>".to_owned();
    head += &found.overall.keys().map(|it| named(evaluation, found, it)).collect::<String>();
    let cells: String = found.overall.values().map(|value| cell(*value)).collect();
    let body = format!("<tr><th scope=\"row\" class=\"text\">all cases</th>{cells}</tr>\n");
    let caption = format!("By the rules of {}, all cases together{model}", escape(&found.name));
    table("", &caption, &head, &body)
}

/// A column, with what the challenge, or else the evaluation, says that its score is.
fn named(evaluation: &Evaluation, found: &ChallengeSummary, score: &str) -> String {
    let own = format!("{}/{score}", found.name);
    let known = if evaluation.definitions.contains_key(&own) { &own } else { score };
    heading(std::slice::from_ref(evaluation), known, "")
}
