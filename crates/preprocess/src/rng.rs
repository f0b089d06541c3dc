//! Randomness that depends on what is drawn for, and on nothing else.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::number::{Factors, Interval};

/// The stream of random numbers of one (seed, epoch, key).
///
/// Counter-based: a stream is found without drawing any other, so that the work on a case does not
/// depend on which cases went before it, nor on which thread does it. `key` is a case's identifier,
/// or names another purpose, such as `split`. Different keys give streams that have nothing in
/// common but by an accident of 2⁻¹²⁸.
///
/// Not for secrets: whoever knows the seed knows the numbers.
pub fn rng(seed: u64, epoch: u64, key: &str) -> ChaCha8Rng {
    let mut state = [0; 32];
    state[..8].copy_from_slice(&seed.to_le_bytes());
    state[8..16].copy_from_slice(&epoch.to_le_bytes());
    state[16..].copy_from_slice(&fnv(key.as_bytes()).to_le_bytes());
    ChaCha8Rng::from_seed(state)
}

/// The 128-bit FNV-1a hash: short, public, and the same for ever.
fn fnv(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// A number from 0 (included) to 1 (not), of 53 random bits.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Whether an event of this probability happens. One draw, whatever the probability.
pub(crate) fn happens(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    unit(rng) < probability
}

/// A number between `low` and `high`, each as likely.
pub(crate) fn uniform(low: f64, high: f64, rng: &mut ChaCha8Rng) -> f64 {
    low + (high - low) * unit(rng)
}

/// A number of the interval, each as likely.
pub(crate) fn within(interval: Interval, rng: &mut ChaCha8Rng) -> f64 {
    uniform(interval.low(), interval.high(), rng)
}

/// A factor that makes smaller as often as it makes larger, as far as the interval has both.
pub(crate) fn factor(factors: Factors, rng: &mut ChaCha8Rng) -> f64 {
    let (low, high) = (factors.low(), factors.high());
    if unit(rng) < 0.5 && low < 1.0 {
        uniform(low, high.min(1.0), rng)
    } else {
        uniform(low.max(1.0).min(high), high, rng)
    }
}

/// A position below `count`, each as likely; `count` is positive.
pub(crate) fn position(count: usize, rng: &mut ChaCha8Rng) -> usize {
    let count = u64::try_from(count).expect("a count of things in memory");
    usize::try_from(rng.random_range(0..count)).expect("below a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_that_of_its_seed_epoch_and_key() {
        let first = |seed, epoch, key| rng(seed, epoch, key).next_u64();

        assert_eq!(first(1, 2, "case"), first(1, 2, "case"));
        let others = [first(2, 2, "case"), first(1, 3, "case"), first(1, 2, "casf")];
        assert!(!others.contains(&first(1, 2, "case")));
    }

    #[test]
    fn streams_stay_the_same_from_release_to_release() {
        // The published test vector of FNV-1a, 128 bit.
        assert_eq!(fnv(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
        assert_eq!(rng(7, 0, "").next_u64(), rng(7, 0, "").next_u64());
    }

    #[test]
    fn factors_are_drawn_as_often_below_one_as_above() {
        let mut rng = rng(3, 0, "factors");
        let drawn: Vec<f64> =
            (0..2000).map(|_| factor(Factors::literal(0.7, 1.5), &mut rng)).collect();

        let below = drawn.iter().filter(|&&factor| factor < 1.0).count();
        assert!((900..1100).contains(&below), "{below}");
        assert!(drawn.iter().all(|factor| (0.7..=1.5).contains(factor)));
    }

    #[test]
    fn factors_above_one_alone_stay_there() {
        let mut rng = rng(3, 0, "factors");

        for _ in 0..100 {
            assert!((1.2..=1.4).contains(&factor(Factors::literal(1.2, 1.4), &mut rng)));
            assert!((0.5..=0.8).contains(&factor(Factors::literal(0.5, 0.8), &mut rng)));
        }
    }
}
