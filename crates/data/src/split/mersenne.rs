/// The generator behind numpy's `RandomState`, for splits that others have drawn.
///
/// Only for that: everything else that is random here is keyed by seed, case and purpose.
///
/// # Source
///
/// Matsumoto and Nishimura: *Mersenne Twister*, ACM Transactions on Modeling and Computer
/// Simulation 8, 1998 (MT19937); `RandomState.shuffle` of numpy, unchanged since its version 1.
pub(super) struct Mersenne {
    state: [u32; LENGTH],
    next: usize,
}

const LENGTH: usize = 624;
const PERIOD: usize = 397;

impl Mersenne {
    /// `numpy.random.RandomState(seed)`.
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; LENGTH];
        for at in 1..LENGTH {
            let before = state[at - 1];
            let mixed = (before ^ before >> 30).wrapping_mul(1_812_433_253);
            state[at] = mixed.wrapping_add(u32::try_from(at).expect("at most 624"));
        }
        Self { state, next: LENGTH }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == LENGTH {
            for at in 0..LENGTH {
                let upper = self.state[at] & 0x8000_0000;
                let joined = upper | self.state[(at + 1) % LENGTH] & 0x7fff_ffff;
                let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[at] = self.state[(at + PERIOD) % LENGTH] ^ joined >> 1 ^ odd;
            }
            self.next = 0;
        }
        let mut value = self.state[self.next];
        self.next += 1;
        value ^= value >> 11;
        value ^= value << 7 & 0x9d2c_5680;
        value ^= value << 15 & 0xefc6_0000;
        value ^ value >> 18
    }

    /// A number from 0 to `most`, by rejection, as numpy's old interface draws it.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let value = self.next_u32() & mask;
            if value <= most {
                return value;
            }
        }
    }

    /// `RandomState.permutation(count)`, for less than 2³² items.
    pub(super) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let most = u32::try_from(last).unwrap_or(u32::MAX);
            order.swap(last, self.up_to(most) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper_and_order_is_numpys() {
        let mut reference = Mersenne::new(5489);
        let thousandth = (0..10_000).map(|_| reference.next_u32()).last();
        // The value that the C++ standard demands of mt19937.
        assert_eq!(thousandth, Some(4_123_659_995));

        // numpy.random.RandomState(12345).permutation(10), numpy 2.4.6.
        assert_eq!(Mersenne::new(12345).permutation(10), [0, 7, 3, 9, 6, 4, 1, 8, 5, 2]);
    }
}
