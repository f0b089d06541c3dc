use data::{Dataset, Fold, SplitRule, Subset};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which cases are held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// By which rule: nnU-Net's, or that of a paper.
    pub rule: SplitRule,
    /// The number of folds.
    pub folds: usize,
    /// The fold that is held out, from 0.
    pub fold: usize,
    /// The seed of the shuffle; 12345 is nnU-Net's.
    pub seed: u32,
    /// Cases that are held out of every fold, whatever the rule says of the others, such as those of another hospital:
    /// their names, in which `*` stands for anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_out: Vec<String>,
}

impl Default for SplitConfig {
    fn default() -> Self {
        let (rule, held_out) = (SplitRule::Nnunet, Vec::new());
        Self { rule, folds: 5, fold: 0, seed: 12345, held_out }
    }
}

impl SplitConfig {
    /// Divides a data set: what [`held_out`](Self::held_out) does not name by the rule, and the rest held out, too.
    ///
    /// # Errors
    ///
    /// As [`Fold::by`]; [`Error::Settings`], where a name stands for no case, or one group of cases, such as those of a patient, would be
    /// divided.
    pub fn divide(&self, dataset: &dyn Dataset) -> Result<Fold> {
        let Self { rule, folds, fold, seed, ref held_out } = *self;
        if held_out.is_empty() {
            return Ok(Fold::by(rule, dataset, folds, fold, seed)?);
        }
        let ids = dataset.ids();
        if let Some(lost) = held_out.iter().find(|name| !ids.iter().any(|id| fits(name, id))) {
            let name = &dataset.description().name;
            return Err(Error::Settings(format!(
                "split.held_out names {lost:?}, but no case of {name} is called that; `*` stands for any part of a name"
            )));
        }
        let is_out = |id: &String| held_out.iter().any(|name| fits(name, id));
        let (out, rest): (Vec<String>, Vec<String>) = ids.iter().cloned().partition(is_out);
        let mut divided = Fold::by(rule, &Subset::new(dataset, rest), folds, fold, seed)?;
        divided.val.extend(out);
        divided.val.sort();
        divided.check(dataset)?;
        Ok(divided)
    }
}

/// Whether a name is what a pattern with `*` stands for.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = name.split_once(part) else { return false };
        name = after;
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use data::{Phantom, PhantomConfig};

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("a*", "a"),
            ("a*c", "abc"),
            ("*b*", "abc"),
            ("*b*d*", "abcde"),
            ("a*a", "aa"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a", "ab"),
            ("a*", "ba"),
            ("a*c", "ab"),
            ("*d*b*", "abcd"),
            ("a*a", "a"),
            ("", "a"),
            ("*b*c", "bb"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_named_is_held_out_of_every_fold() -> anyhow::Result<()> {
        let phantom = Phantom::new(PhantomConfig {
            cases: 12,
            size: [1, 32, 32],
            ..PhantomConfig::default()
        })?;
        let held_out = vec!["case1*".to_owned()];
        let mut seen = Vec::new();

        for fold in 0..3 {
            let config = SplitConfig {
                folds: 3,
                fold,
                held_out: held_out.clone(),
                ..SplitConfig::default()
            };
            let divided = config.divide(&phantom)?;
            assert_eq!(divided.train.len() + divided.val.len(), 12);
            for id in ["case10", "case11", "case12"] {
                assert!(divided.val.iter().any(|case| case == id), "{id} in fold {fold}");
            }
            assert_eq!(divided.val.len(), 6);
            seen.extend(divided.val);
        }

        seen.sort();
        seen.dedup();
        assert_eq!(seen, phantom.ids(), "each case is held out once");
        let config = SplitConfig { held_out: vec!["nobody*".to_owned()], ..SplitConfig::default() };
        let error = config.divide(&phantom).unwrap_err().to_string();
        assert!(error.contains("names \"nobody*\", but no case of"), "{error}");
        Ok(())
    }
}
