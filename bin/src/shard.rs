//! A part of the cases of a command, for machines that share its work.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use sconce::ranks;
use serde::Serialize;

/// The part number `I` of `N`, written `I/N`, both from 1: every `N`th case, so that neighbours, which are often alike in size, go to
/// different machines. Each case is in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(ranks::Shard);

impl Shard {
    /// The part of one of several processes.
    pub(crate) fn of(group: &dyn ranks::Group) -> Self {
        Self(ranks::Shard::of(group))
    }

    /// The places of its cases among so many, from 0.
    pub(crate) fn places(self, total: usize) -> impl Iterator<Item = usize> {
        (0..total).filter(move |&place| self.0.has(place))
    }

    /// Its cases of all, which must be in the same order for each part.
    pub(crate) fn take<T>(self, all: Vec<T>) -> Vec<T> {
        let own = all.into_iter().enumerate().filter(|(place, _)| self.0.has(*place));
        own.map(|(_, case)| case).collect()
    }
}

/// What shards leave in one folder, each a file of its own: they may write at the same time.
impl Shard {
    /// The file of this shard.
    pub(crate) fn file(self, folder: &Path, kind: &str) -> PathBuf {
        folder.join(format!("{kind}-{}-of-{}.json", self.0.index() + 1, self.0.count()))
    }

    /// The files of all shards, in their order.
    pub(crate) fn files(folder: &Path, kind: &str) -> anyhow::Result<Vec<PathBuf>> {
        let shown = folder.display();
        let cannot = || format!("cannot read {shown}");
        let mut found: BTreeMap<usize, BTreeMap<usize, PathBuf>> = BTreeMap::new();
        for entry in folder.read_dir().with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            if let Some(shard) = Self::of_file(&path, kind) {
                found.entry(shard.0.count()).or_default().insert(shard.0.index() + 1, path);
            }
        }
        let counts: Vec<String> = found.keys().map(usize::to_string).collect();
        if counts.len() > 1 {
            let counts = counts.join(" and of ");
            bail!("{shown} has files of {counts} shards; remove those of an earlier command");
        }
        let Some((count, files)) = found.pop_first() else {
            bail!("{shown} has no file of a shard; run the shards first, each with --shard");
        };
        let missing = (1..=count).filter(|index| !files.contains_key(index));
        let missing: Vec<String> = missing.map(|index| format!("{index}/{count}")).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            bail!("{shown} lacks the file of --shard {missing}; run it, or wait for it");
        }
        Ok(files.into_values().collect())
    }

    /// The shard that a file is of.
    fn of_file(path: &Path, kind: &str) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix(kind)?.strip_prefix('-')?;
        name.strip_suffix(".json")?.replacen("-of-", "/", 1).parse().ok()
    }
}

impl FromStr for Shard {
    type Err = ranks::Error;

    fn from_str(text: &str) -> Result<Self, ranks::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Shard {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_shards_are_there_or_what_is_missing_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let error = || Shard::files(folder, "part").unwrap_err().to_string();
        assert!(error().contains("no file of a shard"), "{}", error());
        let file = |index: usize, count: usize| -> anyhow::Result<PathBuf> {
            Ok(format!("{index}/{count}").parse::<Shard>()?.file(folder, "part"))
        };

        for index in [1, 3, 10] {
            std::fs::write(file(index, 10)?, "")?;
        }
        std::fs::write(folder.join("summary.json"), "")?;
        assert!(error().contains("--shard 2/10, 4/10, 5/10"), "{}", error());
        for index in 1..=10 {
            std::fs::write(file(index, 10)?, "")?;
        }
        let all: anyhow::Result<Vec<_>> = (1..=10).map(|index| file(index, 10)).collect();
        assert_eq!(Shard::files(folder, "part")?, all?);
        std::fs::write(file(1, 2)?, "")?;
        assert!(error().contains("of 2 and of 10 shards"), "{}", error());
        Ok(())
    }
}
