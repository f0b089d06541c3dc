use std::path::Path;

use candle::Device;
use engine::Trained;

use crate::verify::FileState;
use crate::{Error, Result, manifest};

/// What a network is read from.
const READ: [&str; 3] = ["config.json", "model.safetensors", "plan.json"];

/// What an evaluation of it is told by, where it is there.
const READ_TOO: [&str; 3] = ["calibration.json", "run.toml", "split.json"];

/// Reads the network of a model folder or of a finished run.
///
/// Strict: in a model folder, each of the three files that are read, and each of those that tell
/// how it was trained, must have the hash that it had when the model was packed; and the weights must be exactly those that the network asks for. A
/// run folder has no hashes, and is read without them. It does not compute anything: that is
/// [`verify`](crate::verify)'s.
///
/// # Errors
///
/// [`Error::File`], where a file is not the one that was packed; [`Error::Engine`], where one is
/// missing or damaged, or the weights do not fit the network.
pub fn load(folder: &Path) -> Result<Trained> {
    if folder.join(manifest::NAME).exists() {
        let recorded = manifest::read(folder)?;
        let too = READ_TOO.into_iter();
        let too = too.filter(|&name| recorded.contains_key(name) || folder.join(name).exists());
        for name in READ.into_iter().chain(too) {
            let path = folder.join(name);
            let reason = match FileState::of(&path, recorded.get(name))? {
                FileState::Ok => continue,
                FileState::Missing => "it is missing; get the model again",
                FileState::Unlisted => "SHA256SUMS does not list it; get the model again",
                FileState::Wrong { .. } => {
                    "it is not the file that was packed, by its SHA-256 hash; get the model again"
                }
            };
            return Err(Error::File { path, reason: reason.to_owned() });
        }
    }
    let trained = Trained::load(folder)?;
    trained.build(&Device::Cpu)?;
    Ok(trained)
}
