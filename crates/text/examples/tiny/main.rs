//! Makes the text encoder that ships with this crate, `crates/text/tiny`.
//!
//! ```text
//! cargo run --release -p sconce-text --example tiny -- crates/text/tiny
//! ```
//!
//! It learns from `concepts.txt`, whose lines are words of one meaning each, in the phrases of `templates.txt`: two phrases of
//! one concept are to have one direction, those of others, and words without meaning, another. What `held_out.txt` says is
//! never seen. The same machine makes the same bytes each time.

mod corpus;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Context as _;
use candle::{D, DType, Device, Tensor};
use nn::{AdamConfig, Optimizer as _, Parameters};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce_text::{ClipText, ClipTextConfig, TextEncoder};
use serde_json::json;

use crate::corpus::Corpus;
use crate::tokens::Tokens;

const SEED: u64 = 29;
const STEPS: usize = 340;
/// Texts without meaning in each step.
const NONSENSE: usize = 72;
/// What similarities are divided by.
const TEMPERATURE: f64 = 0.07;
const RATE: f64 = 3e-3;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("name the folder to write to")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let corpus = Corpus::read()?;
    let tokens = Tokens::learn(&corpus.words());
    let config = ClipTextConfig {
        vocab_size: tokens.count(),
        hidden_size: 64,
        intermediate_size: 128,
        projection_dim: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        max_position_embeddings: 24,
        eos_token_id: tokens.end(),
        ..ClipTextConfig::default()
    };
    std::fs::write(folder.join("tokenizer.json"), tokens.to_json()?)?;
    let weights = trained(&config, &corpus, &tokens)?;
    write(folder, &config, weights)?;

    let threshold = threshold(&TextEncoder::open(folder)?, &corpus)?;
    let config = ClipTextConfig { similarity_threshold: Some(threshold), ..config };
    write_config(folder, &config)
}

/// The parameters after training.
fn trained(
    config: &ClipTextConfig,
    corpus: &Corpus,
    tokens: &Tokens,
) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let parameters = Parameters::new(SEED, &Device::Cpu);
    let network = ClipText::new(config, true, &parameters.builder())?;
    small(&parameters)?;
    let mut optimizer =
        nn::Adam::decoupled(AdamConfig { weight_decay: 1e-2, ..AdamConfig::default() });
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for step in 0..STEPS {
        let [one, other] = corpus.pairs(&mut rng);
        let nonsense: Vec<String> = (0..NONSENSE).map(|_| corpus.nonsense(&mut rng)).collect();
        let concepts = one.len();
        let all = [one, other, nonsense].concat();
        let unit = embedded(&network, tokens, &all, config.max_position_embeddings)?;
        let one = unit.narrow(0, 0, concepts)?;
        let other = unit.narrow(0, concepts, concepts)?;
        let nonsense = unit.narrow(0, 2 * concepts, NONSENSE)?;
        let loss =
            ((contrast(&one, &other, &nonsense)? + contrast(&other, &one, &nonsense)?)? * 0.5)?;
        let mut gradients = parameters.gradients(&loss)?;
        nn::clip_grad_norm(&mut gradients, 1.0)?;
        let done = step as f64 / STEPS as f64;
        let rate = RATE * (step as f64 / 30.0).min(1.0) * (1.0 - done).powf(0.9);
        optimizer.step(&parameters, &gradients, &rate.into())?;
        if step % 20 == 0 {
            tell(&format!("step {step}: {:.4}", loss.to_scalar::<f32>()?));
        }
    }
    Ok(parameters.tensors()?)
}

/// Draws embeddings smaller, as CLIP begins.
fn small(parameters: &Parameters) -> anyhow::Result<()> {
    let mut tensors = parameters.tensors()?;
    for (name, tensor) in &mut tensors {
        if name.contains("embeddings.") {
            *tensor = (&*tensor * 0.02)?;
        }
    }
    Ok(parameters.load(&tensors)?)
}

/// Unit vectors of texts.
fn embedded(
    network: &ClipText,
    tokens: &Tokens,
    texts: &[String],
    most: usize,
) -> anyhow::Result<Tensor> {
    let split: Vec<Vec<u32>> = texts.iter().map(|text| tokens.split(text, most)).collect();
    let length = split.iter().map(Vec::len).max().unwrap_or_default();
    let ends: Vec<usize> = split.iter().map(|ids| ids.len() - 1).collect();
    let padded = split.into_iter().flat_map(|mut ids| {
        ids.resize(length, tokens.end());
        ids
    });
    let ids = Tensor::from_vec(padded.collect::<Vec<u32>>(), (texts.len(), length), &Device::Cpu)?;
    let found = network.forward(&ids, &ends)?;
    let norm = (found.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    Ok(found.broadcast_div(&norm)?)
}

/// The cross entropy of finding the other phrase of each concept among those of all, and among words without meaning.
fn contrast(one: &Tensor, other: &Tensor, nonsense: &Tensor) -> anyhow::Result<Tensor> {
    let all = Tensor::cat(&[other, nonsense], 0)?;
    let scores = (one.matmul(&all.t()?)? / TEMPERATURE)?;
    let right: Vec<u32> = (0..).take(one.dim(0)?).collect();
    let right = Tensor::new(right, &Device::Cpu)?.unsqueeze(1)?;
    Ok(nn::log_softmax(&scores.contiguous()?)?.gather(&right, 1)?.mean_all()?.neg()?)
}

/// Half-way between how similar phrases of a concept are to its name and how similar others are to the name nearest to them:
/// between the lowest hundredth of the former and the highest of the latter.
fn threshold(encoder: &TextEncoder, corpus: &Corpus) -> anyhow::Result<f64> {
    let names = encoder.embed(&corpus.names())?;
    let (mut alike, mut others) = (Vec::new(), Vec::new());
    for (number, phrases) in corpus.phrases().into_iter().enumerate() {
        let similarity = encoder.embed(&phrases)?.matmul(&names.t()?)?.to_vec2::<f32>()?;
        for of_names in similarity {
            alike.push(of_names[number]);
            let of_others = of_names.iter().enumerate().filter(|(at, _)| *at != number);
            others.push(of_others.map(|(_, it)| *it).fold(f32::MIN, f32::max));
        }
    }
    alike.sort_by(f32::total_cmp);
    others.sort_by(f32::total_cmp);
    let (low, high) = (alike[alike.len() / 100], others[others.len() - 1 - others.len() / 100]);
    let threshold = (f64::midpoint(f64::from(low), f64::from(high)) * 100.0).round() / 100.0;
    tell(&format!("alike from {low:.3}, others up to {high:.3}: threshold {threshold}"));
    Ok(threshold)
}

fn write(
    folder: &Path,
    config: &ClipTextConfig,
    weights: BTreeMap<String, Tensor>,
) -> anyhow::Result<()> {
    let half = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::F16)?));
    let weights: BTreeMap<String, Tensor> =
        weights.into_iter().map(half).collect::<candle::Result<_>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(weights.iter(), Some(metadata))?;
    std::fs::write(folder.join("model.safetensors"), bytes)?;
    write_config(folder, config)
}

fn write_config(folder: &Path, config: &ClipTextConfig) -> anyhow::Result<()> {
    let mut json = serde_json::to_value(config)?;
    json["model_type"] = json!("clip_text_model");
    json["architectures"] = json!(["CLIPTextModelWithProjection"]);
    std::fs::write(folder.join("config.json"), format!("{json:#}\n"))?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program that somebody waits for")]
fn tell(line: &str) {
    println!("{line}");
}
