//! One number of threads for every pool.

use anyhow::Context as _;

use sconce::ranks::Launch;

use crate::output::Usage;

/// More than any machine has cores: so many threads would only stand in each other's way.
pub(crate) const MOST: u16 = 1024;

/// The cores of the machine, whichever of them this process may use.
fn cores() -> Option<usize> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.trim().parse::<usize>().ok()? - first.trim().parse::<usize>().ok()? + 1)
    };
    online.trim().split(',').map(count).sum()
}

/// Binds rayon's pool and candle's to `threads`, or to one for each core that is its share.
///
/// Must come before anything that computes: pools take their size from the first use.
pub(crate) fn bind(threads: Option<usize>, launch: Option<&Launch>) -> anyhow::Result<()> {
    let available = || {
        let own = std::thread::available_parallelism().map_or(1, usize::from);
        // Of several processes on a machine, each has its share.
        launch.map_or(own, |launch| launch.threads(own, cores().unwrap_or(own)))
    };
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
