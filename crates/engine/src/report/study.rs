//! The page of a study.

use super::charts::ranks;
use super::page::{Section, chart, framed};
use super::tables::{between, likely, placed, table};
use super::text::{escape, label, number, number_like, plural, put};
use crate::Provenance;
use crate::study::{CellScore, ScoreTable, StudyTable};

/// A study as one HTML page: its claim, what came out, a table of means, ranks, and every contrast with its test.
///
/// `ran` is what is known of its runs beside their scores, as name and value: machine, hours, commit. It is as self-contained as
/// [`html`](super::html).
pub fn study_html(found: &StudyTable, ran: &[(String, String)], provenance: &Provenance) -> String {
    let sections = [
        Section { id: "claim", title: "Claim", body: claim(found) },
        Section { id: "means", title: "Means", body: means(found) },
        Section { id: "contrasts", title: "Contrasts", body: contrasts(found) },
        Section { id: "ranks", title: "Ranks", body: ranked(found) },
        Section { id: "definitions", title: "Definitions", body: definitions(found) },
        Section { id: "runs", title: "Runs", body: runs(found, ran) },
    ];
    let mut overview =
        format!("{} of {}", plural(found.cells.len(), "cell"), plural(found.seeds.len(), "seed"));
    put!(overview, " each, scored on {}", plural(found.cases, "case"));
    if found.groups < found.cases {
        put!(overview, " of {}", plural(found.groups, "group"));
    }
    framed(&escape(&found.title), &(overview + "."), "", &sections, provenance)
}

fn claim(found: &StudyTable) -> String {
    let mut body = String::new();
    if !found.claim.is_empty() {
        put!(body, "<p><strong>Under test.</strong> {}</p>\n", escape(&found.claim));
    }
    if !found.caption.is_empty() {
        put!(body, "<p><strong>Found.</strong> {}</p>\n", escape(&found.caption));
    }
    body
}

/// The headings of the factors, and the levels of a cell beneath them.
fn factors(found: &StudyTable) -> String {
    let heading = |name: &String| format!("<th scope=\"col\" class=\"text\">{}</th>", escape(name));
    found.factors.iter().map(heading).collect()
}

fn levels(levels: &[String]) -> String {
    let cell = |name: &String| format!("<td class=\"text\">{}</td>", escape(name));
    levels.iter().map(cell).collect()
}

fn heading(score: &ScoreTable) -> String {
    let arrow = if score.larger_is_better { "↑" } else { "↓" };
    let (tip, name) = (escape(&score.definition), escape(&label(&score.score)));
    format!("<th scope=\"col\" title=\"{tip}\">{name} <small>{arrow}</small></th>")
}

fn means(found: &StudyTable) -> String {
    let mut head = factors(found);
    head += &found.scores.iter().map(heading).collect::<String>();
    let mut body = String::new();
    for (at, cell) in found.cells.iter().enumerate() {
        put!(body, "<tr>{}", levels(cell));
        for score in &found.scores {
            body += &mean(&score.cells[at]);
        }
        body += "</tr>\n";
    }
    let units = if found.groups < found.cases { "groups" } else { "cases" };
    let note = format!(
        "<p class=\"note\">Mean over {units} of what each has on average over seeds, ± standard deviation over seeds of that mean; in \
         brackets its 95 % interval by the bootstrap over {units}.</p>\n"
    );
    table("", "Means of every cell", &head, &body) + &note
}

/// A mean ± its spread over seeds, and its interval beneath.
fn mean(found: &CellScore) -> String {
    let Some(mean) = found.summary.mean else { return between(None, None) };
    let spread = found
        .over_seeds
        .map_or(String::new(), |sd| format!(" ± {}", number_like(Some(sd), Some(mean))));
    let interval = found.interval.map_or(String::new(), |ends| {
        let [low, high] = ends.map(|end| number(Some(end)));
        format!("<br><small>[{low}, {high}]</small>")
    });
    format!("<td data-value=\"{}\">{}{spread}{interval}</td>", mean + 0.0, number(Some(mean)))
}

fn contrasts(found: &StudyTable) -> String {
    let mut body = String::new();
    for score in &found.scores {
        for (at, contrast) in score.contrasts.iter().enumerate() {
            let group = if at == 0 { "first" } else { "next" };
            let [one, other] = contrast.cells.map(|cell| found.cells[cell].join(", "));
            put!(
                body,
                "<tr class=\"{group}\"><th scope=\"row\" class=\"text\">{}</th><td class=\"text\">{} − {}</td>",
                escape(&label(&score.score)),
                escape(&one),
                escape(&other)
            );
            body += &between(contrast.difference.mean, contrast.interval);
            body += &likely(contrast.test.map(|test| test.p_value));
            body += &likely(contrast.p_corrected);
            body += "</tr>\n";
        }
    }
    if body.is_empty() {
        return body;
    }
    let head = "<th scope=\"col\" class=\"text\">score</th><th scope=\"col\" class=\"text\">cells</th>\
                <th scope=\"col\">difference</th><th scope=\"col\">Wilcoxon p</th><th scope=\"col\">Holm p</th>";
    let note = "<p class=\"note\">The first minus the second, with its 95 % interval; the two-sided signed-rank test; the same corrected \
                for all contrasts of a score. A difference that is not significant is no proof that there is none.</p>\n";
    table("", "Contrasts", head, &body) + note
}

fn ranked(found: &StudyTable) -> String {
    // A colour for each level of the first factor.
    let mut known: Vec<&String> = Vec::new();
    let series: Vec<usize> = (found.cells.iter())
        .map(|cell| {
            let Some(level) = cell.first() else { return 0 };
            known.iter().position(|it| *it == level).unwrap_or_else(|| {
                known.push(level);
                known.len() - 1
            })
        })
        .collect();
    let mut figures = String::new();
    for score in &found.scores {
        let rows = found.cells.iter().zip(&series).zip(&score.cells);
        let rows: Vec<_> = rows
            .filter_map(|((cell, series), own)| {
                Some((cell.join(", "), *series, own.rank.as_ref()?))
            })
            .collect();
        let Some(drawing) = ranks(&rows) else { continue };
        let name = escape(&label(&score.score));
        let caption = format!(
            "{name}: rank by the mean, and where 95 % of ranks lie when cases are drawn anew."
        );
        figures += &chart("", &drawing, &format!("Ranks by {name}"), &caption);
    }
    if figures.is_empty() {
        return figures;
    }
    let mut body = String::new();
    for (at, cell) in found.cells.iter().enumerate() {
        put!(body, "<tr>{}", levels(cell));
        for score in &found.scores {
            body += &placed(score.cells[at].rank.as_ref());
        }
        body += "</tr>\n";
    }
    let head = factors(found) + &found.scores.iter().map(heading).collect::<String>();
    format!(
        "<div class=\"charts\">{figures}</div>\n{}",
        table("", "Ranks of every cell", &head, &body)
    )
}

fn definitions(found: &StudyTable) -> String {
    let mut body = String::new();
    for score in &found.scores {
        let (name, text) = (escape(&label(&score.score)), escape(&score.definition));
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{name}</th><td class=\"text wide\">{text}</td></tr>\n"
        );
    }
    table(
        "",
        "Scores",
        "<th scope=\"col\" class=\"text\">score</th><th scope=\"col\" class=\"text\">what it is</th>",
        &body,
    )
}

fn runs(found: &StudyTable, ran: &[(String, String)]) -> String {
    let seeds = found.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let own = [("runs".to_owned(), found.runs.to_string()), ("seeds".to_owned(), seeds)];
    let mut body = String::new();
    for (name, value) in own.iter().chain(ran) {
        let (name, value) = (escape(name), escape(value));
        put!(
            body,
            "<tr><th scope=\"row\" class=\"text\">{name}</th><td class=\"text wide\">{value}</td></tr>\n"
        );
    }
    table(
        "",
        "Runs",
        "<th scope=\"col\" class=\"text\">what</th><th scope=\"col\" class=\"text\">value</th>",
        &body,
    )
}
