//! Heads besides the main one.

use anyhow::{Context, Result};
use candle::Tensor;
use nn::Parameters;
use sconce_models::{Architecture, HeadId, Input, Interface, Logits, ModelConfig};

use crate::device::{device, dtype, values};
use crate::generated;
use crate::small;

const INTERFACE: Interface = Interface { channels: 2, classes: 3, rank: 2 };

fn images(extents: [usize; 2]) -> Result<Tensor> {
    Ok(generated::tensor("images", &[2, 2, extents[0], extents[1]], 1.0)?)
}

fn heads(logits: &Logits) -> Vec<(HeadId, Vec<usize>)> {
    logits.heads().iter().map(|head| (head.id, head.logits.dims().to_vec())).collect()
}

#[test]
fn an_auxiliary_head_is_there_in_training_and_at_the_resolution_of_the_images() -> Result<()> {
    for model in small::networks()? {
        let mut settings = serde_json::to_value(&model)?;
        let settings = settings.get_mut(model.name()).context("settings")?;
        if settings["aux_head"].is_null() {
            continue;
        }
        settings["aux_head"] = true.into();
        let model: ModelConfig =
            serde_json::from_value(serde_json::json!({ model.name(): settings }))?;
        let parameters = Parameters::with_dtype(0, dtype(), &device());
        let network = model.build(INTERFACE, parameters.builder())?;
        let input = Input::images(images([32, 64])?);

        let trained = network.forward_t(&input, true)?;

        let shape = vec![2, 3, 32, 64];
        let expected = [(HeadId::Main, shape.clone()), (HeadId::Auxiliary(0), shape.clone())];
        assert_eq!(heads(&trained), expected, "{}", model.name());
        let used = network.forward_t(&input, false)?;
        assert_eq!(heads(&used), [(HeadId::Main, shape)], "{}", model.name());
        let auxiliary = trained.get(HeadId::Auxiliary(0)).context("no auxiliary head")?;
        let gradients = parameters.gradients(&auxiliary.sqr()?.sum_all()?)?;
        let without: Vec<&str> = gradients.without().into_iter().collect();
        let of_head = |name: &&str| name.starts_with("aux_") && !name.contains("running_");
        assert!(!without.iter().any(of_head), "{without:?}");
        assert!(without.contains(&"segmentation_head.0.weight"), "{without:?}");
    }
    Ok(())
}

#[test]
fn a_w_net_answers_twice_in_training_and_its_second_half_trains_the_first() -> Result<()> {
    let model: ModelConfig = toml::from_str(
        "[w_net]\nencoder = \"resnet18\"\ndecoder_pyramid_channels = 16\n\
         decoder_segmentation_channels = 32",
    )?;
    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let network = model.build(INTERFACE, parameters.builder())?;
    let input = Input::images(images([32, 32])?);

    let trained = network.forward_t(&input, true)?;

    let shape = vec![2, 3, 32, 32];
    assert_eq!(heads(&trained), [(HeadId::Main, shape.clone()), (HeadId::Network(0), shape)]);
    let of = |logits: &Tensor| -> Result<Vec<String>> {
        let gradients = parameters.gradients(&logits.sqr()?.sum_all()?)?;
        let without = gradients.without().into_iter().map(str::to_owned);
        Ok(without.filter(|name| !name.contains("running_")).collect())
    };
    assert_eq!(of(trained.main())?, Vec::<String>::new());
    let first = of(trained.get(HeadId::Network(0)).context("no first network")?)?;
    assert!(!first.is_empty() && first.iter().all(|name| name.starts_with("m2.")), "{first:?}");
    Ok(())
}

#[test]
fn the_second_half_of_a_w_net_reads_the_logits_of_the_first_as_they_are() -> Result<()> {
    let settings = "encoder = \"resnet18\"\ndecoder_pyramid_channels = 16\n\
                    decoder_segmentation_channels = 32";
    let whole: ModelConfig = toml::from_str(&format!("[w_net]\n{settings}"))?;
    let half: ModelConfig = toml::from_str(&format!("[fpn]\n{settings}"))?;
    let parameters = Parameters::with_dtype(0, dtype(), &device());
    let network = whole.build(INTERFACE, parameters.builder())?;
    let first = half.build(INTERFACE, parameters.builder().pp("m1"))?;
    let both = Interface { channels: 5, ..INTERFACE };
    let second = half.build(both, parameters.builder().pp("m2"))?;
    let images = images([32, 32])?;

    let opinion = first.forward_t(&Input::images(images.clone()), false)?;
    let joined = Tensor::cat(&[&images, opinion.main()], 1)?;
    let expected = second.forward_t(&Input::images(joined), false)?;

    let actual = network.forward_t(&Input::images(images), false)?;
    assert_eq!(values(actual.main())?, values(expected.main())?);
    Ok(())
}
