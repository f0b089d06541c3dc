use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use candle::{D, DType, Device, Tensor};
use sha2::{Digest as _, Sha256};
use tokenizers::Tokenizer;

use crate::{ClipText, ClipTextConfig, Error, Result};

/// What makes embeddings of words: a CLIP text model with its tokenizer, out of a folder as the hub has them.
///
/// ```text
/// folder
/// ├── config.json           of a CLIP text model, or of a whole CLIP model
/// ├── tokenizer.json
/// └── model.safetensors     parameters `text_model.…`, `text_projection.weight`; others are not looked at
/// ```
///
/// It computes on the CPU in f32: words are few. The embedding of a text does not depend on what else is embedded with it.
///
/// # Examples
///
/// ```
/// use sconce_text::TextEncoder;
///
/// let encoder = TextEncoder::tiny()?;
/// let embeddings = encoder.embed(&["left kidney", "liver"])?;
/// assert_eq!(embeddings.dims(), [2, encoder.length()]);
/// # Ok::<(), sconce_text::Error>(())
/// ```
pub struct TextEncoder {
    files: Files,
    config: ClipTextConfig,
    tokenizer: Tokenizer,
    network: ClipText,
}

/// The files of an encoder.
#[derive(Clone)]
struct Files {
    /// Where they are from, for messages.
    folder: PathBuf,
    /// In the order of [`TextEncoder::FILES`].
    contents: [Vec<u8>; 3],
}

impl Files {
    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(TextEncoder::FILES[number])
    }
}

impl TextEncoder {
    /// The files of a folder.
    pub const FILES: [&'static str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

    /// Reads a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`], where a file is missing or damaged, or they do not fit together.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            if !path.is_file() {
                let reason = format!(
                    "there is no such file; give a folder with {}, as the hub has them",
                    Self::FILES.join(", ")
                );
                return Err(Error::File { path, reason });
            }
            fs::read(&path).map_err(Error::io(&path))
        };
        let [config, tokenizer, weights] = Self::FILES;
        let contents = [read(config)?, read(tokenizer)?, read(weights)?];
        Self::of(Files { folder: folder.to_owned(), contents })
    }

    /// The one that ships with this crate: small, and of few words, but of those that the phantom's organs are called by, and
    /// of some that they are not.
    ///
    /// `cargo run --release -p sconce-text --example tiny -- FOLDER` makes it anew.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn tiny() -> Result<Self> {
        let contents = [
            include_bytes!("../tiny/config.json").to_vec(),
            include_bytes!("../tiny/tokenizer.json").to_vec(),
            include_bytes!("../tiny/model.safetensors").to_vec(),
        ];
        Self::of(Files { folder: PathBuf::from("tiny"), contents })
    }

    fn of(files: Files) -> Result<Self> {
        let config = ClipTextConfig::parse(&files.path(0), &files.contents[0])?;
        let tokenizer = tokenizer(&files)?;
        let network = network(&files, &config)?;
        let encoder = Self { files, config, tokenizer, network };
        let words = encoder.tokenizer.get_vocab_size(true);
        if words > encoder.config.vocab_size {
            let reason = format!(
                "it has {words} tokens, but the text model knows {}; get both from one place",
                encoder.config.vocab_size
            );
            return Err(Error::file(&encoder.files.path(1), reason));
        }
        Ok(encoder)
    }

    /// The length of embeddings, `E`.
    pub fn length(&self) -> usize {
        self.network.length()
    }

    /// Its settings.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Its files' names and contents.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        Self::FILES.into_iter().zip(self.files.contents.iter().map(Vec::as_slice))
    }

    /// The SHA-256 hash of its weights, in hexadecimal digits.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(&self.files.contents[2]);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    /// The embeddings of texts, `(N, E)` in f32 on the CPU, each of unit length. What a text has beyond the longest that the
    /// model knows is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Prompt`], where a text is empty, or nothing can be made of it.
    pub fn embed(&self, texts: &[impl AsRef<str>]) -> Result<Tensor> {
        let each = texts.iter().map(|text| self.one(text.as_ref()));
        let each = each.collect::<Result<Vec<_>>>()?;
        if each.is_empty() {
            return Ok(Tensor::zeros((0, self.length()), DType::F32, &Device::Cpu)?);
        }
        Ok(Tensor::cat(&each, 0)?)
    }

    /// The tokens of a text, its begin and end among them, at most as many as the model has positions.
    ///
    /// # Errors
    ///
    /// As [`TextEncoder::embed`].
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let refuse = |reason: String| Error::Prompt { prompt: text.to_owned(), reason };
        if text.trim().is_empty() {
            return Err(refuse("is empty; name what is to be segmented".to_owned()));
        }
        let encoding = self.tokenizer.encode(text, true);
        let encoding = encoding
            .map_err(|error| refuse(format!("cannot be split into tokens ({error}); reword it")))?;
        let mut ids = encoding.get_ids().to_vec();
        let most = self.config.max_position_embeddings;
        if ids.len() > most
            && let Some(&last) = ids.last()
        {
            ids.truncate(most);
            ids[most - 1] = last;
        }
        Ok(ids)
    }

    fn one(&self, text: &str) -> Result<Tensor> {
        let refuse =
            |reason: &str| Error::Prompt { prompt: text.to_owned(), reason: reason.into() };
        let ids = self.tokens(text)?;
        if ids.iter().any(|&id| id as usize >= self.config.vocab_size) {
            return Err(refuse("has a token that the text model does not know; reword it"));
        }
        let end = self.config.end(&ids).ok_or_else(|| {
            refuse("has no end: tokenizer.json does not put the token that config.json calls eos_token_id")
        })?;
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let embedding = self.network.forward(&ids, &[end])?;
        let norm = embedding.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        let unit = embedding.broadcast_div(&norm)?;
        if unit.flatten_all()?.to_vec1::<f32>()?.iter().any(|value| !value.is_finite()) {
            return Err(refuse("has no finite embedding; the text model is of no use"));
        }
        Ok(unit)
    }
}

/// The tokenizer, which neither pads nor cuts: both are done here.
fn tokenizer(files: &Files) -> Result<Tokenizer> {
    let path = files.path(1);
    let wrong = |error: tokenizers::Error| {
        Error::file(&path, format!("it is no tokenizer ({error}); get it again"))
    };
    let mut tokenizer = Tokenizer::from_bytes(&files.contents[1]).map_err(wrong)?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(wrong)?;
    Ok(tokenizer)
}

fn network(files: &Files, config: &ClipTextConfig) -> Result<ClipText> {
    const PROJECTION: &str = "text_projection.weight";
    let path = files.path(2);
    let wrong = |error: candle::Error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Error::file(&path, format!("it does not fit config.json ({line}); get both from one place"))
    };
    let all = candle::safetensors::load_buffer(&files.contents[2], &Device::Cpu);
    let all =
        all.map_err(|error| Error::file(&path, format!("it is damaged ({error}); get it again")))?;
    let mut own = BTreeMap::new();
    // A whole CLIP model has images' parameters as well, and old files have the numbers of positions.
    for (name, tensor) in BTreeMap::from_iter(all) {
        if tensor.dtype().is_float() && (name.starts_with("text_model.") || name == PROJECTION) {
            own.insert(name, tensor.to_dtype(DType::F32)?);
        }
    }
    let projected = own.contains_key(PROJECTION);
    ClipText::new(config, projected, &nn::frozen(own).builder()).map_err(wrong)
}

impl fmt::Debug for TextEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, config) = (&self.files.folder, &self.config);
        f.debug_struct("TextEncoder")
            .field("folder", folder)
            .field("config", config)
            .finish_non_exhaustive()
    }
}
