//! Networks that are told in words what to segment.

use anyhow::Result;
use candle::{DType, Device, Tensor};
use nn::Parameters;
use sconce_models::{Architecture, Input, Interface, Model, ModelConfig, TextUnet};

const SETTINGS: &str = "[text_unet]\nembedding = 6\ncondition = 5\nwidth = 4\n\
                        [text_unet.unet]\nfeatures_per_stage = [4, 8, 16]";

fn built(classes: usize) -> Result<(Parameters, Box<dyn Model>)> {
    let model: ModelConfig = toml::from_str(SETTINGS)?;
    let parameters = Parameters::with_dtype(3, DType::F64, &Device::Cpu);
    let interface = Interface { channels: 1, classes, rank: 2 };
    let model = model.build(interface, parameters.builder())?;
    Ok((parameters, model))
}

fn images(samples: usize) -> Result<Tensor> {
    let values: Vec<f64> = (0..samples * 64).map(|at| (at as f64 * 0.37).sin()).collect();
    Ok(Tensor::from_vec(values, (samples, 1, 8, 8), &Device::Cpu)?)
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_vec1::<f64>()?)
}

#[test]
fn a_class_depends_on_its_own_prompt_alone() -> Result<()> {
    let (parameters, model) = built(3)?;
    let prompts = &parameters.tensors()?[TextUnet::PROMPTS];
    let all = model.forward_t(&Input::images(images(2)?), false)?;
    let mut input = Input::images(images(2)?);
    // In another order, and for each sample by itself.
    let order = Tensor::new(&[2u32, 0], &Device::Cpu)?;
    let chosen = prompts.index_select(&order, 0)?;
    for prompts in [chosen.clone(), Tensor::stack(&[&chosen, &chosen], 0)?] {
        input.prompts = Some(prompts);

        let found = model.forward_t(&input, false)?;

        let expected = all.main().index_select(&order, 1)?;
        for (found, expected) in values(found.main())?.into_iter().zip(values(&expected)?) {
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-12);
        }
    }
    Ok(())
}

#[test]
fn only_embeddings_depend_on_the_number_of_classes_and_nothing_moves_them() -> Result<()> {
    let ((two, model), (five, _)) = (built(2)?, built(5)?);
    for ((name, one), (other, another)) in two.vars().into_iter().zip(five.vars()) {
        assert_eq!(name, other);
        assert_eq!(one.dims() == another.dims(), name != TextUnet::PROMPTS, "{name}");
    }
    let model_config: ModelConfig = toml::from_str(SETTINGS)?;
    assert_eq!(model_config.embedding(), Some(6));
    assert_eq!(ModelConfig::defaults()[0].embedding(), None);

    let logits = model.forward_t(&Input::images(images(1)?), true)?;
    let mut loss = logits.main().sqr()?.mean_all()?;
    for head in &logits.heads()[1..] {
        loss = (loss + head.logits.sqr()?.mean_all()?)?;
    }
    assert_eq!(two.gradients(&loss)?.without(), [TextUnet::PROMPTS]);
    Ok(())
}

#[test]
fn gradients_agree_with_central_differences() -> Result<()> {
    let (parameters, model) = built(2)?;
    let cost = || -> Result<Tensor> {
        let logits = model.forward_t(&Input::images(images(1)?), false)?;
        Ok((logits.main() - 0.3)?.sqr()?.mean_all()?)
    };
    let gradients = parameters.gradients(&cost()?)?;
    for (name, var) in parameters.vars().into_iter().filter(|(name, _)| name.starts_with("text.")) {
        let Some(gradient) = gradients.get(&name) else { continue };
        let slope = values(gradient)?[0];
        let first = values(&var)?;
        let shifted = |by: f64| -> Result<f64> {
            let mut moved = first.clone();
            moved[0] += by;
            var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu)?)?;
            Ok(cost()?.to_scalar::<f64>()?)
        };
        let expected = (shifted(1e-5)? - shifted(-1e-5)?) / 2e-5;
        shifted(0.0)?;
        approx::assert_abs_diff_eq!(slope, expected, epsilon = 1e-8);
    }
    Ok(())
}

#[test]
fn prompts_of_another_length_are_refused() -> Result<()> {
    let (_, model) = built(2)?;
    for dims in [&[2usize, 5][..], &[3, 2, 6], &[6]] {
        let mut input = Input::images(images(2)?);
        input.prompts = Some(Tensor::zeros(dims, DType::F64, &Device::Cpu)?);
        let error = model.forward_t(&input, false).unwrap_err().to_string();
        assert!(error.contains("the network takes (C, 6), or (2, C, 6) for 2 samples"), "{error}");
    }
    let zero: ModelConfig = toml::from_str("[text_unet]\nwidth = 0")?;
    let interface = Interface { channels: 1, classes: 2, rank: 3 };
    let error = zero.build(interface, Parameters::new(0, &Device::Cpu).builder()).unwrap_err();
    assert!(error.to_string().contains("width must be at least 1"), "{error}");
    Ok(())
}
