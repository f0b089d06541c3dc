//! Networks that see what others have said before them.

use std::fs;
use std::path::{Path, PathBuf};

use candle::{Device, Tensor};
use engine::{Ensemble, PredictConfig, Predictor, Trained, Wanted};
use sconce_zoo::{self as zoo, NnunetOptions, PackOptions};
use serde_json::{Value as Json, json};
use volume::{Grid, Image};

use crate::fixture;

/// The first weights, to which channels come.
const FIRST: &str = "encoder.stages.0.0.convs.0.conv.weight";

fn trained(place: &Path, seed: u64) -> anyhow::Result<Trained> {
    fixture::network(place, seed, 3)?;
    let mut trained = Trained::load(place)?;
    trained.plan.crop_to_nonzero = true;
    trained.config.temperature = 1.0;
    Ok(trained)
}

/// Two stages as nnU-Net leaves them, of which the second gives this weight to what the first says.
fn stages(place: &Path, weight: f64) -> anyhow::Result<PathBuf> {
    let low = trained(&place.join("low"), 0)?;
    let mut full = trained(&place.join("full"), 1)?;
    let own = full.parameters[FIRST].clone();
    let mut shape = own.dims().to_vec();
    shape[1] = low.config.classes.len() - 1;
    let seen = Tensor::full(1.0f32, shape, &Device::Cpu)?.affine(weight, 0.0)?;
    full.parameters.insert(FIRST.to_owned(), Tensor::cat(&[&own, &seen], 1)?);
    full.config.interface.channels += low.config.classes.len() - 1;
    let results = place.join("Dataset001_Organ");
    for (name, network) in [("3d_lowres", low), ("3d_cascade_fullres", full)] {
        let folder = place.join(format!("to-{name}"));
        fs::create_dir_all(&folder)?;
        network.save(&folder)?;
        fs::create_dir_all(&results)?;
        zoo::export_nnunet(&folder, &results.join(format!("nnUNetTrainer__nnUNetPlans__{name}")))?;
    }
    let second = results.join("nnUNetTrainer__nnUNetPlans__3d_cascade_fullres");
    let plans = second.join("plans.json");
    let mut text: Json = serde_json::from_str(&fs::read_to_string(&plans)?)?;
    text["configurations"]["3d_fullres"]["previous_stage"] = json!("3d_lowres");
    fs::write(&plans, text.to_string())?;
    Ok(second)
}

fn options() -> PackOptions {
    PackOptions { name: "organ".to_owned(), ..PackOptions::default() }
}

fn settings(_: &Trained) -> PredictConfig {
    PredictConfig { mirror: false, ..PredictConfig::default() }
}

fn image() -> anyhow::Result<Image> {
    let wave = |at: usize| (at as f32 / 2.0).sin();
    let data = ndarray::Array4::from_shape_fn((2, 9, 17, 18), |(channel, z, y, x)| {
        100.0 * (wave(z + channel) + wave(y) * wave(x) + 2.5)
    });
    Ok(Image::new(Grid::new([9, 17, 18], [4.0, 0.6, 0.7])?, data)?)
}

#[test]
fn the_second_stage_sees_what_the_first_says() -> anyhow::Result<()> {
    let image = image()?;
    let mut said = Vec::new();
    for weight in [0.0, 3.0] {
        let place = tempfile::tempdir()?;
        let folder = stages(place.path(), weight)?;
        let model = place.path().join("model");

        let made = zoo::import_nnunet(&folder, &model, &NnunetOptions::default(), &options())?;

        assert_eq!(made.folds, ["fold_0"]);
        assert!(made.previous.as_ref().is_some_and(|it| it.starts_with("nnUNetTrainer__")));
        let (networks, previous) = (zoo::load_all(&model)?, zoo::load_previous(&model)?);
        assert_eq!((networks.len(), previous.len()), (1, 1));
        assert_eq!(networks[0].config.previous_labels, [1, 2]);
        let first = Ensemble::new(&previous, settings, &Device::Cpu)?;
        let labels = first.predict(&image, Wanted::default())?.labels;
        assert!(
            labels.data.iter().any(|&label| label != labels.data[[0, 0, 0]]),
            "a first stage that says nothing"
        );
        let alone = Ensemble::new(&networks, settings, &Device::Cpu)?;
        let error = alone.predict(&image, Wanted::default()).unwrap_err().to_string();
        assert!(error.contains("a cascade"), "{error}");
        let both = alone.with_previous(first)?;
        assert!(both.is_cascade());
        let wanted = Wanted { probabilities: true, ..Wanted::default() };
        said.push(both.predict(&image, wanted)?.probabilities.expect("as wanted"));
        // Where it is given no weight, what comes is what the second stage says alone.
        if weight == 0.0 {
            let mut second = networks[0].clone();
            let own = second.parameters[FIRST].narrow(1, 0, 2)?.contiguous()?;
            second.parameters.insert(FIRST.to_owned(), own);
            second.config.interface.channels = 2;
            second.config.previous_labels.clear();
            let predictor = Predictor::new(&second, settings(&second), &Device::Cpu)?;
            let expected = predictor.predict(&image)?.probability_image()?;
            for (found, expected) in said[0].data.iter().zip(&expected.data) {
                approx::assert_abs_diff_eq!(*found, *expected, epsilon = 1e-5);
            }
        }
        let second = &networks[0];
        let error = Predictor::new(second, settings(second), &Device::Cpu)?.predict(&image);
        assert!(error.unwrap_err().to_string().contains("a cascade"));
        let error = zoo::export_nnunet(&model, &place.path().join("back")).unwrap_err().to_string();
        assert!(error.contains("a cascade"), "{error}");
    }
    assert!(said[0] != said[1], "the first stage makes no difference");
    Ok(())
}

#[test]
fn a_second_stage_without_its_first_is_refused() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let folder = stages(place.path(), 1.0)?;
    fs::remove_dir_all(folder.with_file_name("nnUNetTrainer__nnUNetPlans__3d_lowres"))?;

    let model = place.path().join("model");
    let error = zoo::import_nnunet(&folder, &model, &NnunetOptions::default(), &options());

    let error = error.unwrap_err().to_string();
    assert!(error.contains("reads what 3d_lowres says") && !model.exists(), "{error}");
    Ok(())
}
