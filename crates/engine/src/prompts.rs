//! Networks that are told in words what to segment.

use std::collections::BTreeSet;
use std::path::Path;

use candle::Tensor;
use data::Class;
use models::{Architecture as _, Interface, TextUnet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use text::{Known, TextEncoder};

use crate::calibrate::VectorScaling;
use crate::config::RunConfig;
use crate::file::{create_folder, write_atomic};
use crate::trained::{NetworkConfig, Trained};
use crate::{Error, LabelSpace, Result};

/// The table `[text]` of a run file: what makes embeddings of the names of classes, and later of prompts.
///
/// ```toml
/// [text]
/// encoder = "hub:openai/clip-vit-base-patch32"
/// template = "a computed tomography of the {}"
/// threshold = 0.8
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextConfig {
    /// `tiny`, the text encoder that ships; a folder of one, or `hub:owner/name`.
    pub encoder: String,
    /// What is embedded, with `{}` where the name of a class stands, or a prompt.
    pub template: String,
    /// How similar a prompt must be to the name of a class to stand for it, from −1 to 1; absent, as the encoder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

impl Default for TextConfig {
    fn default() -> Self {
        let (encoder, template) = (Self::TINY.to_owned(), "{}".to_owned());
        Self { encoder, template, threshold: None }
    }
}

impl TextConfig {
    /// What the encoder that ships is called.
    pub const TINY: &'static str = "tiny";

    /// That the settings make sense.
    pub(crate) fn check(&self) -> Result<()> {
        if self.template.matches("{}").count() != 1 {
            return Err(Error::Settings(format!(
                "text.template is {:?}; put {{}} once, where the name of a class is to stand",
                self.template
            )));
        }
        if self.threshold.is_some_and(|threshold| !(-1.0..=1.0).contains(&threshold)) {
            return Err(Error::Settings(
                "text.threshold is no similarity; a number from -1 to 1 is needed".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What `config.json` says of a network that is told in words what to segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextRecord {
    /// What made embeddings of the names of classes, as the run file names it; where the model's folder has a folder
    /// [`TextRecord::FOLDER`], that is it.
    pub encoder: String,
    /// The SHA-256 hash of its weights.
    pub hash: String,
    /// What was embedded, with `{}` where the name of a class stands.
    pub template: String,
    /// How similar a prompt must be to the name of a class to stand for it.
    pub threshold: f64,
}

/// Encoders up to this size go into the folder of a model, bytes; of others their name is kept.
const MOST_BYTES: usize = 16 << 20;

impl TextRecord {
    /// The folder within that of a run or a model that holds the text encoder, where it is small.
    pub const FOLDER: &'static str = "text";

    /// What is in it.
    pub const FILES: [&'static str; 3] = TextEncoder::FILES;

    /// Of a run.
    pub(crate) fn of(config: &RunConfig, encoder: &TextEncoder) -> Result<Self> {
        let TextConfig { encoder: name, template, threshold } =
            config.text.clone().unwrap_or_default();
        let threshold = threshold.or(encoder.config().similarity_threshold);
        let threshold = threshold.ok_or_else(|| {
            Error::unsuitable(Error::Settings(format!(
                "the text encoder {name} does not say how similar a prompt must be to a class; set text.threshold, such as to 0.8"
            )))
        })?;
        Ok(Self { encoder: name, hash: encoder.hash(), template, threshold })
    }

    /// The embeddings of some words, `(N, E)`.
    fn embed(&self, encoder: &TextEncoder, words: &[String]) -> Result<Tensor> {
        let texts = words.iter().map(|words| self.template.replace("{}", words));
        Ok(encoder.embed(&texts.collect::<Vec<_>>())?)
    }

    /// The parameter that holds the embeddings of a network's classes.
    pub(crate) fn prompts(&self, encoder: &TextEncoder, classes: &[Class]) -> Result<Tensor> {
        self.embed(encoder, &names(classes))
    }
}

/// The names of all classes but the background.
fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().skip(1).map(|class| class.name.clone()).collect()
}

/// That a run whose network is told what to segment has what it needs for that, and another none of it.
pub(crate) fn check(
    config: &RunConfig,
    space: &LabelSpace,
    encoder: Option<&TextEncoder>,
    resumes: bool,
) -> Result<()> {
    let refuse = |reason: String| Err(Error::unsuitable(Error::Settings(reason)));
    let name = config.model.name();
    let Some(length) = config.model.embedding() else {
        return match config.text {
            Some(_) => refuse(format!("model.{name} is told nothing in words; remove [text]")),
            None => Ok(()),
        };
    };
    if matches!(space, LabelSpace::Classes { .. }) {
        return refuse(format!(
            "model.{name} decides each class by itself, but the classes of this data set exclude each other; name it in \
             [[data.partial.sets]]"
        ));
    }
    match encoder {
        // Its checkpoint has what was made of words.
        None if resumes => Ok(()),
        None => refuse("text.encoder was not read: give its encoder".to_owned()),
        Some(encoder) if encoder.length() != length => refuse(format!(
            "model.{name}.embedding is {length}, but the embeddings of text.encoder have {} numbers; set it to that",
            encoder.length()
        )),
        Some(_) => Ok(()),
    }
}

/// Puts a text encoder into the folder of a run or a model, where it is small enough for that.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn keep(encoder: &TextEncoder, root: &Path) -> Result<()> {
    if encoder.files().map(|(_, content)| content.len()).sum::<usize>() > MOST_BYTES {
        return Ok(());
    }
    let folder = root.join(TextRecord::FOLDER);
    create_folder(&folder)?;
    for (name, content) in encoder.files() {
        write_atomic(&folder.join(name), content)?;
    }
    Ok(())
}

impl Trained {
    /// The same network for other words: each of `prompts` is a class of its own, with the value in label files that is its
    /// place in the list, from 1 on; where two overlap, the later one covers the earlier.
    ///
    /// A prompt stands for the class whose name is most similar to it, by the encoder that the network was trained with, and
    /// is scaled as that one; what is segmented is what the network makes of the prompt's own embedding.
    ///
    /// # Errors
    ///
    /// [`Error::Text`] with [`text::Error::Unknown`], where a prompt is similar to no class that the network knows;
    /// [`Error::Settings`], where the network is told nothing in words, the encoder is another, or there is no prompt or one is
    /// there twice.
    pub fn prompted(&self, encoder: &TextEncoder, prompts: &[String]) -> Result<Self> {
        let Some(record) = &self.config.text else {
            return Err(Error::Settings(format!(
                "the network is told nothing in words; it segments {}",
                names(&self.config.classes).join(", ")
            )));
        };
        if encoder.hash() != record.hash {
            return Err(Error::Settings(format!(
                "the text encoder {} has other weights than the one that the network was trained with; give that one",
                record.encoder
            )));
        }
        if prompts.is_empty() || prompts.iter().collect::<BTreeSet<_>>().len() < prompts.len() {
            return Err(Error::Settings("name each prompt once, and one at least".to_owned()));
        }
        let missing = || Error::Settings(format!("the weights have no {}", TextUnet::PROMPTS));
        let known = self.parameters.get(TextUnet::PROMPTS).ok_or_else(missing)?;
        let of_classes = names(&self.config.classes);
        let known = Known::new(of_classes.clone(), known, record.threshold)?;
        let embeddings = record.embed(encoder, prompts)?;
        let mut meant = Vec::new();
        for (at, prompt) in prompts.iter().enumerate() {
            let (class, _) = known.class(prompt, &embeddings.get(at)?)?;
            meant.extend(of_classes.iter().position(|name| *name == class));
        }
        let values = 1..=u16::try_from(prompts.len()).map_err(candle::Error::wrap)?;
        let mut prompted = self.clone();
        prompted.parameters.insert(TextUnet::PROMPTS.to_owned(), embeddings);
        let NetworkConfig { interface, classes, regions_class_order, vector_scaling, .. } =
            &mut prompted.config;
        *interface = Interface { classes: prompts.len(), ..*interface };
        classes.truncate(1);
        let each = prompts.iter().zip(values.clone());
        classes.extend(each.map(|(prompt, value)| Class::new(prompt.clone(), [value])));
        *regions_class_order = values.collect();
        if let Some(VectorScaling { weights, biases }) = vector_scaling {
            let of_meant = |numbers: &[f64]| meant.iter().map(|&at| numbers[at]).collect();
            (*weights, *biases) = (of_meant(weights), of_meant(biases));
        }
        Ok(prompted)
    }
}
