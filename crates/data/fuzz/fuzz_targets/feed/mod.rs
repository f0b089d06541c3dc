//! What every target does with its bytes.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

/// Writes the bytes into a file of that ending, and reads it in every way that there is. Nothing may panic.
pub fn feed(ending: &str, bytes: &[u8]) {
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
        let _ = sconce_data::ImageInfo::read(path);
        let _ = sconce_data::read_image(path);
        let _ = sconce_data::read_label_map(path);
    });
    if catch_unwind(read).is_err() {
        process::abort();
    }
}
