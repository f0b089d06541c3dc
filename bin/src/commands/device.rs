//! `sconce device`: what can compute here, and whether it computes right.

use std::fmt;

use anyhow::Context as _;
use sconce::engine::{DeviceChoice, Error, device};
use sconce::nn;
use serde::Serialize;

use crate::output::Output;

/// List the devices, and check that each computes what the reference computes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check this device alone: auto, cpu, cuda, cuda:N, metal
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    available: bool,
    /// Why it is not, or which quantity is furthest from the reference.
    detail: String,
    /// The largest difference from the reference, relative to the largest value.
    max_difference: Option<f64>,
    passed: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Report {
    threads: usize,
    /// What `SCONCE_BACKEND` chose.
    backend: String,
    /// The instructions that native kernels on the CPU are made of.
    instructions: String,
    /// How they multiply in convolutions.
    convolutions: String,
    devices: Vec<Row>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Output> {
    let choices = match args.device {
        Some(choice) => vec![choice],
        None => {
            [DeviceChoice::Cpu].into_iter().chain(gpus()).chain([DeviceChoice::Metal]).collect()
        }
    };
    let named = args.device.is_some();
    let devices =
        choices.into_iter().map(|choice| row(choice, named)).collect::<Result<Vec<_>, _>>()?;
    let failed = devices.iter().any(|row| row.passed == Some(false));
    let backend = format!("{:?}", nn::backend()).to_lowercase();
    let instructions = nn::isa().to_string();
    let threads = rayon::current_num_threads();
    let convolutions = format!("{:?}", nn::method()).to_lowercase();
    let report = Report { threads, backend, instructions, convolutions, devices };
    Ok(Output::of(&report).failing_if(failed))
}

/// All CUDA devices, and where there is none the first, so that its row says why.
fn gpus() -> Vec<DeviceChoice> {
    let there = (0..).map(DeviceChoice::Cuda).take_while(|choice| choice.open().is_ok());
    let found: Vec<_> = there.collect();
    if found.is_empty() { vec![DeviceChoice::Cuda(0)] } else { found }
}

fn row(choice: DeviceChoice, named: bool) -> anyhow::Result<Row> {
    let opened = match choice.open() {
        Ok(opened) => opened,
        // What was asked for by name must be there.
        Err(error) if named => return Err(error.into()),
        Err(error) => {
            return Ok(Row {
                name: choice.to_string(),
                available: false,
                detail: match error {
                    Error::Device { reason, .. } => reason,
                    other => other.to_string(),
                },
                max_difference: None,
                passed: None,
            });
        }
    };
    let test = nn::self_test(&opened.device).context("the self-test did not finish")?;
    let worst = test.differences.iter().max_by(|a, b| a.relative.total_cmp(&b.relative));
    Ok(Row {
        name: device::name(&opened.device),
        available: true,
        detail: worst.map_or_else(String::new, |difference| difference.quantity.clone()),
        max_difference: Some(test.worst()),
        passed: Some(test.is_sound()),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "threads       {}", self.threads)?;
        writeln!(f, "backend       {} (SCONCE_BACKEND=auto|reference|native)", self.backend)?;
        let instructions = "SCONCE_ISA=portable|avx2|avx512|amx|neon";
        writeln!(f, "instructions  {} ({instructions})", self.instructions)?;
        writeln!(f, "convolutions  {} (SCONCE_METHOD=auto|direct|fast)", self.convolutions)?;
        for row in &self.devices {
            match (row.passed, row.max_difference) {
                (Some(passed), Some(difference)) => {
                    let verdict = if passed { "self-test passed" } else { "SELF-TEST FAILED" };
                    write!(f, "{:<12}  {verdict} (largest difference {difference:.1e}", row.name)?;
                    let at = if row.detail.is_empty() { "" } else { ", in " };
                    writeln!(f, "{at}{})", row.detail)?;
                }
                _ => writeln!(f, "{:<12}  not available: {}", row.name, row.detail)?,
            }
        }
        Ok(())
    }
}
