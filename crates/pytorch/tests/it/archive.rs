//! Archives as `torch.save` writes them, made by hand.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Writes an archive with these files below `archive/`.
pub(crate) fn write(
    folder: &Path,
    files: &[(&str, &[u8])],
    method: CompressionMethod,
) -> anyhow::Result<PathBuf> {
    let path = folder.join("saved.pth");
    let mut archive = ZipWriter::new(File::create(&path)?);
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("archive/{name}"), options)?;
        archive.write_all(bytes)?;
    }
    archive.finish()?;
    Ok(path)
}

/// A pickle, and the values of storage `0`.
pub(crate) fn saved(folder: &Path, pickle: &[u8], values: &[f32]) -> anyhow::Result<PathBuf> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let files = [("data.pkl", pickle), ("byteorder", b"little"), ("data/0", &bytes)];
    write(folder, &files, CompressionMethod::Stored)
}

/// The instructions that push `('storage', torch.<kind>, '0', 'cpu', count)` and load it.
pub(crate) fn storage(kind: &str, count: u8) -> Vec<u8> {
    let mut code = b"(X\x07\0\0\0storage".to_vec();
    code.extend(format!("ctorch\n{kind}\n").into_bytes());
    code.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK");
    code.push(count);
    code.extend(b"tQ");
    code
}

/// The instructions that push a tensor of two axes.
pub(crate) fn tensor(kind: &str, count: u8, [offset, rows, columns]: [u8; 3]) -> Vec<u8> {
    let mut code = b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    code.extend(storage(kind, count));
    code.extend([b'K', offset]);
    code.extend([b'K', rows, b'K', columns, 0x86]);
    code.extend([b'K', columns, b'K', 1, 0x86]);
    code.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    code
}

/// The instructions that push text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut code = vec![0x8c, u8::try_from(text.len()).expect("short")];
    code.extend(text.bytes());
    code
}

/// A dictionary with these keys, and instructions for their values, as a whole pickle.
pub(crate) fn dictionary(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut code = b"\x80\x02}(".to_vec();
    for (key, value) in entries {
        code.extend(text(key));
        code.extend(value);
    }
    code.extend(b"u.");
    code
}
