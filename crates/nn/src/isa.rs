use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use pulp::WithSimd;

use crate::choice::Choice;
use crate::kernels::amx::Grant;

/// The instructions that native kernels on the CPU are made of.
///
/// Chosen when a layer runs, never when it is compiled: the best that the processor has, unless
/// [`set_isa`] or [`with_isa`] says otherwise. Results differ between them in rounding alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Isa {
    /// What every processor of the target has.
    Portable,
    /// AVX2 and FMA, on x86-64.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL, on x86-64.
    Avx512,
    /// AVX-512, and for convolutions of bf16 the tiles of AMX (TILE and BF16), on x86-64 under Linux,
    /// where the kernel grants them to the process. Results in f32 are those of [`Isa::Avx512`].
    Amx,
    /// NEON, on `AArch64`.
    Neon,
}

impl Isa {
    /// All of them, on any processor.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx, Self::Neon];

    /// The best that this processor has.
    pub fn best() -> Self {
        let best = Self::ALL.into_iter().rev().find(|isa| isa.is_available());
        best.unwrap_or(Self::Portable)
    }

    /// Whether this processor has it, and this process may use it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            Self::Amx => Grant::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::is_available(),
            _ => false,
        }
    }

    /// What `task` gives, compiled for these instructions; for the portable ones where the processor
    /// lacks them.
    pub(crate) fn run<T: WithSimd>(self, task: T) -> T::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    return pulp::Simd::vectorize(simd, task);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Amx => {
                if let Some(simd) = pulp::x86::V4::try_new() {
                    return pulp::Simd::vectorize(simd, task);
                }
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                if let Some(simd) = pulp::aarch64::Neon::try_new() {
                    return pulp::Simd::vectorize(simd, task);
                }
            }
            _ => {}
        }
        pulp::Simd::vectorize(pulp::Scalar256b, task)
    }

    /// The right to use tiles, where they are to be used.
    pub(crate) fn tiles(self) -> Option<Grant> {
        if self == Self::Amx { Grant::new() } else { None }
    }

    /// Floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;

            #[expect(clippy::inline_always, reason = "as the trait asks of its implementors")]
            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        self.run(Lanes)
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| *isa as u8 == code)
    }
}

/// Stands for [`Isa::best`], which is asked for when it is needed.
const BEST: u8 = u8::MAX;

thread_local! {
    /// The choice of the innermost [`with_isa`] on this thread.
    static SCOPE: Cell<Option<u8>> = const { Cell::new(None) };
}

static ISA: Choice = Choice::new(BEST, &SCOPE);

/// Sets the instructions of this process; `None` is the best that the processor has.
pub fn set_isa(isa: Option<Isa>) {
    ISA.set(isa.map_or(BEST, |isa| isa as u8));
}

/// The instructions that layers use now, on this thread.
pub fn isa() -> Isa {
    Isa::from_code(ISA.get()).unwrap_or_else(Isa::best)
}

/// What `run` returns, its layers computed with `isa`, on this thread alone; a backward pass uses
/// what is set when it runs.
pub fn with_isa<T>(isa: Isa, run: impl FnOnce() -> T) -> T {
    ISA.with(isa as u8, run)
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|isa| isa.to_string() == text);
        named.ok_or_else(|| {
            format!("{text:?} is no instruction set; use portable, avx2, avx512, amx or neon")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_where_it_was_opened() {
        let outer = isa();

        let inner = with_isa(Isa::Portable, isa);

        assert_eq!((inner, isa()), (Isa::Portable, outer));
    }

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().is_err());
    }

    #[test]
    fn the_best_is_available() {
        assert!(Isa::best().is_available());
    }
}
