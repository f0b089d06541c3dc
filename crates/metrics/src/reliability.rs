use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::probability::{BLOCK, Block};
use crate::{Error, ProbabilityPair, Result};

/// Tables that voxels are added to in turn: were it one, each would wait for the sum of the one
/// before, which mostly falls into the same bin.
const LANES: usize = 4;

/// How often predictions made with a certain confidence are right: the data of a reliability
/// diagram.
///
/// Tables of several cases can be added up. Sums are kept, not means, so that a table of all cases
/// is that of all voxels at once.
///
/// # Source
///
/// Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017,
/// [arXiv:1706.04599](https://arxiv.org/abs/1706.04599).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliability {
    binning: Binning,
    bins: Vec<Bin>,
}

/// The predictions whose confidence lies between two edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many they are.
    pub count: u64,
    /// The sum of their confidences.
    pub confidence_sum: f64,
    /// How many of them are right; a fraction each where the truth is soft.
    pub accuracy_sum: f64,
}

/// Which bin a confidence on the edge between two falls into. All bins are equally wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// `[k / n, (k + 1) / n)`, and 1 into the last one.
    #[default]
    LeftClosed,
    /// `(k / n, (k + 1) / n]`, and 0 into the first one.
    RightClosed,
    /// `[k / n, (k + 1) / n)`, and a bin of its own for 1, as torchmetrics has it.
    OneApart,
}

/// What is called confidence, and what is called right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The probability of the class with the highest one; right where that is the true class. The
    /// usual one.
    #[default]
    TopLabel,
    /// The probability of everything but class 0; right where the truth is not class 0.
    Foreground,
    /// The probability of one class; right where it is the true class.
    Class(usize),
}

/// Which voxels a calibration error looks at.
///
/// Most voxels of most images are background that nobody doubts: a model is well calibrated on
/// all of them together whatever it says of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voxels {
    /// All that count.
    #[default]
    All,
    /// Those where the prediction chooses another class than 0, or where the truth gives any other
    /// class a probability.
    Foreground,
}

impl Binning {
    /// Where bin `k` of `bins` begins, or the one for 1 alone. Nothing lies before the first bin,
    /// and nothing after the last one.
    fn edge(self, k: usize, bins: usize) -> f64 {
        let edge = k as f64 / bins as f64;
        match self {
            _ if k == 0 => f64::NEG_INFINITY,
            Self::OneApart => edge,
            _ if k == bins => f64::INFINITY,
            Self::LeftClosed => edge,
            Self::RightClosed => edge.next_up(),
        }
    }
}

/// The bin that a confidence falls into, of `bins` that begin at their `edge`.
fn place(confidence: f64, bins: f64, edge: impl Fn(usize) -> f64) -> usize {
    // So large that no fraction fits: what is added to it is rounded, and in its last bits.
    const LARGE: f64 = (1u64 << 52) as f64;
    let near = (confidence * bins).max(0.0).min(bins) + LARGE;
    #[expect(clippy::cast_possible_truncation, reason = "at most the number of bins")]
    let k = (near.to_bits() - LARGE.to_bits()) as usize;
    // The edge next to it is that of `k`. No branch, which would be taken at random.
    k - usize::from(confidence < edge(k))
}

impl Voxels {
    /// Which voxels of a block are looked at.
    fn mark(self, block: &Block<'_>, counted: &mut [bool]) {
        match block.counted {
            Some(all) => counted.copy_from_slice(all),
            None => counted.fill(true),
        }
        if self == Self::Foreground {
            let mut background = [true; BLOCK];
            let background = &mut background[..block.len()];
            block.keep_chosen(0, background);
            let truth = block.truth(0).iter().zip(&*background);
            for (counted, (&truth, &background)) in counted.iter_mut().zip(truth) {
                *counted &= truth < 1.0 || !background;
            }
        }
    }
}

impl Bin {
    /// The mean confidence; `None` where the bin is empty.
    pub fn confidence(&self) -> Option<f64> {
        (self.count > 0).then(|| self.confidence_sum / self.count as f64)
    }

    /// The share that is right; `None` where the bin is empty.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| self.accuracy_sum / self.count as f64)
    }

    fn add(&mut self, confidence: f64, accuracy: f64) {
        self.count += 1;
        self.confidence_sum += confidence;
        self.accuracy_sum += accuracy;
    }

    fn gap(&self) -> Option<f64> {
        Some((self.accuracy()? - self.confidence()?).abs())
    }
}

impl Reliability {
    /// An empty table of `bins` equal bins; one more with [`Binning::OneApart`].
    pub fn new(bins: NonZeroUsize, binning: Binning) -> Self {
        let apart = usize::from(binning == Binning::OneApart);
        Self { binning, bins: vec![Bin::default(); bins.get() + apart] }
    }

    /// The table of one case.
    ///
    /// # Errors
    ///
    /// [`Error::Class`], where `confidence` names a class that there is not.
    pub fn of(
        pair: &ProbabilityPair<'_>,
        bins: NonZeroUsize,
        binning: Binning,
        confidence: Confidence,
        voxels: Voxels,
    ) -> Result<Self> {
        if let Confidence::Class(class) = confidence {
            pair.expect_class(class)?;
        }
        Ok(Self::gather(pair, bins, binning, voxels, |block, sure, right| match confidence {
            Confidence::TopLabel => block.choose(sure, right),
            // Not 1 − p: with two classes it is exactly the probability of class 1.
            Confidence::Foreground => block.sum(1..block.classes(), sure, right),
            Confidence::Class(class) => block.sum(class..class + 1, sure, right),
        }))
    }

    /// A table of what `look` finds for each voxel of a block: how sure the prediction is, and how
    /// right.
    pub(crate) fn gather(
        pair: &ProbabilityPair<'_>,
        bins: NonZeroUsize,
        binning: Binning,
        voxels: Voxels,
        look: impl Fn(&Block<'_>, &mut [f64], &mut [f64]) + Sync,
    ) -> Self {
        let empty = Self::new(bins, binning);
        let (stride, width) = (empty.bins.len(), bins.get() as f64);
        let edges: Vec<f64> = (0..=bins.get()).map(|k| binning.edge(k, bins.get())).collect();
        let tables = pair.map_blocks(|mut blocks| {
            let mut lanes = vec![Bin::default(); LANES * stride];
            let (mut sure, mut right) = ([0.0; BLOCK], [0.0; BLOCK]);
            let (mut places, mut counted) = ([0; BLOCK], [true; BLOCK]);
            while let Some(block) = blocks.next() {
                let (sure, right) = (&mut sure[..block.len()], &mut right[..block.len()]);
                look(&block, sure, right);
                voxels.mark(&block, &mut counted[..block.len()]);
                for (at, &sure) in places.iter_mut().zip(&*sure) {
                    *at = place(sure, width, |k| edges[k]);
                }
                for (i, (&sure, &right)) in sure.iter().zip(&*right).enumerate() {
                    if counted[i] {
                        lanes[i % LANES * stride + places[i]].add(sure, right);
                    }
                }
            }
            let mut table = empty.clone();
            for lane in lanes.chunks(stride) {
                table.plus(lane);
            }
            table
        });
        let mut total = empty;
        for table in tables {
            total.plus(&table.bins);
        }
        total
    }

    /// Adds one prediction of a `confidence` from 0 to 1 that is right to the degree `accuracy`.
    pub fn add(&mut self, confidence: f64, accuracy: f64) {
        let bins = self.bins.len() - usize::from(self.binning == Binning::OneApart);
        let at = place(confidence, bins as f64, |k| self.binning.edge(k, bins));
        self.bins[at].add(confidence, accuracy);
    }

    /// Adds the predictions of another table.
    ///
    /// # Errors
    ///
    /// [`Error::Bins`], where its bins are not the same.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.bins.len(), self.binning) != (other.bins.len(), other.binning) {
            return Err(Error::Bins(other.bins.len(), self.bins.len()));
        }
        self.plus(&other.bins);
        Ok(())
    }

    fn plus(&mut self, bins: &[Bin]) {
        for (bin, more) in self.bins.iter_mut().zip(bins) {
            bin.count += more.count;
            bin.confidence_sum += more.confidence_sum;
            bin.accuracy_sum += more.accuracy_sum;
        }
    }

    /// The table of so many bins, each of which is several of these; `None` where their number is no multiple of that, or the last bin
    /// is [apart](Binning::OneApart).
    pub fn coarser(&self, bins: NonZeroUsize) -> Option<Self> {
        let each = self.bins.len() / bins;
        if self.binning == Binning::OneApart || each * bins.get() != self.bins.len() {
            return None;
        }
        let mut coarse = Self::new(bins, self.binning);
        for (bin, parts) in coarse.bins.iter_mut().zip(self.bins.chunks_exact(each)) {
            for part in parts {
                bin.count += part.count;
                bin.confidence_sum += part.confidence_sum;
                bin.accuracy_sum += part.accuracy_sum;
            }
        }
        Some(coarse)
    }

    /// The bins, in ascending order of confidence.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// How bins treat their edges.
    pub fn binning(&self) -> Binning {
        self.binning
    }

    /// How many predictions there are.
    pub fn total(&self) -> u64 {
        self.bins.iter().map(|bin| bin.count).sum()
    }

    /// The expected calibration error: the mean over predictions of `|accuracy − confidence|` of
    /// their bin; `None` where there are none.
    pub fn ece(&self) -> Option<f64> {
        self.mean(|gap| gap)
    }

    /// The root of the mean square of `|accuracy − confidence|`; `None` where there are none.
    pub fn rmsce(&self) -> Option<f64> {
        self.mean(|gap| gap * gap).map(f64::sqrt)
    }

    /// The largest `|accuracy − confidence|` of any bin; `None` where all are empty. A bin of a
    /// single voxel may decide it.
    pub fn mce(&self) -> Option<f64> {
        self.bins.iter().filter_map(Bin::gap).reduce(f64::max)
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> Option<f64> {
        let total = self.total();
        let parts = self.bins.iter().filter_map(|bin| Some(bin.count as f64 * of(bin.gap()?)));
        (total > 0).then(|| parts.sum::<f64>() / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(binning: Binning, confidences: &[f64]) -> Vec<u64> {
        let mut table = Reliability::new(NonZeroUsize::new(10).unwrap(), binning);
        for &confidence in confidences {
            table.add(confidence, 1.0);
        }
        table.bins().iter().map(|bin| bin.count).collect()
    }

    #[test]
    fn edges_belong_to_one_side() {
        let edges = [0.0, 0.1, 0.3, 0.7, 1.0];

        assert_eq!(table(Binning::LeftClosed, &edges), [1, 1, 0, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!(table(Binning::RightClosed, &edges), [2, 0, 1, 0, 0, 0, 1, 0, 0, 1]);
        assert_eq!(table(Binning::OneApart, &edges), [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn not_even_the_next_number_is_on_the_wrong_side() {
        for bins in [1, 2, 3, 7, 10, 15, 49, 100] {
            let at = |k: u32| f64::from(k) / f64::from(bins);
            for k in 1..bins {
                let places = |binning: Binning| {
                    let near = [at(k).next_down(), at(k), at(k).next_up()];
                    near.map(|confidence| {
                        let edge = |k| binning.edge(k, bins as usize);
                        place(confidence, f64::from(bins), edge)
                    })
                };
                let k = k as usize;
                assert_eq!(places(Binning::LeftClosed), [k - 1, k, k]);
                assert_eq!(places(Binning::RightClosed), [k - 1, k - 1, k]);
                assert_eq!(places(Binning::OneApart), [k - 1, k, k]);
            }
        }
        // Rounding may leave a little less than 0 or more than 1.
        assert_eq!(
            table(Binning::LeftClosed, &[-1e-4, 1.0 + 1e-4]),
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
    }

    #[test]
    fn four_predictions_in_two_bins() {
        let mut table = Reliability::new(NonZeroUsize::new(2).unwrap(), Binning::LeftClosed);
        for (confidence, accuracy) in [(0.2, 1.0), (0.6, 1.0), (0.8, 0.0), (1.0, 1.0)] {
            table.add(confidence, accuracy);
        }

        // The first bin is off by 0.8, the other by |2/3 − 0.8|.
        let close =
            |a: Option<f64>, b: f64| approx::assert_relative_eq!(a.unwrap(), b, epsilon = 1e-12);
        let other = 0.8 - 2.0 / 3.0;
        close(table.ece(), (0.8 + 3.0 * other) / 4.0);
        close(table.rmsce(), ((0.64 + 3.0 * other * other) / 4.0).sqrt());
        close(table.mce(), 0.8);
    }

    #[test]
    fn tables_with_other_bins_cannot_be_added() {
        let table =
            |bins: usize| Reliability::new(NonZeroUsize::new(bins).unwrap(), Binning::default());

        assert_eq!(
            table(10).merge(&table(15)).unwrap_err().to_string(),
            "a table of 15 bins cannot be added to one of 10, or their edges differ",
        );
        assert_eq!(table(10).ece(), None);
    }
}
