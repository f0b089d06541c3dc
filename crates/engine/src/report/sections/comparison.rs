//! Models beside each other, case by case: whether differences are more than chance.

use super::{Term, count_cell, grouped};
use crate::evaluate::{ComparedScore, Comparison, Evaluation, Pair, compare};
use crate::report::tables::{between, likely, placed, table};
use crate::report::text::{escape, label, put};

const MODELS: usize = 3;

pub(super) const TERMS: &[Term] = &[
    Term::new(
        "Common cases",
        None,
        "cases that all models were scored on, where the score of this one is defined",
    ),
    Term::new(
        "Mean of cases",
        None,
        "mean over these cases, and in brackets its 95 % interval by the bootstrap over cases",
    ),
    Term::new(
        "Rank",
        Some(false),
        "by the mean over cases where all are defined, 1 the best; in brackets what 95 % of ranks lie in when cases are drawn anew (Wiesenfarth et al. 2021)",
    ),
    Term::new(
        "Difference",
        None,
        "the first model minus the second, mean over cases where both are defined; in brackets its 95 % interval",
    ),
    Term::new(
        "Wilcoxon p",
        None,
        "how likely differences this one-sided are if there is none: the signed-rank test, two-sided; undefined where no two differ",
    ),
    Term::new(
        "Holm p",
        None,
        "the same, corrected for all pairs of this score: below 0.05, the difference is called significant",
    ),
];

/// Empty of one evaluation, or where they have no case in common.
pub(super) fn section(evaluations: &[Evaluation]) -> String {
    let Ok(found) = compare(evaluations, None) else { return String::new() };
    let name = |score: &ComparedScore| match score.class.as_str() {
        "" => format!("{}, probabilities", label(&score.score)),
        class => format!("{}, {class}", label(&score.score)),
    };
    let names: Vec<String> = found.scores.iter().map(name).collect();
    let models = names.iter().zip(&found.scores).map(|(name, score)| {
        let rows = score.models.iter().enumerate().map(|(index, model)| {
            let rank = model.rank.as_ref();
            let cells = vec![
                count_cell(model.summary.defined),
                between(model.summary.mean, model.interval),
                placed(rank),
            ];
            (index, cells)
        });
        (name.as_str(), rows.collect())
    });
    let caption = "Models on the cases that all were scored on";
    let ranked = grouped(evaluations, caption, "score", &TERMS[..MODELS], models);
    ranked + &pairs(&found, &names)
}

/// Every two models.
fn pairs(found: &Comparison, names: &[String]) -> String {
    let mut head =
        "<th scope=\"col\" class=\"text\">score</th><th scope=\"col\" class=\"text\">models</th>"
            .to_owned();
    head += &TERMS[MODELS..].iter().map(Term::heading).collect::<String>();
    let mut body = String::new();
    for (name, score) in names.iter().zip(&found.scores) {
        for (at, pair) in score.pairs.iter().enumerate() {
            let group = if at == 0 { "first" } else { "next" };
            put!(
                body,
                "<tr class=\"{group}\"><th scope=\"row\" class=\"text\">{}</th>",
                escape(name)
            );
            put!(body, "<td class=\"text\">{}</td>", escape(&both(found, pair)));
            body += &between(pair.difference.mean, pair.interval);
            body += &likely(pair.test.map(|test| test.p_value));
            body += &likely(pair.p_corrected);
            body += "</tr>\n";
        }
    }
    table("", "Differences between models", &head, &body)
}

fn both(found: &Comparison, pair: &Pair) -> String {
    let [one, other] = pair.models.map(|at| found.models[at].as_str());
    format!("{one} − {other}")
}
