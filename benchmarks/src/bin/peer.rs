//! Our side of a comparison: runs what it is told on standard input, once, and says how long it
//! took. A script holds this process and the peer's open, and asks them in turn.

#![expect(clippy::print_stdout, reason = "standard output is how the script hears of it")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use candle::Device;
use sconce_benchmarks::{Subject, peak_memory};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
struct Request {
    /// `train` or `infer`.
    task: String,
    features: Vec<usize>,
    /// `(N, C_in, *S)`.
    shape: Vec<usize>,
    classes: usize,
}

#[derive(Serialize)]
struct Answer {
    seconds: f64,
    value: f64,
    peak_mib: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let request: Request = serde_json::from_str(&line)?;
        let key = format!("{:?} {:?} {}", request.features, request.shape, request.classes);
        if !subjects.contains_key(&key) {
            // One at a time: what an earlier case holds would count against this one's memory.
            subjects.clear();
            let subject =
                Subject::new(&request.features, &request.shape, request.classes, &Device::Cpu)?;
            subjects.insert(key.clone(), subject);
        }
        let Some(subject) = subjects.get_mut(&key) else { anyhow::bail!("no subject {key}") };
        let started = Instant::now();
        let value = match request.task.as_str() {
            "train" => subject.train_step()?,
            "infer" => subject.infer()?,
            other => anyhow::bail!("{other} is not a task"),
        };
        let seconds = started.elapsed().as_secs_f64();
        let answer = Answer { seconds, value, peak_mib: peak_memory() };
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
