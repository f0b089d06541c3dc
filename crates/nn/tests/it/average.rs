use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle::{DType, Device, Tensor};
use candle_nn::Init;
use sconce_nn::{Average, AverageConfig, Backend, OptimizerConfig, Parameters, with_backend};

use crate::device::{device, values};
use crate::random::noise;
use crate::training::{Network, bits, images};

fn plain(decay: f64) -> Average {
    Average::new(AverageConfig { decay, warm_up: false })
}

/// A parameter `w` of one value.
fn single(dtype: DType) -> anyhow::Result<Parameters> {
    let parameters = Parameters::with_dtype(1, dtype, &device());
    parameters.builder().get(1, "w")?;
    Ok(parameters)
}

fn set(parameters: &Parameters, value: f64) -> anyhow::Result<()> {
    let tensor = Tensor::new(&[value], &Device::Cpu)?;
    Ok(parameters.load(&BTreeMap::from([("w".to_owned(), tensor)]))?)
}

#[test]
fn it_is_the_running_mean_of_its_formula() -> anyhow::Result<()> {
    let parameters = single(DType::F32)?;
    let follow = |mut average: Average| -> anyhow::Result<Vec<f64>> {
        let mut means = Vec::new();
        for value in [1.0, 3.0, -1.0, 11.0] {
            set(&parameters, value)?;
            average.update(&parameters)?;
            means.extend(values(&average.tensors()["w"])?);
        }
        assert_eq!(average.updates(), 4);
        Ok(means)
    };

    // 1; 1 + 2/4; 1.5 − 2.5/4; 0.875 + 10.125/4.
    assert_eq!(follow(plain(0.75))?, [1.0, 1.5, 0.875, 3.406_25]);
    // With n updates done, (1 + n) / (10 + n) is kept: 2/11, 3/12, 4/13.
    let first = 3.0 - 2.0 * 2.0 / 11.0;
    let second = -1.0 + (first + 1.0) / 4.0;
    let third = 11.0 + (second - 11.0) * 4.0 / 13.0;
    let warm = follow(Average::new(AverageConfig { decay: 0.75, warm_up: true }))?;
    for (actual, expected) in warm.into_iter().zip([1.0, first, second, third]) {
        approx::assert_relative_eq!(actual, expected, max_relative = 1e-6);
    }
    // But no more than `decay`.
    let least = follow(Average::new(AverageConfig { decay: 0.125, warm_up: true }))?;
    assert_eq!(least, follow(plain(0.125))?);
    Ok(())
}

#[test]
fn it_ends_up_where_parameters_stay() -> anyhow::Result<()> {
    let parameters = single(DType::F32)?;
    let mut average = plain(0.9999);
    set(&parameters, 0.7)?;
    for _ in 0..20_000 {
        average.update(&parameters)?;
    }
    assert_eq!(values(&average.tensors()["w"])?, [f64::from(0.7f32)]);
    Ok(())
}

#[test]
fn one_pass_gives_the_bits_of_many() -> anyhow::Result<()> {
    if !device().is_cpu() {
        return Ok(()); // other devices have no such pass
    }
    let follow = |backend| -> anyhow::Result<Vec<u32>> {
        let parameters = Parameters::new(3, &device());
        parameters.builder().get(40_000, "w")?;
        let mut average = plain(0.9);
        for step in 0..4 {
            let odd = [0.0, -0.0, 1e-40, -1e-40, 1e30, -1e-20];
            let odd = Tensor::new(&odd.map(|value: f32| value * step as f32), &device())?;
            let most = noise(step, &[39_994], DType::F32, &device())?;
            let value = Tensor::cat(&[&most, &odd], 0)?;
            parameters.load(&BTreeMap::from([("w".to_owned(), value)]))?;
            with_backend(backend, || average.update(&parameters))?;
        }
        let values = average.tensors()["w"].to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };

    assert!(follow(Backend::Auto)? == follow(Backend::Reference)?);
    Ok(())
}

#[test]
fn parameters_are_back_to_the_bit_whatever_happens_within() -> anyhow::Result<()> {
    let parameters = Parameters::new(3, &device());
    let network = Network::new(&parameters.builder())?;
    let mut average = plain(0.5);
    average.update(&parameters)?;
    let first = bits(&parameters.tensors()?)?;
    let gradients = parameters.gradients(&network.loss(&images()?)?)?;
    OptimizerConfig::default().build().step(&parameters, &gradients, &0.1.into())?;
    average.update(&parameters)?;
    let before = bits(&parameters.tensors()?)?;

    // Networks that exist have the averages, too; running statistics among them.
    let averaged = average.tensors();
    let plain = network.forward_t(&images()?, false)?;
    let within = average.within(&parameters, || -> anyhow::Result<_> {
        assert_eq!(bits(&parameters.tensors()?)?, bits(&averaged)?);
        Ok(values(&network.forward_t(&images()?, false)?)?)
    })??;
    assert_ne!(within, values(&plain)?);
    assert_ne!(bits(&averaged)?, first);
    let statistics = values(&averaged["batch.running_mean"])?;
    let now = values(&parameters.tensors()?["batch.running_mean"])?;
    for (mean, now) in statistics.into_iter().zip(now) {
        approx::assert_relative_eq!(mean, now / 2.0, max_relative = 1e-6);
    }
    assert_eq!(bits(&parameters.tensors()?)?, before);

    let panics = || -> () { panic!("within") };
    let caught = catch_unwind(AssertUnwindSafe(|| average.within(&parameters, panics)));
    assert!(caught.is_err());
    assert_eq!(bits(&parameters.tensors()?)?, before);
    assert_eq!(bits(&average.tensors())?, bits(&averaged)?);
    Ok(())
}

#[test]
fn before_the_first_update_parameters_are_as_they_are() -> anyhow::Result<()> {
    let parameters = single(DType::F32)?;
    set(&parameters, 5.0)?;
    let average = Average::new(AverageConfig::default());

    let within = average.within(&parameters, || values(parameters.vars()[0].1.as_tensor()))??;

    assert_eq!(within, [5.0]);
    assert!(average.tensors().is_empty());
    Ok(())
}

#[test]
fn a_resumed_average_is_the_uninterrupted_one() -> anyhow::Result<()> {
    let parameters = single(DType::F32)?;
    let follow = |average: &mut Average, from: u32, to: u32| -> anyhow::Result<()> {
        for step in from..to {
            set(&parameters, f64::from(step).sin())?;
            average.update(&parameters)?;
        }
        Ok(())
    };
    let config = AverageConfig { decay: 0.9, warm_up: true };
    let mut whole = Average::new(config.clone());
    follow(&mut whole, 0, 9)?;
    let mut half = Average::new(config.clone());
    follow(&mut half, 0, 4)?;
    let state = half.state()?;
    let saved = bits(&state)?;
    follow(&mut half, 4, 5)?;
    assert_eq!(bits(&state)?, saved, "later updates do not change what was saved");

    let mut resumed = Average::new(config);
    resumed.load_state(&parameters, &state)?;
    assert_eq!(resumed.updates(), 4);
    follow(&mut resumed, 4, 9)?;

    assert_eq!(bits(&resumed.state()?)?, bits(&whole.state()?)?);
    Ok(())
}

#[test]
fn a_state_that_does_not_fit_is_refused() -> anyhow::Result<()> {
    let parameters = single(DType::F32)?;
    let mut average = plain(0.5);
    average.update(&parameters)?;
    let good = average.state()?;
    let entry = |name: &str, shape: &[usize]| -> anyhow::Result<_> {
        let mut state = good.clone();
        state.insert(name.to_owned(), Tensor::zeros(shape, DType::F32, &device())?);
        Ok(state)
    };
    let mut without = good.clone();
    without.remove("average/w");
    for (state, expected) in [
        (entry("average/v", &[1])?, "averages differ: not known v"),
        (without, "averages differ: missing w"),
        (entry("average/w", &[2])?, "parameter w has shape [2], but the network asks for [1]"),
        (entry("momentum/w", &[1])?, "entry momentum/w of an average is not known"),
        (entry("updates", &[])?, "entry updates of an average is not known"),
    ] {
        let error = average.load_state(&parameters, &state).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(bits(&average.state()?)?, bits(&good)?);
    }
    parameters.builder().get(1, "v")?;
    let error = average.update(&parameters).unwrap_err().to_string();
    assert_eq!(error, "averages differ: missing v");
    assert!(average.within(&parameters, || ()).is_err());
    Ok(())
}

#[test]
fn it_has_more_bits_than_parameters_of_half_the_size() -> anyhow::Result<()> {
    let parameters = single(DType::BF16)?;
    let mut average = plain(0.75);
    for value in [1.0, 1.007_812_5] {
        set(&parameters, value)?;
        average.update(&parameters)?;
    }
    let mean = &average.tensors()["w"];
    assert_eq!(mean.dtype(), DType::F32);
    assert_eq!(values(mean)?, [1.001_953_125]);
    let dtype = average.within(&parameters, || parameters.vars()[0].1.dtype())?;
    assert_eq!(dtype, DType::BF16);
    Ok(())
}

#[test]
fn frozen_parameters_keep_their_bits() -> anyhow::Result<()> {
    let parameters = Parameters::new(1, &device());
    parameters.freeze(|_| true)?;
    parameters.builder().get_with_hints(2, "w", Init::Const(-0.0))?;
    let mut average = plain(0.9);
    for _ in 0..3 {
        average.update(&parameters)?;
    }
    let values = average.tensors()["w"].to_device(&Device::Cpu)?.to_vec1::<f32>()?;
    assert!(values.into_iter().all(|value| value.to_bits() == (-0f32).to_bits()));
    Ok(())
}
