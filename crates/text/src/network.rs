use candle::{DType, Device, Result, Tensor};
use candle_nn::{Embedding, Linear, Module as _, VarBuilder, embedding, linear, linear_no_bias};
use nn::LayerNorm;

use crate::{ClipTextConfig, HiddenAct};

/// The text encoder of CLIP: a transformer whose tokens see those before them.
///
/// Parameters have the names of the hub's library, `text_model.…` and, where there is a projection, `text_projection.weight`.
/// Unlike that of `candle-transformers`, it can be trained: candle's fused layer norm has no gradient.
///
/// # Source
///
/// Radford, Kim, Hallacy et al.: *Learning Transferable Visual Models From Natural Language Supervision*, ICML 2021,
/// [arXiv:2103.00020](https://arxiv.org/abs/2103.00020); `CLIPTextModelWithProjection` of
/// [huggingface/transformers](https://github.com/huggingface/transformers).
#[derive(Debug)]
pub struct ClipText {
    tokens: Embedding,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    projection: Option<Linear>,
    length: usize,
}

#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    act: HiddenAct,
}

#[derive(Debug)]
struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl ClipText {
    /// Takes its parameters from `vb`; without a projection where `projected` is false.
    ///
    /// # Errors
    ///
    /// Where a parameter is missing or of another shape.
    pub fn new(config: &ClipTextConfig, projected: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let width = config.hidden_size;
        let text = vb.pp("text_model");
        let of_tokens = text.pp("embeddings");
        let tokens = embedding(config.vocab_size, width, of_tokens.pp("token_embedding"))?;
        let positions = config.max_position_embeddings;
        let positions = embedding(positions, width, of_tokens.pp("position_embedding"))?;
        let of_layers = text.pp("encoder.layers");
        let layers = (0..config.num_hidden_layers).map(|at| Layer::new(config, &of_layers.pp(at)));
        let projection = |vb| linear_no_bias(width, config.projection_dim, vb);
        Ok(Self {
            tokens,
            positions: positions.embeddings().clone(),
            layers: layers.collect::<Result<_>>()?,
            norm: LayerNorm::new(width, config.layer_norm_eps, text.pp("final_layer_norm"))?,
            projection: projected.then(|| projection(vb.pp("text_projection"))).transpose()?,
            length: if projected { config.projection_dim } else { width },
        })
    }

    /// The length of embeddings, `E`.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The embeddings `(N, E)` of texts as tokens, `(N, L)` of u32, of which those at `ends`, one for each text, end it: what
    /// comes after them makes no difference. They are not of unit length.
    ///
    /// # Errors
    ///
    /// Where there are more tokens than positions, a token or an end is not there, or a tensor operation fails.
    pub fn forward(&self, tokens: &Tensor, ends: &[usize]) -> Result<Tensor> {
        let (texts, length) = tokens.dims2()?;
        let (words, width) = self.tokens.embeddings().dims2()?;
        if length > self.positions.dim(0)? {
            candle::bail!("{length} tokens are more than {}", self.positions.dim(0)?);
        }
        if ends.len() != texts || ends.iter().any(|&end| end >= length) {
            candle::bail!("texts of {length} tokens end at {ends:?}");
        }
        let ids = tokens.flatten_all()?;
        if ids.to_vec1::<u32>()?.iter().any(|&id| id as usize >= words) {
            candle::bail!("a token is beyond the {words} that there are");
        }
        let x = self.tokens.forward(&ids)?.reshape((texts, length, width))?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, 0, length)?)?;
        let mask = causal(length, x.dtype(), x.device())?;
        for layer in &self.layers {
            x = layer.forward(&x, &mask)?;
        }
        // Of all tokens, the last ones alone are needed.
        let places = ends.iter().enumerate().map(|(text, end)| u32::try_from(text * length + end));
        let places = places.map(|place| place.map_err(candle::Error::wrap));
        let places = places.collect::<Result<Vec<u32>>>()?;
        let ends = Tensor::new(places, x.device())?;
        let last = x.reshape((texts * length, width))?.index_select(&ends, 0)?;
        let last = self.norm.forward(&last)?;
        match &self.projection {
            Some(projection) => projection.forward(&last),
            None => Ok(last),
        }
    }
}

/// What is added to the scores of tokens `(L, L)`: those that come later are out of sight.
fn causal(length: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let score = |at| if at % length > at / length { -1e9f32 } else { 0.0 };
    let scores: Vec<f32> = (0..length * length).map(score).collect();
    Tensor::from_vec(scores, (length, length), device)?.to_dtype(dtype)
}

impl Layer {
    fn new(config: &ClipTextConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (width, between) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::new(width, config.layer_norm_eps, vb.pp(name));
        let map = |name| linear(width, width, vb.pp("self_attn").pp(name));
        Ok(Self {
            norm1: norm("layer_norm1")?,
            attention: Attention {
                heads: config.num_attention_heads,
                query: map("q_proj")?,
                key: map("k_proj")?,
                value: map("v_proj")?,
                out: map("out_proj")?,
            },
            norm2: norm("layer_norm2")?,
            fc1: linear(width, between, vb.pp("mlp.fc1"))?,
            fc2: linear(between, width, vb.pp("mlp.fc2"))?,
            act: config.hidden_act,
        })
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let x = (self.attention.forward(&self.norm1.forward(x)?, mask)? + x)?;
        let y = self.fc1.forward(&self.norm2.forward(&x)?)?;
        let y = match self.act {
            HiddenAct::QuickGelu => (candle_nn::ops::sigmoid(&(&y * 1.702)?)? * y)?,
            HiddenAct::Gelu => y.gelu_erf()?,
        };
        self.fc2.forward(&y)? + x
    }
}

impl Attention {
    /// Of tokens `(N, L, D)`.
    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, length, width) = x.dims3()?;
        let size = width / self.heads;
        let split = |map: &Linear| -> Result<Tensor> {
            let heads = map.forward(x)?.reshape((texts, length, self.heads, size))?;
            heads.transpose(1, 2)?.contiguous() // (N, H, L, D / H)
        };
        let query = (split(&self.query)? * (size as f64).powf(-0.5))?;
        let scores = query.matmul(&split(&self.key)?.t()?)?.broadcast_add(mask)?;
        let seen = nn::softmax(&scores.contiguous()?)?.matmul(&split(&self.value)?)?;
        let seen = seen.transpose(1, 2)?.reshape((texts, length, width))?;
        self.out.forward(&seen)
    }
}
