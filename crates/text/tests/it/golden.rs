//! Embeddings that Hugging Face transformers computed; see `benchmarks/interop/clip_text.py`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use candle::{DType, Device, Tensor};
use sconce_text::{ClipText, ClipTextConfig, HiddenAct};

const CASES: &[u8] = include_bytes!("../data/clip_text.safetensors");

fn config(hidden_act: HiddenAct, eos_token_id: u32) -> ClipTextConfig {
    ClipTextConfig {
        vocab_size: 24,
        hidden_size: 8,
        intermediate_size: 12,
        projection_dim: 6,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 7,
        hidden_act,
        eos_token_id,
        ..ClipTextConfig::default()
    }
}

/// The tensors of a case, by their names in it.
fn case(name: &str) -> anyhow::Result<BTreeMap<String, Tensor>> {
    let all = candle::safetensors::load_buffer(CASES, &Device::Cpu)?;
    let own = all.into_iter().filter_map(|(full, tensor)| {
        let name = full.strip_prefix(name)?.strip_prefix('.')?;
        Some((name.to_owned(), tensor))
    });
    Ok(own.collect())
}

#[test]
fn embeddings_are_those_of_transformers() -> anyhow::Result<()> {
    let quick = HiddenAct::QuickGelu;
    for (name, act, end) in
        [("quick_gelu", quick, 23), ("gelu", HiddenAct::Gelu, 23), ("legacy", quick, 2)]
    {
        let config = config(act, end);
        let mut tensors = case(name)?;
        let expected = tensors.remove("expected").context("what is expected")?;
        let tokens = tensors.remove("tokens").context("tokens")?.to_dtype(DType::U32)?;
        let frozen = nn::frozen(tensors);
        let network = ClipText::new(&config, true, &frozen.builder())?;
        assert!(frozen.unused().is_empty(), "{:?}", frozen.unused());
        let ends = tokens.to_vec2::<u32>()?;
        let ends = ends.iter().map(|ids| config.end(ids).context("an end"));

        let found = network.forward(&tokens, &ends.collect::<anyhow::Result<Vec<_>>>()?)?;

        let pairs = found.flatten_all()?.to_vec1::<f32>()?;
        for (found, expected) in pairs.into_iter().zip(expected.flatten_all()?.to_vec1::<f32>()?) {
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-5);
        }
    }
    Ok(())
}

#[test]
fn every_parameter_can_be_trained() -> anyhow::Result<()> {
    let parameters = nn::Parameters::new(0, &Device::Cpu);
    let network = ClipText::new(&config(HiddenAct::QuickGelu, 23), true, &parameters.builder())?;
    let tokens = Tensor::new(&[[22u32, 5, 7, 1, 23]], &Device::Cpu)?;

    let loss = network.forward(&tokens, &[4])?.sqr()?.sum_all()?;

    assert!(parameters.gradients(&loss)?.without().is_empty());
    assert!(network.forward(&tokens, &[5]).is_err(), "an end that is not there");
    let strange = Tensor::new(&[[22u32, 24, 23]], &Device::Cpu)?;
    assert!(network.forward(&strange, &[2]).is_err(), "a token that is not there");
    assert!(network.forward(&Tensor::zeros((1, 8), DType::U32, &Device::Cpu)?, &[7]).is_err());
    Ok(())
}
