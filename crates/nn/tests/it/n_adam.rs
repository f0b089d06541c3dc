//! Agreement with `torch.optim.NAdam` of PyTorch 2.15.0.
#![expect(clippy::unreadable_literal, reason = "as PyTorch prints them")]

use std::collections::BTreeMap;

use candle::{DType, Tensor};
use golden::{Tolerance, close};
use sconce_nn::{Gradients, NAdam, NAdamConfig, Optimizer, OptimizerConfig, Parameters, Rates};

use crate::device::{device, values};

const START: [f64; 3] = [0.5, -1.25, 2.0];
const GRADIENTS: [[f64; 3]; 5] =
    [[0.1, -0.2, 0.3], [-0.4, 0.5, 0.25], [0.0, 1.5, -0.75], [0.6, -0.1, 0.05], [1e-3, 2.0, -0.3]];

type Steps = [[f64; 3]; 5];

// torch.set_default_dtype(torch.float64)
// p = torch.nn.Parameter(torch.tensor(START))
// optimizer = torch.optim.NAdam([p], lr=0.1)
// for g in GRADIENTS: p.grad = torch.tensor(g); optimizer.step(); print(p.tolist())
const PLAIN: Steps = [
    [0.39435483272897787, -1.1443548274467197, 1.894354825685967],
    [0.4942068304334792, -1.2390441286259273, 1.8225928039186574],
    [0.4997106443753992, -1.346741381177635, 1.9182122510477302],
    [0.40086345630563713, -1.3482346811879606, 1.9136530338184488],
    [0.39629739792917207, -1.4593505000887095, 1.9609226538074613],
];

// optimizer = torch.optim.NAdam([p], lr=0.1, weight_decay=0.3)
const DECAYED: Steps = [
    [0.3943548263902681, -1.1443548240017687, 1.8943548233382965],
    [0.4683438067260685, -1.1657575471956367, 1.819371220697607],
    [0.429904493182702, -1.2639478976087457, 1.8284027387117125],
    [0.3206364166212916, -1.2259317481390337, 1.7667286325835687],
    [0.29611487884480514, -1.330341877116944, 1.732912548535015],
];

// optimizer = torch.optim.NAdam([p], lr=0.1, weight_decay=0.3, decoupled_weight_decay=True)
const DECOUPLED: Steps = [
    [0.37935483272897785, -1.1068548274467196, 1.834354825685967],
    [0.4678261854516098, -1.1683384838025255, 1.7075621591480783],
    [0.4592952138299815, -1.2409855818401574, 1.7519547415027086],
    [0.34666916934532, -1.2052493143952783, 1.694836882028346],
    [0.3317030358884953, -1.2802076538641687, 1.6912613955565081],
];

// optimizer = torch.optim.NAdam([p], lr=0.05, betas=(0.8, 0.95), eps=1e-3, momentum_decay=0.1)
const OTHER: Steps = [
    [0.4457308501414646, -1.1954608543710241, 1.9453702577836005],
    [0.49855887857817544, -1.2454858040361538, 1.9054997532651867],
    [0.5030396436926271, -1.3040754419607905, 1.956514664978667],
    [0.44960343455326174, -1.3070351079791025, 1.955225980648932],
    [0.44554785036374217, -1.368409936288841, 1.982573586619749],
];

/// The parameter after each step, the optimizer going on from its written state each time; and that state.
fn run(
    config: &NAdamConfig,
    rates: &Rates,
    dtype: DType,
) -> anyhow::Result<(Vec<f64>, BTreeMap<String, Tensor>)> {
    let tensor = |values: [f64; 3]| Tensor::new(&values, &candle::Device::Cpu)?.to_dtype(dtype);
    let parameters = Parameters::with_dtype(0, dtype, &device());
    parameters.builder().get(3, "p")?;
    parameters.load(&BTreeMap::from([("p".to_owned(), tensor(START)?)]))?;
    let mut optimizer: Box<dyn Optimizer> = Box::new(NAdam::new(config.clone()));
    let mut after = Vec::new();
    for gradient in GRADIENTS {
        let state = optimizer.state()?;
        optimizer = OptimizerConfig::NAdam(config.clone()).build();
        optimizer.load_state(&state)?;
        let gradient = tensor(gradient)?.to_device(&device())?;
        let gradients = Gradients::new(BTreeMap::from([("p".to_owned(), Some(gradient))]));
        optimizer.step(&parameters, &gradients, rates)?;
        after.extend(values(&parameters.tensors()?["p"])?);
    }
    Ok((after, optimizer.state()?))
}

#[test]
fn steps_are_those_of_pytorch() -> anyhow::Result<()> {
    let default = NAdamConfig::default();
    let other = NAdamConfig { betas: [0.8, 0.95], eps: 1e-3, momentum_decay: 0.1, ..default };
    let decayed = NAdamConfig { weight_decay: 0.3, ..NAdamConfig::default() };
    let decoupled = NAdamConfig { decoupled_weight_decay: true, ..decayed.clone() };
    let single = (DType::F32, Tolerance::new(2e-6, 2e-7));
    let double = (DType::F64, Tolerance::new(1e-13, 1e-14));
    for (config, rate, product, expected) in [
        (NAdamConfig::default(), 0.1, 0.018_498_037_624_013_104, PLAIN),
        (decayed, 0.1, 0.018_498_037_624_013_104, DECAYED),
        (decoupled, 0.1, 0.018_498_037_624_013_104, DECOUPLED),
        (other, 0.05, 0.010_876_810_977_096_002, OTHER),
    ] {
        // Metal has no double precision.
        for (dtype, tolerance) in
            [single, double].into_iter().take(2 - usize::from(device().is_metal()))
        {
            let (after, state) = run(&config, &rate.into(), dtype)?;

            close(&after, expected.as_flattened(), tolerance)?;
            assert_eq!(state["mu_product/p"].dtype(), DType::F64);
            close(&values(&state["mu_product/p"])?, &[product], Tolerance::new(1e-14, 0.0))?;
            assert_eq!(values(&state["step/p"])?, [5.0]);
        }
    }
    Ok(())
}

#[test]
fn a_number_of_the_state_that_is_none_is_refused() -> anyhow::Result<()> {
    let mut optimizer = OptimizerConfig::NAdam(NAdamConfig::default()).build();
    let single = Tensor::new(0.5f32, &candle::Device::Cpu)?;
    let state = BTreeMap::from([("mu_product/p".to_owned(), single)]);

    let error = optimizer.load_state(&state).unwrap_err().to_string();

    assert!(error.starts_with("optimizer state mu_product/p is no f64 scalar"), "{error}");
    Ok(())
}
