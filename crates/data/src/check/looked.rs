//! A check that several processes share: each looks at some cases, and what they saw is judged together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, gather_of};
use super::{Report, case, report};
use crate::problem::Problem;
use crate::{Dataset, Fold};

/// What a look at some cases of a data set showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// The version of this format: 1.
    schema: u32,
    /// The name of the data set.
    dataset: String,
    cases: BTreeMap<String, Seen>,
}

/// Of one case: what it is like, or why nobody knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seen {
    Facts(Facts),
    Problem(Problem),
}

/// Looks at some cases of a data set; `progress` as for [`check`](super::check()).
pub fn look(
    dataset: &dyn Dataset,
    ids: &[&str],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Looked {
    let seen = gather_of(dataset, ids, &|_, _| (), progress);
    let seen = ids.iter().zip(seen).map(|(&id, facts)| {
        let seen =
            facts.map_or_else(|error| Seen::Problem(Problem::from_error(id, &error)), Seen::Facts);
        (id.to_owned(), seen)
    });
    let dataset = dataset.description().name.clone();
    Looked { schema: Looked::SCHEMA, dataset, cases: seen.collect() }
}

impl Looked {
    /// The version of the format of its JSON.
    pub const SCHEMA: u32 = 1;

    /// What is wrong with these cases by themselves; not what only all cases together show, such as
    /// images that there are twice.
    pub fn report(&self, dataset: &dyn Dataset) -> Report {
        let mut problems = Vec::new();
        let labelled = |seen: &&Seen| matches!(seen, Seen::Facts(it) if it.voxels.is_some());
        let labelled = self.cases.values().filter(labelled).count();
        for (id, seen) in &self.cases {
            match seen {
                Seen::Facts(facts) => case(dataset, id, facts, labelled, &mut problems),
                Seen::Problem(problem) => problems.push(problem.clone()),
            }
        }
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        Report { dataset: self.dataset.clone(), cases: self.cases.len(), problems }
    }
}

/// What [`check_with_folds`](super::check_with_folds) says, of what was seen of all cases: no image is
/// read again.
///
/// # Errors
///
/// Where `looked` are of another data set, or of other cases than it has; in words.
pub fn check_looked(
    dataset: &dyn Dataset,
    folds: &[Fold],
    looked: Vec<Looked>,
) -> Result<Report, String> {
    let name = &dataset.description().name;
    let mut cases = BTreeMap::new();
    for looked in looked {
        if looked.dataset != *name {
            return Err(format!("they are of {}, not of {name}", looked.dataset));
        }
        for (id, seen) in looked.cases {
            if let Some(id) = cases.insert(id.clone(), seen).and(Some(id)) {
                return Err(format!("case {id} is in two of them"));
            }
        }
    }
    let facts = dataset.ids().iter().map(|id| match cases.remove(id) {
        Some(Seen::Facts(facts)) => Ok(Ok(facts)),
        Some(Seen::Problem(problem)) => Ok(Err(problem)),
        None => Err(format!("case {id} is in none of them")),
    });
    let facts = facts.collect::<Result<Vec<_>, _>>()?;
    match cases.pop_first() {
        Some((id, _)) => Err(format!("case {id} is no longer in the data set")),
        None => Ok(report(dataset, folds, &facts)),
    }
}
