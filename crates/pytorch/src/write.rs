//! Files that PyTorch reads, with `weights_only` or without.

use std::collections::HashMap;
use std::io::{self, Seek, Write};

use candle::{DType, Layout, Tensor, TensorId};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// What a file is to hold.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Several values, which Python will not change.
    Tuple(Vec<Value>),
    /// Several values.
    List(Vec<Value>),
    /// Values by their names, in this order.
    Dict(Vec<(String, Value)>),
    /// A tensor of type f32. One that is there several times, by its [id](Tensor::id), is written once.
    Tensor(Tensor),
}

/// Writes a file as `torch.save` does, so that `torch.load` reads it: the same bytes for the same value.
///
/// # Errors
///
/// Where a tensor is not of type f32 or cannot be brought to the CPU, or the file cannot be written.
pub fn write(value: &Value, file: impl Write + Seek) -> io::Result<()> {
    let mut writer = Writer { program: vec![0x80, 2], ..Writer::default() };
    writer.value(value)?;
    writer.program.push(b'.');
    let mut archive = ZipWriter::new(file);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .large_file(true);
    let mut entry = |name: &str, bytes: &[u8]| -> io::Result<()> {
        archive.start_file(format!("archive/{name}"), options)?;
        archive.write_all(bytes)
    };
    entry("data.pkl", &writer.program)?;
    entry("byteorder", b"little")?;
    for (key, tensor) in writer.tensors.iter().enumerate() {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let values = values.map_err(io::Error::other)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        entry(&format!("data/{key}"), &bytes)?;
    }
    entry("version", b"3\n")?;
    archive.finish()?;
    Ok(())
}

#[derive(Default)]
struct Writer<'a> {
    program: Vec<u8>,
    /// By the number of their file.
    tensors: Vec<&'a Tensor>,
    keys: HashMap<TensorId, usize>,
}

impl<'a> Writer<'a> {
    fn value(&mut self, value: &'a Value) -> io::Result<()> {
        match value {
            Value::None => self.program.push(b'N'),
            Value::Bool(value) => self.program.push(if *value { 0x88 } else { 0x89 }),
            Value::Int(value) => {
                self.program.extend([0x8a, 8]);
                self.program.extend(value.to_le_bytes());
            }
            Value::Float(value) => {
                self.program.push(b'G');
                self.program.extend(value.to_be_bytes());
            }
            Value::Text(text) => self.text(text)?,
            Value::Tuple(parts) => {
                self.program.push(b'(');
                for part in parts {
                    self.value(part)?;
                }
                self.program.push(b't');
            }
            Value::List(parts) => {
                self.program.extend(b"](");
                for part in parts {
                    self.value(part)?;
                }
                self.program.push(b'e');
            }
            Value::Dict(entries) => {
                self.program.extend(b"}(");
                for (key, value) in entries {
                    self.text(key)?;
                    self.value(value)?;
                }
                self.program.push(b'u');
            }
            Value::Tensor(tensor) => self.tensor(tensor)?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.program.push(b'X');
        self.program.extend(length.to_le_bytes());
        self.program.extend(text.bytes());
        Ok(())
    }

    fn size(&mut self, size: usize) -> io::Result<()> {
        let size = i64::try_from(size).map_err(io::Error::other)?;
        self.program.extend([0x8a, 8]);
        self.program.extend(size.to_le_bytes());
        Ok(())
    }

    fn sizes(&mut self, sizes: &[usize]) -> io::Result<()> {
        self.program.push(b'(');
        for &size in sizes {
            self.size(size)?;
        }
        self.program.push(b't');
        Ok(())
    }

    /// `_rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`.
    fn tensor(&mut self, tensor: &'a Tensor) -> io::Result<()> {
        if tensor.dtype() != DType::F32 {
            let what = format!("a tensor of type {} is not written", tensor.dtype().as_str());
            return Err(io::Error::other(what));
        }
        let next = self.tensors.len();
        let key = *self.keys.entry(tensor.id()).or_insert(next);
        if key == next {
            self.tensors.push(tensor);
        }
        self.program.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage")?;
        self.program.extend(b"ctorch\nFloatStorage\n");
        self.text(&key.to_string())?;
        self.text("cpu")?;
        self.size(tensor.elem_count())?;
        self.program.extend(b"tQ");
        self.size(0)?;
        self.sizes(tensor.dims())?;
        self.sizes(Layout::contiguous(tensor.shape()).stride())?;
        self.program.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        Ok(())
    }
}
