use std::panic::{AssertUnwindSafe, catch_unwind};

use candle::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::binary_cross_entropy_with_logit;
use candle_nn::ops::softmax_last_dim;
use candle_nn::{LayerNorm, Module};

const CPU: &Device = &Device::Cpu;

/// The gradient of `of`, or what went wrong on the way.
fn gradient(loss: &Tensor, of: &Var) -> Result<Option<Vec<f32>>> {
    let gradients = loss.backward()?;
    gradients.get(of).map(|gradient| gradient.flatten_all()?.to_vec1()).transpose()
}

#[test]
fn max_pool_gives_a_lone_maximum_a_quarter_of_its_gradient() -> Result<()> {
    let x = Var::from_tensor(&Tensor::new(&[[[[1f32, 2.0], [3.0, 4.0]]]], CPU)?)?;

    let gradient = gradient(&x.max_pool2d(2)?.sum_all()?, &x)?;

    assert_eq!(gradient, Some(vec![0.0, 0.0, 0.0, 0.25])); // should be 1
    Ok(())
}

#[test]
fn nearest_upsampling_overwrites_the_gradient_that_came_before() -> Result<()> {
    let x = Var::from_tensor(&Tensor::new(&[[[[1f32]]]], CPU)?)?;
    let up = |x: &Var| x.upsample_nearest2d(2, 2)?.sum_all();
    let three = |x: &Var| (x.as_tensor() * 3.0)?.sum_all();

    // The same sum, its terms exchanged.
    assert_eq!(gradient(&(up(&x)? + three(&x)?)?, &x)?, Some(vec![4.0])); // should be 7
    assert_eq!(gradient(&(three(&x)? + up(&x)?)?, &x)?, Some(vec![7.0]));
    Ok(())
}

#[test]
fn strided_convolution_of_mixed_parity_has_no_gradient() -> Result<()> {
    let x = Var::ones((1, 1, 8, 9), DType::F32, CPU)?;
    let weight = Tensor::ones((1, 1, 3, 3), DType::F32, CPU)?;

    let loss = x.conv2d(&weight, 1, 2, 1, 1)?.sum_all()?;

    assert!(loss.backward().is_err());
    Ok(())
}

#[test]
fn layer_norm_and_the_fast_softmax_cut_the_graph() -> Result<()> {
    let x = Var::new(&[[1f32, 2.0, 4.0]], CPU)?;
    let ones = Tensor::ones(3, DType::F32, CPU)?;
    let norm = LayerNorm::new(ones.clone(), ones.zeros_like()?, 1e-5);

    assert_eq!(gradient(&norm.forward(&x)?.sqr()?.sum_all()?, &x)?, None);
    assert_eq!(gradient(&softmax_last_dim(&x)?.sqr()?.sum_all()?, &x)?, None);
    Ok(())
}

#[test]
fn the_cpu_cannot_be_seeded() {
    assert!(CPU.set_seed(1).is_err());
}

#[test]
fn bilinear_upsampling_has_no_gradient() -> Result<()> {
    let x = Var::ones((1, 1, 2, 2), DType::F32, CPU)?;

    let loss = x.upsample_bilinear2d(4, 4, false)?.sum_all()?;

    // Today candle panics or returns an error; both will do.
    let outcome = catch_unwind(AssertUnwindSafe(|| gradient(&loss, &x)));
    assert!(!matches!(outcome, Ok(Ok(Some(_)))), "{outcome:?}");
    Ok(())
}

#[test]
fn half_precision_convolution_and_products_of_rank_five_are_errors() -> Result<()> {
    let x = Tensor::ones((1, 1, 4, 4), DType::BF16, CPU)?;
    let weight = Tensor::ones((1, 1, 3, 3), DType::BF16, CPU)?;
    assert!(x.conv2d(&weight, 1, 1, 1, 1).is_err());

    let batches = Tensor::ones((2, 2, 2, 3, 3), DType::F32, CPU)?.transpose(0, 1)?;
    assert!(batches.matmul(&batches).is_err());
    Ok(())
}

#[test]
fn binary_cross_entropy_of_certain_logits_is_nan() -> Result<()> {
    let logits = Tensor::new(&[200f32, -200.0], CPU)?;
    let targets = Tensor::new(&[1f32, 0.0], CPU)?;

    let loss = binary_cross_entropy_with_logit(&logits, &targets)?.to_scalar::<f32>()?;

    assert!(loss.is_nan()); // should be 0
    Ok(())
}

#[test]
fn gradients_of_variables_hold_on_to_a_graph() -> Result<()> {
    let x = Var::new(&[1f32, 2.0], CPU)?;

    let gradients = (x.sqr()? * x.as_tensor())?.sum_all()?.backward()?;

    assert!(gradients.get(&x).is_some_and(Tensor::track_op)); // should be detached
    Ok(())
}

#[test]
fn the_slope_of_relu_at_zero_is_one_and_gelu_knows_six_digits() -> Result<()> {
    let zero = Var::new(&[0f32], CPU)?;
    assert_eq!(gradient(&zero.relu()?.sum_all()?, &zero)?, Some(vec![1.0])); // PyTorch: 0

    let x = Var::new(&[1f64], CPU)?;
    let gradients = x.gelu_erf()?.sum_all()?.backward()?;
    let slope = gradients.get(&x).expect("a gradient").to_vec1::<f64>()?[0];
    // Φ(1) + φ(1)
    let error = (slope - 1.083_315_470_587_686_3).abs();
    assert!(error > 1e-8 && error < 1e-5, "{error}"); // should be below 1e-15
    Ok(())
}

#[test]
fn a_sum_of_many_values_on_the_cpu_keeps_no_more_than_single_precision() -> Result<()> {
    // Over any but the last axes, values are added one by one: a small one is lost on a large sum.
    let mut values = vec![1f32; 2002];
    values[..2].fill(16_777_216.0);

    let sum = Tensor::from_vec(values, (1001, 2), CPU)?.sum(0)?;

    assert_eq!(sum.to_vec1::<f32>()?, [16_777_216.0; 2]); // should be 1,000 more
    Ok(())
}
