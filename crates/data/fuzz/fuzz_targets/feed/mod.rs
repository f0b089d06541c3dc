//! What every target does with its bytes.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

use libfuzzer_sys::Corpus;

/// What is compressed may be a thousand times as large as what it is made of: then the time goes into voxels, not into ways to be wrong.
const MOST_VOXELS: usize = 1 << 12;

/// Writes the bytes into a file of that ending, and reads it in every way that there is. Nothing may panic. Bytes that would swell are no
/// input to go on from.
pub fn feed(ending: &str, bytes: &[u8]) -> Corpus {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        // In memory, where the system has that.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { env::temp_dir() };
        // Panics of decoders are caught where they are called: only those that come out here are wrong.
        set_hook(Box::new(|_| {}));
        folder.join(format!("sconce-fuzz-{}.{ending}", process::id()))
    });
    fs::write(path, bytes).expect("there is room");
    let read = AssertUnwindSafe(|| {
        let info = sconce_data::ImageInfo::read(path);
        if info.is_ok_and(|info| info.channels * info.size.iter().product::<usize>() > MOST_VOXELS) {
            return Corpus::Reject;
        }
        let _ = sconce_data::read_image(path);
        let _ = sconce_data::read_label_map(path);
        Corpus::Keep
    });
    catch_unwind(read).unwrap_or_else(|_| process::abort())
}
