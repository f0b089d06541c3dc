//! Networks whose blocks run again for their gradients.

use anyhow::ensure;
use candle::{DType, Tensor};
use nn::{Backend, Parameters, with_backend};
use sconce_models::{Architecture, Input, Interface, ModelConfig, Norm, ResidualUnet, Unet};

use crate::device::{device, values};

/// Logits, gradients and, after the step, all parameters, which running statistics are among.
fn step(model: &ModelConfig, rank: usize) -> anyhow::Result<Vec<(String, Vec<f64>)>> {
    let interface = Interface { channels: 2, classes: 3, rank };
    let parameters = Parameters::new(7, &device());
    let model = model.build(interface, parameters.builder())?;
    let space = &[8, 16, 8][3 - rank..];
    let shape = [&[2, 2], space].concat();
    let count: usize = shape.iter().product();
    let images: Vec<f32> = (0..count).map(|at| (at as f32 * 0.37).sin() + 0.1).collect();
    let images = Tensor::from_vec(images, shape, &device())?;
    let logits = model.forward_t(&Input::images(images), true)?;
    let mut all = Vec::new();
    let mut loss = Tensor::zeros((), DType::F32, &device())?;
    for head in logits.heads() {
        all.push((head.id.to_string(), values(&head.logits)?));
        loss = (loss + head.logits.sqr()?.mean_all()?)?;
    }
    let gradients = loss.backward()?;
    for (name, variable) in parameters.vars() {
        if let Some(gradient) = gradients.get(&variable) {
            all.push((format!("gradient of {name}"), values(gradient)?));
        }
        all.push((name, values(&variable)?));
    }
    Ok(all)
}

/// Plain and residual, without and with blocks that run again.
fn pairs(norm: Norm) -> [[ModelConfig; 2]; 2] {
    let features_per_stage = vec![4, 6, 8];
    let unet = |gradient_checkpointing| {
        let features_per_stage = features_per_stage.clone();
        Unet { features_per_stage, norm, gradient_checkpointing, ..Unet::default() }.into()
    };
    let residual = |gradient_checkpointing| {
        let (features_per_stage, n_blocks_per_stage) = (features_per_stage.clone(), vec![1, 2, 2]);
        let default = ResidualUnet::default();
        ResidualUnet {
            features_per_stage,
            n_blocks_per_stage,
            norm,
            gradient_checkpointing,
            ..default
        }
        .into()
    };
    [[unet(false), unet(true)], [residual(false), residual(true)]]
}

#[test]
fn a_step_is_the_same_bit_for_bit() -> anyhow::Result<()> {
    for backend in [Backend::Auto, Backend::Reference] {
        for (rank, norm) in [(2, Norm::Instance), (3, Norm::Batch)] {
            for [kept, again] in pairs(norm) {
                let step = |model| with_backend(backend, || step(model, rank));
                let (kept, again) = (step(&kept)?, step(&again)?);
                ensure!(kept.len() == again.len());
                for ((name, kept), (_, again)) in kept.iter().zip(&again) {
                    ensure!(kept == again, "{name}, {backend:?}");
                }
            }
        }
    }
    Ok(())
}
