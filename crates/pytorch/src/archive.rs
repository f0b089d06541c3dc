//! The archive that a checkpoint is.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use candle::Tensor;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::item::Item;
use crate::machine::{Pickle, run};
use crate::tensor::{TensorInfo, element, tensor};
use crate::{Error, Result};

/// A file that `torch.save` wrote.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// What the names of its files begin with.
    prefix: String,
    pickle: Pickle,
}

impl Checkpoint {
    /// Opens a file and runs its pickle, without what that would call; no tensor is read yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::NotPyTorch`], [`Error::Damaged`].
    pub fn open(path: &Path) -> Result<Self> {
        let foreign = |reason: &str| Error::NotPyTorch { path: path.into(), reason: reason.into() };
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let mut start = [0; 2];
        let mut reader = BufReader::new(file);
        let read = reader.read(&mut start).and_then(|_| io::Seek::rewind(&mut reader));
        read.map_err(|source| Error::Io { path: path.into(), source })?;
        // A pickle by itself begins with its protocol.
        if start[0] == 0x80 {
            return Err(foreign(
                "it is a bare pickle, as PyTorch before 1.6 wrote them; load it in Python and write it anew with \
                 torch.save, or as safetensors",
            ));
        }
        let mut archive = ZipArchive::new(reader)
            .map_err(|_| foreign("it is no archive, or only a part of one; get it again"))?;
        let names = archive.file_names().flatten();
        let pickles = names.filter_map(|name| Some(name.strip_suffix("/data.pkl")?.to_owned()));
        let Some(prefix) = pickles.min_by_key(String::len) else {
            return Err(foreign("it is an archive without data.pkl"));
        };
        let order = entry(path, &mut archive, &format!("{prefix}/byteorder"))?;
        if order.is_some_and(|order| order.trim_ascii() != b"little") {
            return Err(foreign("its numbers begin with the highest byte; write it anew"));
        }
        let damaged = |reason: String| Error::Damaged { path: path.into(), reason };
        let program = entry(path, &mut archive, &format!("{prefix}/data.pkl"))?.unwrap_or_default();
        let pickle = run(&program).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), archive, prefix, pickle })
    }

    /// What was saved.
    pub fn root(&self) -> Item<'_> {
        Item::root(&self.pickle)
    }

    /// Reads a tensor, to the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`], where its type is not known; [`Error::Damaged`], where its values are not there; [`Error::Io`].
    pub fn load(&mut self, info: &TensorInfo) -> Result<Tensor> {
        let of = |reason: String| Error::Tensor { path: self.path.clone(), reason };
        let kind = &info.storage.kind;
        let (dtype, width) = element(kind)
            .ok_or_else(|| of(format!("has values of type {kind}, which are not read")))?;
        if let Some(fault) = info.fault() {
            return Err(of(fault));
        }
        let name = format!("{}/data/{}", self.prefix, info.storage.key);
        let damaged = |reason: String| Error::Damaged { path: self.path.clone(), reason };
        let bytes = entry(&self.path, &mut self.archive, &name)?
            .ok_or_else(|| damaged(format!("it has no {name}")))?;
        if info.storage.count.checked_mul(width) != Some(bytes.len()) {
            return Err(damaged(format!(
                "{name} has {} bytes, and should have another number",
                bytes.len()
            )));
        }
        Ok(tensor(info, dtype, &bytes)?)
    }
}

/// A file of the archive, whole; `None` where there is no such file.
fn entry(
    path: &Path,
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<Option<Vec<u8>>> {
    let damaged = |reason: String| Error::Damaged { path: path.into(), reason };
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(damaged(format!("{name}: {error}"))),
    };
    // PyTorch does not compress; what would unfold without end is not unfolded.
    if file.compression() != CompressionMethod::Stored {
        return Err(damaged(format!("{name} is compressed, as torch.save never writes it")));
    }
    let mut bytes = Vec::new();
    // Room is made as bytes come, whatever the archive announces; their checksum is compared at the end.
    let mut file = file;
    let read = file.read_to_end(&mut bytes);
    read.map_err(|error| damaged(format!("{name}: {error}")))?;
    Ok(Some(bytes))
}
