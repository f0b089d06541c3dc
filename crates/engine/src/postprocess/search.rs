use std::fmt;

use serde::Serialize;
use volume::LabelMap;

use super::rule::{Postprocess, PostprocessStep};
use crate::{Error, Result};

/// The rule that was found, and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PostprocessFound {
    /// The rule; without steps, where nothing helps.
    pub rule: Postprocess,
    /// What was tried, in order.
    pub trials: Vec<PostprocessTrial>,
    /// How many cases were looked at.
    pub cases: usize,
    /// Mean Dice of each class or region before, over the cases that have it or should have it.
    pub before: Vec<Option<f64>>,
    /// And after.
    pub after: Vec<Option<f64>>,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PostprocessTrial {
    /// What it is.
    pub step: PostprocessStep,
    /// Mean Dice before, of all classes or of the one that it is about.
    pub before: Option<f64>,
    /// And with it.
    pub after: Option<f64>,
    /// Whether it is part of the rule.
    pub kept: bool,
}

/// Finds out by held-out predictions whether it helps to keep the largest part alone: of the whole foreground, and then of
/// each class or region.
///
/// `groups` are the label values of each class or region, `read` gives the prediction and the reference of a case, and `ignore` is
/// a value of the reference that does not count. The predictions are to be those of cross-validation: each of a network that has
/// not seen the case.
///
/// # Source
///
/// `determine_postprocessing` of nnU-Net v2: for the whole foreground, mean Dice must rise and that of no class fall; for a class,
/// its own must rise. Each is tried on what the earlier ones left.
///
/// # Errors
///
/// [`Error::Settings`], where there is no case or no class; what `read` returns.
pub fn search_postprocess(
    cases: usize,
    groups: &[Vec<u16>],
    ignore: Option<u16>,
    mut read: impl FnMut(usize) -> Result<(LabelMap, LabelMap)>,
) -> Result<PostprocessFound> {
    if cases == 0 || groups.is_empty() {
        let text = "a rule needs cases and classes that it can be found out with";
        return Err(Error::Settings(text.to_owned()));
    }
    let mut scores = |rules: &[Postprocess]| scores(cases, groups, ignore, rules, &mut read);
    let mut rule = Postprocess::default();
    let with = |rule: &Postprocess, step: &PostprocessStep| {
        let mut rule = rule.clone();
        rule.steps.push(step.clone());
        rule
    };
    let mut all: Vec<u16> = groups.concat();
    all.sort_unstable();
    all.dedup();
    let disjoint = all.len() == groups.iter().map(Vec::len).sum::<usize>();
    let together = PostprocessStep::KeepLargest { labels: all };
    let [before, largest] = two(scores(&[rule.clone(), with(&rule, &together)])?);
    let mut trials = Vec::new();
    let worse = before.iter().zip(&largest).any(|(before, after)| after < before);
    // As in nnU-Net, whose mean is none where a class is in no case.
    let known = largest.iter().all(Option::is_some);
    let kept = known && mean(&largest) > mean(&before) && !worse;
    trials.push(PostprocessTrial {
        before: mean(&before),
        after: mean(&largest),
        step: together.clone(),
        kept,
    });
    let mut base = before.clone();
    if kept {
        rule = with(&rule, &together);
        base = largest;
    }
    if groups.len() > 1 {
        let steps: Vec<PostprocessStep> = groups
            .iter()
            .map(|labels| PostprocessStep::KeepLargest { labels: labels.clone() })
            .collect();
        // Classes that share no voxel do not change each other.
        let tried: Vec<Postprocess> = steps.iter().map(|step| with(&rule, step)).collect();
        let apart = if disjoint { Some(scores(&tried)?) } else { None };
        for (at, step) in steps.into_iter().enumerate() {
            let found = match &apart {
                Some(found) => found[at].clone(),
                None => scores(&[with(&rule, &step)])?.remove(0),
            };
            let (before, after) = (base[at], found[at]);
            let kept = after > before && after.is_some();
            trials.push(PostprocessTrial { before, after, step: step.clone(), kept });
            if kept {
                rule = with(&rule, &step);
                if disjoint {
                    base[at] = after;
                } else {
                    base = found;
                }
            }
        }
    }
    Ok(PostprocessFound { rule, trials, cases, before, after: base })
}

fn two(scores: Vec<Vec<Option<f64>>>) -> [Vec<Option<f64>>; 2] {
    <[_; 2]>::try_from(scores).expect("a score for each of two rules")
}

/// Over what there is.
fn mean(scores: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = scores.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// For each rule, the mean Dice of each group; each case is read once.
fn scores(
    cases: usize,
    groups: &[Vec<u16>],
    ignore: Option<u16>,
    rules: &[Postprocess],
    read: &mut impl FnMut(usize) -> Result<(LabelMap, LabelMap)>,
) -> Result<Vec<Vec<Option<f64>>>> {
    let mut all = vec![vec![Vec::new(); groups.len()]; rules.len()];
    for case in 0..cases {
        let (prediction, reference) = read(case)?;
        if let Some(difference) = reference.grid.difference(&prediction.grid) {
            return Err(Error::Settings(format!(
                "the prediction lies on another grid than its reference: {difference}"
            )));
        }
        for (rule, scores) in rules.iter().zip(&mut all) {
            let mut labels = prediction.clone();
            rule.apply(&mut labels);
            for (group, scores) in groups.iter().zip(scores) {
                scores.push(dice(&labels, &reference, group, ignore));
            }
        }
    }
    let means = |scores: Vec<Vec<Option<f64>>>| scores.iter().map(|of| mean(of)).collect();
    Ok(all.into_iter().map(means).collect())
}

/// `None`, where both masks are empty.
fn dice(
    labels: &LabelMap,
    reference: &LabelMap,
    group: &[u16],
    ignore: Option<u16>,
) -> Option<f64> {
    let (mut both, mut sum) = (0_usize, 0_usize);
    for (label, truth) in labels.data.iter().zip(&reference.data) {
        if Some(*truth) == ignore {
            continue;
        }
        let (found, there) = (group.contains(label), group.contains(truth));
        both += usize::from(found && there);
        sum += usize::from(found) + usize::from(there);
    }
    (sum > 0).then(|| 2.0 * both as f64 / sum as f64)
}

impl fmt::Display for PostprocessFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |score: Option<f64>| score.map_or("none".to_owned(), |it| format!("{it:.4}"));
        write!(f, "{} cases", self.cases)?;
        for PostprocessTrial { step, before, after, kept } in &self.trials {
            let verdict = if *kept { "kept" } else { "left" };
            write!(f, "\n{verdict}: {step}; Dice {} -> {}", shown(*before), shown(*after))?;
        }
        write!(f, "\nmean Dice {} -> {}", shown(mean(&self.before)), shown(mean(&self.after)))
    }
}
