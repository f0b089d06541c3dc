use std::process::Command;

use anyhow::{Context as _, ensure};
use candle::DType;
use sconce_nn::{
    Act, Conv, ConvConfig, ConvTranspose, ConvTransposeConfig, InstanceNorm, OptimizerConfig,
    Parameters, Pending, SgdConfig,
};

use crate::device::device;
use crate::random::noise;

/// Says that this process runs one test alone, so that what it holds is its own.
const ALONE: &str = "SCONCE_TEST_ALONE";

/// Memory that this process holds, bytes, where the system says so.
fn held() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: usize = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some(resident * 4096)
}

#[test]
fn a_thousand_steps_leave_nothing_behind() -> anyhow::Result<()> {
    if std::env::var_os(ALONE).is_some() {
        return steps();
    }
    let name = "leak::a_thousand_steps_leave_nothing_behind";
    let child = Command::new(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .output()?;
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    // A name that is not there runs nothing, and succeeds.
    ensure!(child.status.success() && text.contains("1 passed"), "{text}");
    Ok(())
}

/// Steps of a small network with a skip connection, whose tensors are large beside what may be left.
fn steps() -> anyhow::Result<()> {
    let device = device();
    let parameters = Parameters::new(1, &device);
    let vb = parameters.builder();
    let same = ConvConfig::same(&[3, 3, 3], &[1, 1, 1]);
    let down = ConvConfig::same(&[3, 3, 3], &[2, 2, 2]);
    let up = ConvTransposeConfig::upsample(&[2, 2, 2]);
    let stem = Conv::new(1, 8, &[3, 3, 3], same.clone(), true, vb.pp("stem"))?;
    let norm = InstanceNorm::new(8, 1e-5, true, vb.pp("norm"))?;
    let down = Conv::new(8, 16, &[3, 3, 3], down, true, vb.pp("down"))?;
    let deep = InstanceNorm::new(16, 1e-5, true, vb.pp("deep"))?;
    let up = ConvTranspose::new(16, 8, &[2, 2, 2], up, true, vb.pp("up"))?;
    let head = Conv::new(16, 2, &[3, 3, 3], same, true, vb.pp("head"))?;
    let settings = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
    let mut optimizer = OptimizerConfig::Sgd(settings).build();
    let x = noise(1, &[1, 8, 8, 8, 1], DType::F32, &device)?;

    let mut early = None;
    for step in 0..1100 {
        let act = Act::LeakyRelu(0.01);
        let fine = norm.defer(stem.forward_of(&[&Pending::from(&x)])?, act)?;
        let coarse = deep.defer(down.forward_of(&[&fine])?, act)?;
        let back = up.forward_of(&[&coarse])?;
        let loss = head.forward_of(&[&back, &fine])?.resolve()?.sqr()?.mean_all()?;
        let gradients = parameters.gradients(&loss)?;
        drop(loss);
        optimizer.step(&parameters, &gradients, &1e-3.into())?;
        if step == 100 {
            early = held();
        }
    }
    let Some(early) = early else { return Ok(()) };
    let late = held().context("memory is known at first and unknown later")?;
    // A step holds some 200 kB: a thousandth part of what it made would show.
    let grown = late.saturating_sub(early);
    ensure!(grown < 1 << 20, "{grown} bytes more after a thousand steps than after a hundred");
    Ok(())
}
