//! An encoder that begins with weights of others.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle::{Device, Tensor};
use engine::{Event, Observer, Origins, PretrainedEncoder, RunConfig, RunFolder, Transfer};
use models::{Architecture as _, Interface, ModelConfig};
use tempfile::tempdir;

use crate::fixture::{Balls, config, device, run_from};

/// Keeps what was said of weights that were taken over.
#[derive(Default)]
struct Watch(Option<Transfer>);

impl Observer for Watch {
    fn on(&mut self, event: &Event<'_>) -> engine::Result<ControlFlow<()>> {
        if let Event::Transferred(transfer) = event {
            self.0 = Some((*transfer).clone());
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn model(settings: &str) -> anyhow::Result<ModelConfig> {
    Ok(toml::from_str(settings)?)
}

/// A file with weights of an encoder for photographs, as timm has them.
fn state(path: &Path, model: &ModelConfig) -> anyhow::Result<usize> {
    let parameters = nn::Parameters::new(5, &Device::Cpu);
    let photographs = Interface { channels: 3, classes: 2, rank: 2 };
    model.build(photographs, parameters.builder())?;
    let all = parameters.tensors()?.into_iter();
    let encoder =
        all.filter_map(|(name, it)| Some((name.strip_prefix("encoder.")?.to_owned(), it)));
    let mut state: BTreeMap<String, Tensor> = encoder.collect();
    let count = state.len();
    state.insert("fc.bias".to_owned(), Tensor::zeros(1000, candle::DType::F32, &Device::Cpu)?);
    engine::weights::save(path, &state, &serde_json::json!({}))?;
    Ok(count)
}

fn train(config: &RunConfig, encoder: &PretrainedEncoder) -> engine::Result<(Transfer, String)> {
    let folder = tempdir().expect("a temporary folder");
    let (folder, device) = (RunFolder::create(folder.path(), false)?, device());
    let dataset = &Balls::new(6, [1, 40, 40]);
    let origins = Origins { encoder: Some(encoder), ..Origins::default() };
    let run = run_from(config, dataset, &folder, &device, origins);
    let mut watch = Watch::default();
    engine::train(&run, &mut [&mut watch])?;
    let origins = std::fs::read_to_string(folder.origins()).expect("what it began with");
    Ok((watch.0.expect("it was told of"), origins))
}

#[test]
fn an_encoder_begins_with_the_weights_of_a_file() -> anyhow::Result<()> {
    let folder = tempdir()?;
    let path = folder.path().join("model.safetensors");
    let mut run = config(2, 1);
    run.model = model("[smp_unet]\nencoder = \"resnet18\"")?;
    run.preprocess.patch_size = Some([1, 32, 32]);
    (run.train.iterations_per_epoch, run.train.validation_iterations) = (1, 1);
    let count = state(&path, &run.model)?;
    let encoder = PretrainedEncoder::load(&path)?;

    let (transfer, origins) = train(&run, &encoder)?;

    assert_eq!((transfer.reused, transfer.left.len()), (count, 0));
    assert!(transfer.fresh.iter().all(|name| !name.starts_with("encoder.")), "{transfer:?}");
    assert!(!transfer.fresh.is_empty() && origins.contains("\"encoder\""), "{origins}");

    let refused = |model: ModelConfig, rank: usize| {
        let mut other = run.clone();
        (other.model, other.preprocess.rank) = (model, Some(rank));
        train(&other, &encoder).map(drop).expect_err("a refusal").to_string()
    };
    let error = refused(model("[unet]\nfeatures_per_stage = [4, 8]")?, 2);
    assert!(error.contains("model.unet has no encoder") && error.contains("smp_unet"), "{error}");
    let error = refused(model("[smp_unet]\nencoder = \"resnet34\"")?, 2);
    assert!(error.contains("weights of resnet34: ") && error.contains("is missing"), "{error}");
    Ok(())
}
