//! Predictions that are made slice by slice are those of whole arrays.

use engine::{
    Ensemble, PredictConfig, Prediction, Predictor, RunConfig, Segmentation, Trained, Wanted,
};
use losses::LossConfig;
use ndarray::Axis;
use tempfile::tempdir;
use volume::Image;

use crate::fixture::{Balls, config, device, train_into};

const ALL: Wanted = Wanted { probabilities: true, entropy: true, disagreement: false };

fn settings(_: &Trained) -> PredictConfig {
    PredictConfig { mirror: false, ..PredictConfig::default() }
}

/// A network whose tiles are smaller than its images, which it sees turned and resampled.
fn trained(run: &RunConfig, balls: &Balls) -> anyhow::Result<Trained> {
    let folder = tempdir()?;
    train_into(folder.path(), run, balls, false, None)?;
    let mut trained = Trained::load(folder.path())?;
    trained.plan.patch_size = [8, 8, 8];
    trained.plan.spacing = trained.plan.spacing.map(|spacing| 0.8 * spacing);
    trained.plan.transpose = [1, 2, 0];
    Ok(trained)
}

fn image(balls: &Balls) -> anyhow::Result<Image> {
    let mut image = data::Dataset::read(balls, "ball_0")?.image;
    // A margin that is cut off.
    image.data.slice_mut(ndarray::s![.., ..2, .., 15..]).fill(0.0);
    image.data.slice_mut(ndarray::s![.., 6.., .., ..]).fill(0.0);
    Ok(image)
}

fn in_slices(networks: &[Trained], image: &Image, wanted: Wanted) -> anyhow::Result<Segmentation> {
    Ok(Ensemble::new(networks, settings, &device())?.predict(image, wanted)?)
}

fn whole(network: &Trained, image: &Image) -> anyhow::Result<Prediction> {
    Ok(Predictor::new(network, settings(network), &device())?.predict(image)?)
}

#[test]
fn slices_are_those_of_the_whole_to_the_bit() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let mut network = trained(&config(3, 1), &balls)?;
    let image = image(&balls)?;
    for (spacing, crop) in [(1.0, true), (0.6, false), (2.3, true)] {
        network.plan.spacing = network.plan.spacing.map(|mm| mm * spacing);
        network.plan.crop_to_nonzero = crop;
        let expected = whole(&network, &image)?;

        let said = in_slices(std::slice::from_ref(&network), &image, ALL)?;
        let alone = in_slices(std::slice::from_ref(&network), &image, Wanted::default())?;

        assert_eq!(said.labels, expected.labels()?);
        assert_eq!(alone.labels, said.labels);
        assert!(alone.probabilities.is_none() && alone.entropy.is_none());
        let probabilities = expected.probability_image()?;
        assert_eq!(said.probabilities.as_ref(), Some(&probabilities));
        assert_eq!(said.soft_labels()?, expected.probabilities()?);
        let entropy = engine::entropy(&probabilities.data.view(), false);
        let found = said.entropy.expect("as wanted").data.index_axis_move(Axis(0), 0);
        for (found, expected) in found.iter().zip(&entropy) {
            approx::assert_relative_eq!(f64::from(*found), *expected, epsilon = 1e-7);
        }
    }
    Ok(())
}

#[test]
fn logits_are_the_weighted_mean_of_tiles() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let network = trained(&config(3, 1), &balls)?;
    let predictor = Predictor::new(&network, settings(&network), &device())?;
    let whole = data::Dataset::read(&balls, "ball_0")?.image;
    let image = predictor.prepare(&whole)?.image;
    let (_, d, h, w) = image.dim();
    assert!(d > 8 && h > 8 && w > 8, "several tiles along each axis");

    let found = predictor.logits(&image)?;

    // All at once, of tiles that are images by themselves.
    let importance = engine::predict::tiles::importance([8; 3], true);
    let mut sums = ndarray::Array4::<f32>::zeros(found.dim());
    let mut weights = ndarray::Array3::<f32>::zeros((d, h, w));
    let positions = |extent| engine::predict::tiles::positions(extent, 8, 0.5);
    for z in positions(d) {
        for y in positions(h) {
            for x in positions(w) {
                let part = ndarray::s![.., z..z + 8, y..y + 8, x..x + 8];
                let logits = predictor.logits(&image.slice(part).to_owned())?;
                let mut sum = sums.slice_mut(part);
                sum += &(logits * &importance);
                let mut weight = weights.slice_mut(ndarray::s![z..z + 8, y..y + 8, x..x + 8]);
                weight += &importance;
            }
        }
    }
    let expected = sums / weights;
    for (found, expected) in found.iter().zip(&expected) {
        approx::assert_abs_diff_eq!(*found, *expected, epsilon = 1e-4);
    }
    Ok(())
}

#[test]
fn regions_are_painted_slice_by_slice() -> anyhow::Result<()> {
    let loss: LossConfig = toml::from_str("dice = { activation = \"sigmoid\" }")?;
    let balls = Balls::nested(6, [8, 18, 20]);
    let network = trained(&RunConfig { loss, ..config(3, 3) }, &balls)?;
    let image = image(&balls)?;
    let expected = whole(&network, &image)?;

    let said = in_slices(std::slice::from_ref(&network), &image, ALL)?;

    assert_eq!(said.labels, expected.labels()?);
    assert_eq!(said.probabilities, Some(expected.probability_image()?));
    assert!(said.soft_labels().is_err());
    Ok(())
}

#[test]
fn networks_for_slices_are_streamed_too() -> anyhow::Result<()> {
    let balls = Balls::new(6, [1, 18, 20]);
    let folder = tempdir()?;
    train_into(folder.path(), &config(2, 1), &balls, false, None)?;
    let network = Trained::load(folder.path())?;
    let volume = image(&Balls::new(1, [8, 18, 20]))?;

    let said = in_slices(std::slice::from_ref(&network), &volume, ALL)?;

    let expected = whole(&network, &volume)?;
    assert_eq!(said.labels, expected.labels()?);
    assert_eq!(said.probabilities, Some(expected.probability_image()?));
    Ok(())
}

#[test]
fn networks_disagree_where_each_is_sure_of_something_else() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let one = trained(&config(3, 2), &balls)?;
    let mut softer = one.clone();
    softer.config.temperature = 3.0;
    let image = image(&balls)?;
    let wanted = Wanted { disagreement: true, ..ALL };
    let disagreement = |networks: &[Trained]| -> anyhow::Result<_> {
        let said = in_slices(networks, &image, wanted)?;
        Ok((said.disagreement.clone().expect("as wanted").data, said))
    };

    let (none, _) = disagreement(&[one.clone(), one.clone()])?;
    assert!(none.iter().all(|&share| share.abs() < 1e-6), "the same network twice");

    // Of one plan, and of two.
    let mut other = softer.clone();
    other.plan.spacing = other.plan.spacing.map(|mm| 1.2 * mm);
    for networks in [[one.clone(), softer], [one.clone(), other]] {
        let (some, said) = disagreement(&networks)?;
        let [a, b] = [&networks[0], &networks[1]].map(|network| whole(network, &image));
        let [a, b] = [a?.probability_image()?.data, b?.probability_image()?.data];
        let mean = (&a + &b) / 2.0;
        let of = |p: &ndarray::Array4<f32>| engine::entropy(&p.view(), false);
        let expected = of(&mean) - (of(&a) + of(&b)) / 2.0;
        for (found, expected) in some.iter().zip(&expected) {
            approx::assert_abs_diff_eq!(f64::from(*found), expected.max(0.0), epsilon = 1e-5);
        }
        assert!(some.iter().any(|&share| share > 1e-3));
        // What else is said does not change by it.
        let without = in_slices(&networks, &image, ALL)?;
        assert_eq!((without.labels, without.probabilities), (said.labels, said.probabilities));
    }
    let error = in_slices(&[one], &image, wanted).unwrap_err().to_string();
    assert!(error.starts_with("one network cannot disagree"), "{error}");
    Ok(())
}

#[test]
fn networks_that_see_an_image_turned_otherwise_are_averaged_all_the_same() -> anyhow::Result<()> {
    let balls = Balls::new(6, [8, 18, 20]);
    let one = trained(&config(3, 1), &balls)?;
    let mut turned = one.clone();
    turned.plan.transpose = [0, 1, 2];
    let image = image(&balls)?;

    let said = in_slices(&[one.clone(), turned.clone()], &image, ALL)?;

    let [a, b] = [whole(&one, &image)?, whole(&turned, &image)?];
    let mean = (a.probability_image()?.data + b.probability_image()?.data) / 2.0;
    let found = said.probabilities.expect("as wanted").data;
    for (found, expected) in found.iter().zip(&mean) {
        approx::assert_abs_diff_eq!(*found, *expected, epsilon = 1e-6);
    }
    for ((z, y, x), &label) in said.labels.data.indexed_iter() {
        assert_eq!(label == 1, found[[1, z, y, x]] > found[[0, z, y, x]]);
    }
    let wanted = Wanted { disagreement: true, ..ALL };
    let error = in_slices(&[one, turned], &image, wanted).unwrap_err().to_string();
    assert!(error.contains("turned and cut in one way"), "{error}");
    Ok(())
}
