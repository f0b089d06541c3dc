//! The tables of a report.

use metrics::RankStability;

use super::sections::Term;
use super::text::{UNDEFINED, escape, label, number, number_like, put, quantity};
use super::{
    MEAN, aggregate, classes, covers, definition, mask_scores, primary, probability_scores, value,
};
use crate::evaluate::{CaseScores, Evaluation, Summary};

/// A table with a caption; `head` is a row of `th`, `body` rows.
pub(super) fn table(class: &str, caption: &str, head: &str, body: &str) -> String {
    format!(
        "<div class=\"scroll {class}\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\
         <table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n"
    )
}

/// The heading of a score's column, with the definition as a tooltip.
pub(super) fn heading(evaluations: &[Evaluation], score: &str, prefix: &str) -> String {
    let (mut tip, mut hint) = (String::new(), String::new());
    if let Some(definition) = definition(evaluations, score) {
        let arrow = if definition.larger_is_better { "↑" } else { "↓" };
        let unit = if definition.unit.is_empty() {
            arrow.to_owned()
        } else {
            format!("{} {arrow}", escape(&definition.unit))
        };
        hint = format!(" <small>{unit}</small>");
        tip = format!(" title=\"{}\"", escape(&definition.text));
    }
    format!("<th scope=\"col\"{tip}>{prefix}{}{hint}</th>", escape(&label(score)))
}

/// A cell that sorts by its value.
pub(super) fn cell(value: Option<f64>) -> String {
    let sort = value.filter(|value| value.is_finite());
    // Zero has no sign.
    let sort = sort.map_or(String::new(), |value| format!(" data-value=\"{}\"", value + 0.0));
    format!("<td{sort}>{}</td>", number(value))
}

/// A rank: a whole number, but for ties.
pub(super) fn placed(rank: Option<&RankStability>) -> String {
    let Some(RankStability { rank, interval: [low, high], .. }) = rank else {
        return format!("<td>{UNDEFINED}</td>");
    };
    format!("<td data-value=\"{rank}\">{rank} <small>[{low}, {high}]</small></td>")
}

/// A probability, which is never nothing.
pub(super) fn likely(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 1e-4 => format!("<td data-value=\"{p}\">&lt; 0.0001</td>"),
        p => cell(p),
    }
}

/// A value with its interval beneath.
pub(super) fn between(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let Some(value) = value else { return format!("<td>{UNDEFINED}</td>") };
    let interval = interval.map_or(String::new(), |[low, high]| {
        format!(" <small>[{}, {}]</small>", number(Some(low)), number(Some(high)))
    });
    format!("<td data-value=\"{}\">{}{interval}</td>", value + 0.0, number(Some(value)))
}

/// A score over all cases: mean ± sd, and beneath median and counts.
pub(super) fn summed_up(found: Option<&Summary>) -> String {
    let Some(aggregate) = found else {
        return format!("<td>{UNDEFINED}</td>");
    };
    let spread = aggregate
        .standard_deviation
        .map_or(String::new(), |sd| format!(" ± {}", number_like(Some(sd), aggregate.mean)));
    let undefined = if aggregate.undefined > 0 {
        format!(", {UNDEFINED}&nbsp;{}", aggregate.undefined)
    } else {
        String::new()
    };
    format!(
        "<td><b>{}</b>{spread}<small>median&nbsp;{}<br>n&nbsp;{}{undefined}</small></td>",
        number(aggregate.mean),
        number_like(aggregate.median, aggregate.mean),
        aggregate.defined
    )
}

pub(super) fn name_cell(evaluation: &Evaluation, index: usize) -> String {
    let series = index % super::SERIES;
    format!("<td class=\"text\"><i class=\"chip s{series}\"></i>{}</td>", escape(&evaluation.name))
}

/// Scores of masks by class and evaluation.
pub(super) fn by_class(evaluations: &[Evaluation]) -> String {
    let scores = mask_scores(evaluations);
    let several = evaluations.len() > 1;
    let mut head = "<th scope=\"col\" class=\"text\">class</th>".to_owned();
    if several {
        head += "<th scope=\"col\" class=\"text\">model</th>";
    }
    for score in &scores {
        head += &heading(evaluations, score, "");
    }
    let mut body = String::new();
    for class in classes(evaluations) {
        let models = || evaluations.iter().enumerate().filter(|(_, one)| covers(one, class));
        let first = models().next().map(|(index, _)| index);
        for (index, evaluation) in models() {
            let shown = if class == MEAN { "mean over classes" } else { class };
            let group = if Some(index) == first { "first" } else { "next" };
            let mean = if class == MEAN { " mean" } else { "" };
            put!(body, "<tr class=\"{group}{mean}\">");
            put!(body, "<th scope=\"row\" class=\"text\">{}</th>", escape(shown));
            if several {
                body += &name_cell(evaluation, index);
            }
            for score in &scores {
                body += &summed_up(aggregate(evaluation, class, score));
            }
            body += "</tr>\n";
        }
    }
    table("", "Scores of masks over cases: mean ± standard deviation", &head, &body)
}

/// Scores of probabilities over cases; empty where there are none.
pub(super) fn probabilities(evaluations: &[Evaluation]) -> String {
    let scores = probability_scores(evaluations);
    if scores.is_empty() {
        return String::new();
    }
    let mut head = "<th scope=\"col\" class=\"text\">model</th>".to_owned();
    for score in &scores {
        head += &heading(evaluations, score, "");
    }
    let mut body = String::new();
    for (index, evaluation) in evaluations.iter().enumerate() {
        put!(body, "<tr>{}", name_cell(evaluation, index));
        for score in &scores {
            body += &summed_up(evaluation.probabilities.get(*score));
        }
        body += "</tr>\n";
    }
    let caption = "Scores of probabilities of each case: mean ± standard deviation over cases";
    table("", caption, &head, &body)
}

/// The cases of an evaluation by [`primary`] score, the worst first and undefined ones last.
pub(super) fn ranked(evaluation: &Evaluation) -> Vec<&CaseScores> {
    let mut cases: Vec<&CaseScores> = evaluation.cases.iter().collect();
    let Some(score) = primary(std::slice::from_ref(evaluation)) else {
        return cases;
    };
    let up = evaluation.definitions.get(score).is_none_or(|found| found.larger_is_better);
    let key = |case: &CaseScores| value(case, MEAN, score);
    cases.sort_by(|a, b| match (key(a), key(b)) {
        (Some(a), Some(b)) if up => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    cases
}

/// Every case of one evaluation: all scores of its mean, the first score of each class, and the
/// scores of its probabilities.
pub(super) fn by_case(evaluation: &Evaluation) -> String {
    let one = std::slice::from_ref(evaluation);
    let (masks, probabilities) = (mask_scores(one), probability_scores(one));
    let first = primary(one);
    let several = evaluation.classes.len() > 1;
    let mut head = "<th scope=\"col\" class=\"text\">case</th>".to_owned();
    for score in &masks {
        head += &heading(one, score, if several { "mean " } else { "" });
    }
    for class in evaluation.classes.iter().filter(|_| several) {
        if let Some(score) = first {
            head += &heading(one, score, &format!("{} ", escape(class)));
        }
    }
    for score in &probabilities {
        head += &heading(one, score, "");
    }
    let mut body = String::new();
    for case in ranked(evaluation) {
        put!(body, "<tr><th scope=\"row\" class=\"text\">{}</th>", escape(&case.id));
        for score in &masks {
            body += &cell(value(case, MEAN, score));
        }
        for class in evaluation.classes.iter().filter(|_| several) {
            if let Some(score) = first {
                body += &cell(value(case, class, score));
            }
        }
        for score in &probabilities {
            body += &cell(case.probabilities.get(*score).copied().flatten());
        }
        body += "</tr>\n";
    }
    let caption = format!("Cases of {}, the worst first", escape(&evaluation.name));
    table("cases", &caption, &head, &body)
}

/// The first score of every case in each of several evaluations of one data set, side by side; by
/// how much the last differs from the first. Empty for several data sets: cases of one name are not
/// the same case there.
pub(super) fn side_by_side(evaluations: &[Evaluation]) -> String {
    let (Some(score), [first, .., last]) = (primary(evaluations), evaluations) else {
        return String::new();
    };
    if evaluations.iter().any(|evaluation| evaluation.dataset != first.dataset) {
        return String::new();
    }
    let mut head = "<th scope=\"col\" class=\"text\">case</th>".to_owned();
    for evaluation in evaluations {
        put!(head, "<th scope=\"col\">{}</th>", escape(&evaluation.name));
    }
    head += "<th scope=\"col\" title=\"the last minus the first\">difference</th>";
    let mut body = String::new();
    let find = |evaluation: &Evaluation, id: &str| {
        let case = evaluation.cases.iter().find(|case| case.id == id)?;
        value(case, MEAN, score)
    };
    for case in ranked(first) {
        put!(body, "<tr><th scope=\"row\" class=\"text\">{}</th>", escape(&case.id));
        for evaluation in evaluations {
            body += &cell(find(evaluation, &case.id));
        }
        let both = find(first, &case.id).zip(find(last, &case.id));
        body += &cell(both.map(|(first, last)| last - first));
        body += "</tr>\n";
    }
    let caption = format!("{} of each case in each model", escape(&label(score)));
    table("cases", &caption, &head, &body)
}

/// What each score is, and each number beside scores.
pub(super) fn definitions(evaluations: &[Evaluation], terms: &[Term]) -> String {
    let head = "<th scope=\"col\" class=\"text\">score</th><th scope=\"col\" class=\"text\">unit\
                </th><th scope=\"col\" class=\"text\">better</th><th scope=\"col\" class=\"text\">\
                definition</th>";
    let mut body = String::new();
    let mut put = |name: &str, unit: &str, larger_is_better: Option<bool>, text: &str| {
        let unit = if unit.is_empty() { "none" } else { unit };
        let better = larger_is_better.map_or("neither", |up| if up { "larger" } else { "smaller" });
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{}</th><td class=\"text\">{}</td>\
             <td class=\"text\">{better}</td><td class=\"text wide\">{}</td></tr>\n",
            escape(name),
            escape(unit),
            escape(text)
        );
    };
    let mut names: Vec<&String> =
        evaluations.iter().flat_map(|evaluation| evaluation.definitions.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let Some(found) = definition(evaluations, name) else { continue };
        put(&label(name), &found.unit, Some(found.larger_is_better), &found.text);
    }
    for term in terms {
        put(term.name, term.unit, term.larger_is_better, term.text);
    }
    table("", "Definitions", head, &body)
}

/// Names and values.
pub(super) fn settings(settings: &[(String, String)]) -> String {
    let mut body = String::new();
    for (name, value) in settings {
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{}</th><td class=\"text wide\"><code>{}</code></td></tr>\n",
            escape(name),
            escape(value)
        );
    }
    let head =
        "<th scope=\"col\" class=\"text\">setting</th><th scope=\"col\" class=\"text\">value</th>";
    table("", "Settings", head, &body)
}

/// One headline number for each evaluation.
pub(super) fn card(
    evaluations: &[Evaluation],
    name: &str,
    tip: &str,
    values: &[(Option<f64>, &str, String)],
) -> String {
    let mut rows = String::new();
    for (index, (value, unit, note)) in values.iter().enumerate() {
        let mut model = String::new();
        if values.len() > 1 {
            let series = index % super::SERIES;
            let name = escape(&evaluations[index].name);
            put!(model, "<span><i class=\"chip s{series}\"></i>{name}</span>");
        }
        let value = escape(&quantity(*value, unit));
        put!(rows, "<p>{model}<strong>{value}</strong><small>{}</small></p>", escape(note));
    }
    format!("<div class=\"card\" title=\"{}\"><h3>{}</h3>{rows}</div>\n", escape(tip), escape(name))
}
