use std::collections::BTreeMap;
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
            let pairs = Pairs::of(&labels, &reference, ignore);
            for (group, scores) in groups.iter().zip(scores) {
                scores.push(pairs.dice(group));
            }
        }
    }
    let means = |scores: Vec<Vec<Option<f64>>>| scores.iter().map(|of| mean(of)).collect();
    Ok(all.into_iter().map(means).collect())
}

/// How often each label meets each label of the reference.
struct Pairs(BTreeMap<(u16, u16), usize>);

impl Pairs {
    /// Counted once, however many classes there are; voxels whose reference is `ignore` do not count.
    fn of(labels: &LabelMap, reference: &LabelMap, ignore: Option<u16>) -> Self {
        let mut counts = BTreeMap::new();
        // Neighbours are mostly alike.
        let (mut last, mut run) = ((0, 0), 0_usize);
        for pair in labels.data.iter().copied().zip(reference.data.iter().copied()) {
            if pair != last {
                *counts.entry(last).or_default() += run;
                (last, run) = (pair, 0);
            }
            run += 1;
        }
        *counts.entry(last).or_default() += run;
        counts.retain(|&(_, truth), _| Some(truth) != ignore);
        Self(counts)
    }

    /// Of a class or region; `None`, where both masks are empty.
    fn dice(&self, group: &[u16]) -> Option<f64> {
        let (mut both, mut sum) = (0_usize, 0_usize);
        for (&(label, truth), &count) in &self.0 {
            let (found, there) = (group.contains(&label), group.contains(&truth));
            both += if found && there { count } else { 0 };
            sum += count * (usize::from(found) + usize::from(there));
        }
        (sum > 0).then(|| 2.0 * both as f64 / sum as f64)
    }
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

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use volume::Grid;

    use super::*;

    fn map(row: &[u16]) -> anyhow::Result<LabelMap> {
        let data = Array3::from_shape_vec((1, 1, row.len()), row.to_vec())?;
        Ok(LabelMap::new(Grid::new([1, 1, row.len()], [1.0; 3])?, data)?)
    }

    fn found(
        cases: &[(&[u16], &[u16])],
        groups: &[Vec<u16>],
        ignore: Option<u16>,
    ) -> anyhow::Result<PostprocessFound> {
        let maps: Vec<(LabelMap, LabelMap)> = cases
            .iter()
            .map(|(said, truth)| Ok((map(said)?, map(truth)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(search_postprocess(maps.len(), groups, ignore, |case| Ok(maps[case].clone()))?)
    }

    fn kept(found: &PostprocessFound) -> Vec<bool> {
        found.trials.iter().map(|trial| trial.kept).collect()
    }

    #[test]
    fn what_helps_one_class_and_harms_another_is_done_for_the_one_alone() -> anyhow::Result<()> {
        // The 1 at the end is not there; the two parts of 2 are.
        let case: (&[u16], &[u16]) = (&[1, 1, 1, 0, 2, 0, 2, 0, 1], &[1, 1, 1, 0, 2, 0, 2, 0, 0]);

        let found = found(&[case], &[vec![1], vec![2]], None)?;

        assert_eq!(kept(&found), [false, true, false]);
        assert_eq!(found.rule.steps, [PostprocessStep::KeepLargest { labels: vec![1] }]);
        assert_eq!(found.before, [Some(6.0 / 7.0), Some(1.0)]);
        assert_eq!(found.after, [Some(1.0), Some(1.0)]);
        Ok(())
    }

    #[test]
    fn regions_are_tried_on_what_the_earlier_ones_left() -> anyhow::Result<()> {
        // Once the far part of the whole is gone, so is that of the core.
        let case: (&[u16], &[u16]) = (&[1, 2, 2, 1, 0, 2], &[1, 2, 2, 1, 0, 0]);

        let found = found(&[case], &[vec![1, 2], vec![2]], None)?;

        assert_eq!(kept(&found), [true, false, false]);
        assert_eq!(found.after, [Some(1.0), Some(1.0)]);
        Ok(())
    }

    #[test]
    fn ignored_voxels_and_absent_classes_count_as_in_nnunet() -> anyhow::Result<()> {
        // What is removed lies where nothing is known.
        let case: (&[u16], &[u16]) = (&[1, 1, 0, 1], &[1, 1, 0, 9]);
        assert_eq!(kept(&found(&[case], &[vec![1]], Some(9))?), [false]);
        assert_eq!(kept(&found(&[case], &[vec![1]], None)?), [true]);
        // A class in no case leaves no mean of all, but each class has its own.
        let with_absent = found(&[case], &[vec![1], vec![2]], None)?;
        assert_eq!(kept(&with_absent), [false, true, false]);
        assert!(found(&[], &[vec![1]], None).is_err() && found(&[case], &[], None).is_err());
        Ok(())
    }
}
