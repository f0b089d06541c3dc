//! What is made of weights is kept where that is asked for, and changes no result.

use anyhow::Result;
use candle::{DType, Device, Tensor, Var};
use sconce_nn::{
    ConvConfig, Isa, Method, Pending, PreparedWeights, conv_of, with_isa, with_method,
};

fn random(shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::randn(0f32, 1.0, shape, &Device::Cpu)?)
}

fn values(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1()?)
}

fn conv(x: &Tensor, weight: &Tensor) -> Result<Vec<f32>> {
    let config = ConvConfig::same(&weight.dims()[2..], &vec![1; weight.rank() - 2]);
    values(&conv_of(&[&Pending::from(x)], weight, None, &config)?.resolve()?)
}

#[test]
fn the_form_of_a_weight_is_made_once_and_gives_the_same_bits() -> Result<()> {
    let (x, y) = (random(&[1, 6, 7, 8, 16])?, random(&[1, 6, 7, 8, 16])?);
    let (weight, other) = (random(&[24, 16, 3, 3, 3])?, random(&[24, 16, 3, 3, 3])?);
    let prepared = PreparedWeights::default();

    let plain = (conv(&x, &weight)?, conv(&y, &weight)?, conv(&x, &other)?);
    let first = prepared.within(|| conv(&x, &weight))?;
    let kept = prepared.bytes();
    let second = prepared.within(|| conv(&y, &weight))?;

    assert!(kept > 4 * weight.elem_count());
    assert_eq!(prepared.bytes(), kept);
    let third = prepared.within(|| conv(&x, &other))?;
    assert_eq!(prepared.bytes(), 2 * kept);
    assert_eq!((first, second, third), plain);
    Ok(())
}

#[test]
fn each_method_and_each_set_of_instructions_has_its_own() -> Result<()> {
    let (x, weight) = (random(&[1, 12, 12, 16])?, random(&[16, 16, 3, 3])?);
    let prepared = PreparedWeights::default();

    for method in [Method::Auto, Method::Fast, Method::Direct] {
        for isa in [Isa::Portable, Isa::best()] {
            with_method(method, || {
                with_isa(isa, || {
                    let plain = conv(&x, &weight)?;
                    for _ in 0..2 {
                        assert_eq!(
                            prepared.within(|| conv(&x, &weight))?,
                            plain,
                            "{method:?} {isa}"
                        );
                    }
                    anyhow::Ok(())
                })
            })?;
        }
    }
    Ok(())
}

#[test]
fn variables_and_what_costs_little_are_not_kept() -> Result<()> {
    let prepared = PreparedWeights::default();
    let weight = random(&[16, 16, 3, 3])?;

    let variable = Var::from_tensor(&weight)?;
    prepared.within(|| conv(&random(&[1, 8, 8, 16])?, &variable))?;
    assert_eq!(prepared.bytes(), 0);
    // So many tiles that the weights do not matter.
    prepared
        .within(|| conv(&Tensor::zeros((1, 128, 128, 16), DType::F32, &Device::Cpu)?, &weight))?;
    assert_eq!(prepared.bytes(), 0);
    prepared.within(|| conv(&random(&[1, 8, 8, 16])?, &weight))?;
    assert!(prepared.bytes() > 0);
    // Outside, nothing is added.
    let kept = prepared.bytes();
    conv(&random(&[1, 8, 8, 16])?, &random(&[16, 16, 3, 3])?)?;
    assert_eq!(prepared.bytes(), kept);
    Ok(())
}
