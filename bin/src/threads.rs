//! One number of threads for every pool.

use anyhow::Context as _;

use crate::output::Usage;

/// More than any machine has cores: so many threads would only stand in each other's way.
pub(crate) const MOST: u16 = 1024;

/// Binds rayon's pool and candle's to `threads`, or to one for each core.
///
/// Must come before anything that computes: pools take their size from the first use.
pub(crate) fn bind(threads: Option<usize>) -> anyhow::Result<()> {
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    let named = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let threads = threads
        .or(named.filter(|&threads| threads > 0))
        .unwrap_or_else(|| available().min(usize::from(MOST)));
    if threads > usize::from(MOST) {
        let text =
            format!("RAYON_NUM_THREADS is {threads}; at most {MOST} threads can be asked for");
        return Err(Usage(text).into());
    }
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        #[expect(unsafe_code, reason = "candle sizes its pools from the environment alone")]
        // SAFETY: the program begins with this; no other thread exists that reads the environment.
        unsafe {
            std::env::set_var(name, threads.to_string());
        }
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .context("cannot start the threads")
}
