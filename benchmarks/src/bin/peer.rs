//! Our side of a comparison: runs what it is told on standard input, once, and says how long it
//! took. A script holds this process and the peer's open, and asks them in turn.

#![expect(clippy::print_stdout, reason = "standard output is how the script hears of it")]

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use sconce_benchmarks::{
    EngineRequest, EngineWork, Layer, LayerRequest, LossRequest, Objective, PatchRequest,
    PatchWork, Place, ScoreRequest, ScoreWork, Subject, VolumeRequest, VolumeWork, Watermark,
    peak_memory,
};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A line of standard input.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Request {
    /// A training step (`train`) or a prediction (`infer`) of a U-Net.
    Network {
        task: String,
        features: Vec<usize>,
        /// `(N, C_in, *S)`.
        shape: Vec<usize>,
        classes: usize,
        /// Of the images, and so of all that is between layers: `f32` or `bf16`.
        #[serde(default = "single")]
        dtype: String,
        #[serde(default)]
        device: Place,
    },
    Layer(LayerRequest),
    Loss(LossRequest),
    Volume(VolumeRequest),
    Patches(PatchRequest),
    Score(ScoreRequest),
    Engine(EngineRequest),
}

fn single() -> String {
    "f32".to_owned()
}

impl Request {
    fn device(&self) -> Place {
        match self {
            Self::Network { device, .. } => *device,
            Self::Layer(request) => request.device,
            Self::Loss(_)
            | Self::Volume(_)
            | Self::Patches(_)
            | Self::Score(_)
            | Self::Engine(_) => Place::default(),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    seconds: f64,
    value: f64,
    /// `value`, and what else was measured at once.
    values: Vec<f64>,
    peak_mib: Option<f64>,
    /// Of the first run of a request, how much more it held than there was before.
    extra_mib: Option<f64>,
}

/// What a request is about, built before the clock starts.
enum Held {
    Network(Box<Subject>, String),
    Layer(Box<Layer>),
    Loss(Box<Objective>),
    Volume(Box<VolumeWork>),
    Patches(Box<PatchWork>),
    Score(Box<ScoreWork>),
    Engine(Box<EngineWork>, usize),
}

impl Held {
    fn new(request: Request) -> anyhow::Result<Self> {
        Ok(match request {
            Request::Network { task, features, shape, classes, dtype, device } => {
                let dtype = dtype.parse().map_err(|_| anyhow::anyhow!("no type {dtype}"))?;
                let device = device.open()?;
                let subject = Subject::new(&features, &shape, classes, dtype, &device)?;
                Self::Network(Box::new(subject), task)
            }
            Request::Layer(request) => Self::Layer(Box::new(Layer::new(request)?)),
            Request::Loss(request) => Self::Loss(Box::new(Objective::new(&request)?)),
            Request::Patches(request) => Self::Patches(Box::new(PatchWork::new(&request)?)),
            Request::Volume(request) => Self::Volume(Box::new(VolumeWork::new(&request))),
            Request::Engine(request) => {
                Self::Engine(Box::new(EngineWork::new(&request)?), request.steps)
            }
            Request::Score(request) => Self::Score(Box::new(ScoreWork::new(&request)?)),
        })
    }

    fn run(&mut self) -> anyhow::Result<Vec<f64>> {
        let value = match self {
            Self::Network(subject, task) => match task.as_str() {
                "train" => subject.train_step(),
                "infer" => subject.infer(),
                other => Err(anyhow::anyhow!("{other} is not a task")),
            },
            Self::Layer(layer) => layer.run().map(|()| 0.0),
            Self::Loss(loss) => loss.run(),
            Self::Volume(work) => work.run(),
            Self::Patches(work) => work.run(),
            Self::Score(work) => return work.run(),
            Self::Engine(work, steps) => return work.run(*steps),
        };
        Ok(vec![value?])
    }
}

fn main() -> anyhow::Result<()> {
    // How convolutions are computed, if the caller says so.
    if let Some(method) = std::env::args().nth(1) {
        sconce::nn::set_method(method.parse().map_err(anyhow::Error::msg)?);
    }
    // One at a time: what an earlier case holds would count against this one's memory.
    let mut held: Option<(Request, Held)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        if held.as_ref().is_none_or(|(of, _)| *of != request) {
            held = None;
        }
        let is_new = held.is_none();
        let (_, subject) = match &mut held {
            Some(held) => held,
            None => held.insert((request.clone(), Held::new(request.clone())?)),
        };
        let watermark = is_new.then(Watermark::set);
        if let Held::Layer(layer) = &subject {
            layer.warm_up()?;
        }
        let device = request.device().open()?;
        device.synchronize()?;
        let started = Instant::now();
        let values = subject.run()?;
        device.synchronize()?;
        let seconds = started.elapsed().as_secs_f64();
        let extra_mib = watermark.and_then(Watermark::above);
        let value = values.first().copied().unwrap_or_default();
        let answer = Answer { seconds, value, values, peak_mib: peak_memory(), extra_mib };
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
