use std::collections::BTreeMap;

/// How a challenge puts submissions into one order: ranks first, then their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRule {
    /// The scores, larger being better, each a mean over regions and cases: a submission has a rank by each of them, and is ordered by
    /// the mean of its ranks.
    pub scores: &'static [&'static str],
    /// The region and the score whose mean over cases decides between equal means of ranks.
    pub tie: (&'static str, &'static str),
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// 1 is the best; submissions that nothing tells apart share the better place.
    pub place: usize,
    /// The mean of its ranks.
    pub mean_rank: f64,
    /// Score → mean over regions and cases.
    pub means: BTreeMap<String, f64>,
}

/// The scores of one case: region → score → value.
pub type CaseParts = BTreeMap<String, BTreeMap<String, Option<f64>>>;

impl RankRule {
    /// Orders submissions, each of which has been scored on the same cases; `None` where a score is undefined, or there is no case.
    ///
    /// By each score, submissions of equal means share the better rank.
    pub fn place(&self, submissions: &[Vec<CaseParts>]) -> Option<Vec<Placed>> {
        let mut means = Vec::with_capacity(submissions.len());
        let mut ties = Vec::with_capacity(submissions.len());
        for cases in submissions {
            let of_all = |score: &&str| {
                let values = cases.iter().flat_map(|case| case.values());
                Some(((*score).to_owned(), mean(values.map(|part| *part.get(*score)?))?))
            };
            means.push(self.scores.iter().map(of_all).collect::<Option<BTreeMap<_, _>>>()?);
            let (region, score) = self.tie;
            ties.push(mean(cases.iter().map(|case| *case.get(region)?.get(score)?))?);
        }
        let ranks: Vec<Vec<usize>> = self
            .scores
            .iter()
            .map(|score| {
                ranks(&means.iter().map(|of| of[*score]).collect::<Vec<_>>(), f64::total_cmp)
            })
            .collect();
        let total = |at: usize| ranks.iter().map(|of_score| of_score[at]).sum::<usize>();
        let keys: Vec<(usize, f64)> =
            ties.iter().enumerate().map(|(at, &tie)| (total(at), tie)).collect();
        // The smaller sum of ranks is better, and of equal ones the larger score.
        let places =
            self::ranks(&keys, |one, other| other.0.cmp(&one.0).then(one.1.total_cmp(&other.1)));
        let placed = places.into_iter().zip(means).enumerate().map(|(at, (place, means))| Placed {
            place,
            mean_rank: total(at) as f64 / self.scores.len() as f64,
            means,
        });
        Some(placed.collect())
    }
}

/// The rank of each value, 1 for the largest: one more than how many are larger.
fn ranks<T>(values: &[T], compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Vec<usize> {
    let rank = |value: &T| 1 + values.iter().filter(|other| compare(other, value).is_gt()).count();
    values.iter().map(rank).collect()
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values = values.collect::<Option<Vec<f64>>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RankRule = RankRule { scores: &["dice", "surface_dice"], tie: ("tumor", "dice") };

    /// A case of two regions: Dice and surface Dice of each.
    fn case([kidney, tumor]: [[f64; 2]; 2]) -> CaseParts {
        let part = |[dice, surface]: [f64; 2]| {
            BTreeMap::from([
                ("dice".to_owned(), Some(dice)),
                ("surface_dice".to_owned(), Some(surface)),
            ])
        };
        BTreeMap::from([("kidney".to_owned(), part(kidney)), ("tumor".to_owned(), part(tumor))])
    }

    #[test]
    fn ranks_are_averaged_and_the_tie_decides() {
        // By Dice: b, a and c alike; by surface Dice: c, a, b.
        let a = case([[0.75, 0.5], [0.5, 0.5]]);
        let b = case([[0.75, 0.25], [0.75, 0.25]]);
        let c = case([[0.5, 0.75], [0.75, 0.75]]);

        let placed = RULE.place(&[vec![a.clone()], vec![b], vec![c]]).expect("all is defined");

        assert_eq!(placed.iter().map(|it| it.mean_rank).collect::<Vec<_>>(), [2.0, 2.0, 1.5]);
        // The tumours of b are better than those of a.
        assert_eq!(placed.iter().map(|it| it.place).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(
            placed[0].means,
            BTreeMap::from([("dice".to_owned(), 0.625), ("surface_dice".to_owned(), 0.5)])
        );
        let same = RULE.place(&[vec![a.clone()], vec![a]]).expect("all is defined");
        assert_eq!(same.iter().map(|it| it.place).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn what_is_undefined_is_not_ranked() {
        let mut a = case([[0.5; 2]; 2]);
        assert!(RULE.place(&[vec![a.clone()]]).is_some());
        a.get_mut("kidney").and_then(|part| part.insert("dice".to_owned(), None));
        assert_eq!(RULE.place(&[vec![a]]), None);
        assert_eq!(RULE.place(&[vec![]]), None);
    }
}
