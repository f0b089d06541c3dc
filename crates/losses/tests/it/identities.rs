//! Losses that are one another for certain settings, on random batches.

use anyhow::Result;
use candle::{Device, Tensor};
use proptest::prelude::*;
use sconce_losses::{Loss, LossConfig, Target};
use serde_json::{Value, json};

const CLASSES: usize = 2;
const VOXELS: usize = 12;

#[derive(Clone, Debug)]
struct Batch {
    logits: Vec<f64>,
    labels: Vec<u32>,
    weights: Vec<f64>,
}

fn batches() -> impl Strategy<Value = Batch> {
    (
        prop::collection::vec(-6.0..6.0f64, 2 * CLASSES * VOXELS),
        prop::collection::vec(0..2u32, 2 * VOXELS),
        prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.1..3.0f64], 2 * VOXELS),
    )
        .prop_map(|(logits, labels, weights)| Batch { logits, labels, weights })
}

impl Batch {
    fn logits(&self) -> Result<Tensor> {
        let shape = (2, CLASSES, 3, VOXELS / 3);
        Ok(Tensor::from_slice(&self.logits, shape, &Device::Cpu)?)
    }

    fn target(&self) -> Result<Target> {
        let shape = (2, 3, VOXELS / 3);
        let weight = Tensor::from_slice(&self.weights, shape, &Device::Cpu)?;
        let labels = Tensor::from_slice(&self.labels, shape, &Device::Cpu)?;
        Ok(Target::hard(labels).with_weight(weight))
    }

    fn of(&self, name: &str, settings: &Value) -> Result<f64> {
        let loss: LossConfig = serde_json::from_value(json!({ name: settings }))?;
        Ok(loss.forward(&self.logits()?, &self.target()?)?.to_scalar()?)
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_semimetrics_of_hard_labels_are_dice_and_tversky(batch in batches()) {
        let image = json!({ "image": 1.0, "batch": 0.0, "active_hard": "all", "smooth": 0.5 });
        let semimetric = batch.of("dice_semimetric", &image).unwrap();
        let dice = batch.of("dice", &json!({ "smooth": 1.0 })).unwrap();
        prop_assert!(close(semimetric, dice), "{semimetric} {dice}");

        let mut uneven = image;
        uneven["alpha"] = 0.3.into();
        uneven["beta"] = 0.7.into();
        let semimetric = batch.of("dice_semimetric", &uneven).unwrap();
        let settings = json!({ "smooth": 0.5, "alpha": 0.3, "beta": 0.7 });
        let tversky = batch.of("tversky", &settings).unwrap();
        prop_assert!(close(semimetric, tversky), "{semimetric} {tversky}");
    }

    #[test]
    fn tversky_of_equal_halves_is_dice(batch in batches()) {
        let dice = batch.of("dice", &json!({ "smooth": 1.0, "pool_batch": true })).unwrap();
        let settings = json!({ "alpha": 0.5, "beta": 0.5, "smooth": 0.5, "pool_batch": true });
        let tversky = batch.of("tversky", &settings).unwrap();
        prop_assert!(close(dice, tversky), "{dice} {tversky}");
    }

    #[test]
    fn focal_of_gamma_zero_and_divergence_of_certain_labels_are_cross_entropy(
        batch in batches(),
    ) {
        let cross_entropy = batch.of("cross_entropy", &json!({})).unwrap();
        let focal = batch.of("focal", &json!({ "gamma": 0.0 })).unwrap();
        prop_assert!(close(cross_entropy, focal), "{cross_entropy} {focal}");
        let divergence = batch.of("kl_divergence", &json!({})).unwrap();
        prop_assert!(close(cross_entropy, divergence), "{cross_entropy} {divergence}");
        let all = batch.of("top_k", &json!({ "percent": 100.0 })).unwrap();
        prop_assert!(close(cross_entropy, all), "{cross_entropy} {all}");
    }

    #[test]
    fn an_even_unified_focal_loss_without_focus_is_dice_and_cross_entropy(batch in batches()) {
        let settings = json!({
            "gamma": 0.0, "delta": 0.5, "symmetric": true, "smooth": 0.5, "clip": 0.0,
        });
        let unified = batch.of("unified_focal", &settings).unwrap();
        let dice = batch.of("dice", &json!({ "smooth": 1.0 })).unwrap();
        let cross_entropy = batch.of("cross_entropy", &json!({})).unwrap();
        let expected = dice / 2.0 + cross_entropy / 4.0;
        prop_assert!(close(unified, expected), "{unified} {expected}");
    }

    #[test]
    fn two_classes_of_softmax_are_one_of_sigmoid(batch in batches()) {
        let logits = batch.logits().unwrap();
        let difference = (logits.narrow(1, 1, 1).unwrap() - logits.narrow(1, 0, 1).unwrap())
            .unwrap();
        let target = batch.target().unwrap();
        let region = target.probabilities(&logits).unwrap().narrow(1, 1, 1).unwrap();
        let region = Target::regions(region).with_weight(target.weight().unwrap().clone());
        for name in ["cross_entropy", "dice", "tversky", "focal", "generalized_dice", "mcc"] {
            let background = match name {
                "cross_entropy" | "focal" => json!({}),
                _ => json!({ "include_background": false }),
            };
            let softmax = batch.of(name, &background).unwrap();
            let loss = json!({ name: { "activation": "sigmoid" } });
            let loss: LossConfig = serde_json::from_value(loss).unwrap();
            let sigmoid = loss.forward(&difference, &region).unwrap();
            let sigmoid = sigmoid.to_scalar::<f64>().unwrap();
            prop_assert!(close(softmax, sigmoid), "{name}: {softmax} {sigmoid}");
        }
    }
}
