//! What every target does with its bytes.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

use flate2::read::MultiGzDecoder;
use libfuzzer_sys::Corpus;

/// What is compressed may be a thousand times as large as what it is made of: then the time goes into voxels, not into ways to be wrong.
const MOST_BYTES: u64 = 1 << 16;

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
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut voxels = Vec::new();
        // What is broken is read as far as it goes.
        let _ = MultiGzDecoder::new(bytes).take(MOST_BYTES).read_to_end(&mut voxels);
        if voxels.len() as u64 == MOST_BYTES {
            return Corpus::Reject;
        }
    }
    fs::write(path, bytes).expect("there is room");
    let read = AssertUnwindSafe(|| {
        let _ = sconce_data::ImageInfo::read(path);
        let _ = sconce_data::read_image(path);
        let _ = sconce_data::read_label_map(path);
    });
    if catch_unwind(read).is_err() {
        process::abort();
    }
    Corpus::Keep
}
