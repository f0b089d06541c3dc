use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The shape of a CLIP text encoder, as `config.json` on the hub has it: that of a text model, or the `text_config` of a whole
/// CLIP model. What is not said is as the hub's library has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Tokens.
    pub vocab_size: usize,
    /// Features of a token, `D`.
    pub hidden_size: usize,
    /// Features between the two maps of a layer.
    pub intermediate_size: usize,
    /// The length of embeddings, `E`, where there is a projection.
    pub projection_dim: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention.
    pub num_attention_heads: usize,
    /// Most tokens of a text, its begin and end counted.
    pub max_position_embeddings: usize,
    /// What lies between the two maps of a layer.
    pub hidden_act: HiddenAct,
    /// Added to the variance that norms divide by.
    pub layer_norm_eps: f64,
    /// The token that ends a text, whose features are its embedding; 2 in old files, which means the token of the largest
    /// number.
    pub eos_token_id: u32,
    /// How similar words must be to a class to stand for it; only files of this program say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity_threshold: Option<f64>,
}

/// An activation, as the hub calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HiddenAct {
    /// `x · sigmoid(1.702 x)`, as CLIP's first models have it.
    QuickGelu,
    /// With the error function, as CLIP's later models have it.
    Gelu,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49_407,
            similarity_threshold: None,
        }
    }
}

/// What a `config.json` may hold beside.
#[derive(Deserialize)]
struct Whole {
    text_config: Option<ClipTextConfig>,
    projection_dim: Option<usize>,
}

impl ClipTextConfig {
    /// Where a text of these tokens ends, as the hub's library has it; `None` where nothing ends it.
    pub fn end(&self, tokens: &[u32]) -> Option<usize> {
        match self.eos_token_id {
            2 => tokens.iter().max().and_then(|most| tokens.iter().position(|id| id == most)),
            end => tokens.iter().position(|&id| id == end),
        }
    }

    /// Reads the text of a `config.json`, which `path` names in messages.
    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let wrong = |error: serde_json::Error| {
            Error::file(
                path,
                format!("it is no config of a CLIP text model ({error}); get it again"),
            )
        };
        let whole: Whole = serde_json::from_slice(text).map_err(wrong)?;
        let config = match whole.text_config {
            Some(config) => Self {
                projection_dim: whole.projection_dim.unwrap_or(config.projection_dim),
                ..config
            },
            None => serde_json::from_slice(text).map_err(wrong)?,
        };
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        for (name, value, most) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("projection_dim", self.projection_dim, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 16),
        ] {
            if value == 0 || value > most {
                let reason =
                    format!("{name} is {value}, but must be from 1 to {most}; get it again");
                return Err(Error::file(path, reason));
            }
        }
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            let reason = format!(
                "hidden_size {hidden} does not divide by num_attention_heads {heads}; get it again"
            );
            return Err(Error::file(path, reason));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            let reason = format!("layer_norm_eps is {}, but must be above 0", self.layer_norm_eps);
            return Err(Error::file(path, reason));
        }
        if self.similarity_threshold.is_some_and(|it| !(-1.0..=1.0).contains(&it)) {
            return Err(Error::file(path, "similarity_threshold must be from -1 to 1"));
        }
        Ok(())
    }
}
