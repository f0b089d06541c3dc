use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::{Error, Group};

/// One of several parts of some work, of which each case belongs to exactly one.
///
/// Written `1/4` for the first of four, up to `4/4`: as people count, and as the tasks of a Slurm array do that is
/// submitted with `--array=1-4`; a Kubernetes job counts its completions from 0, so that 1 has to be added.
///
/// # Examples
///
/// ```
/// use sconce_ranks::Shard;
///
/// let second: Shard = "2/3".parse()?;
/// assert_eq!(second.take(&["a", "b", "c", "d", "e"]), ["b", "e"]);
/// # Ok::<(), sconce_ranks::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The part of a rank.
    pub fn of(group: &dyn Group) -> Self {
        Self { index: group.rank(), count: group.size() }
    }

    /// Which one this is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether this part has the item at `position`: each part takes one in turn.
    pub fn has(&self, position: usize) -> bool {
        position % self.count == self.index
    }

    /// What this part has of `items`, in their order, which must be the same for all parts. With more parts than items
    /// some have none.
    pub fn take<T: Clone>(&self, items: &[T]) -> Vec<T> {
        items.iter().skip(self.index).step_by(self.count).cloned().collect()
    }

    /// The positions of this part in a row of `count`, cut into pieces that differ by one in length at most: such as the
    /// samples of a rank within a batch. All pieces are as long where `count` is a multiple of the number of parts.
    pub fn piece(&self, count: usize) -> Range<usize> {
        let (least, longer) = (count / self.count, count % self.count);
        let start = self.index * least + self.index.min(longer);
        start..start + least + usize::from(self.index < longer)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('/').map(|(number, count)| (number.parse(), count.parse()));
        match parts {
            Some((Ok::<u32, _>(number), Ok::<u32, _>(count))) if (1..=count).contains(&number) => {
                Ok(Self { index: number as usize - 1, count: count as usize })
            }
            _ => Err(Error::Shard { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Alone;

    fn all(count: usize) -> impl Iterator<Item = Shard> {
        (0..count).map(move |index| Shard { index, count })
    }

    proptest! {
        #[test]
        fn every_case_is_in_one_shard_alone(cases in 0..40_usize, count in 1..12_usize) {
            let cases: Vec<usize> = (0..cases).collect();

            let taken: Vec<Vec<usize>> = all(count).map(|shard| shard.take(&cases)).collect();
            let pieces: Vec<usize> = all(count).flat_map(|shard| shard.piece(cases.len())).collect();

            for (shard, taken) in all(count).zip(&taken) {
                prop_assert!(cases.iter().all(|&case| shard.has(case) == taken.contains(&case)));
            }
            let mut lengths: Vec<usize> = taken.iter().map(Vec::len).collect();
            lengths.dedup();
            prop_assert!(lengths.len() <= 2);
            let mut sorted = taken.concat();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &cases);
            prop_assert_eq!(&pieces, &cases);
        }

        #[test]
        fn a_shard_is_read_as_it_is_written(count in 1..100_usize) {
            for shard in all(count) {
                prop_assert_eq!(shard.to_string().parse::<Shard>().ok(), Some(shard));
            }
        }
    }

    #[test]
    fn shards_count_from_one() {
        assert_eq!("1/1".parse::<Shard>().ok(), Some(Shard::WHOLE));
        assert_eq!(Shard::of(&Alone), Shard::WHOLE);
        for text in ["0/4", "5/4", "1/0", "1", "a/b", "-1/4", "1/4/4", ""] {
            let error = text.parse::<Shard>().map_err(|error| error.to_string());
            let expected = format!(
                "{text:?} is no shard: write 1/4 for the first of four, and 4/4 for the last"
            );
            assert_eq!(error, Err(expected));
        }
    }
}
