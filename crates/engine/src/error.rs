use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file of a run or model does not hold what it should.
    #[error("{} is not usable: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: String,
    },
    /// A run file is wrong.
    #[error("{} is not a run file: {}", path.display(), located(source))]
    Config {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        source: Box<toml::de::Error>,
    },
    /// Settings, each fine by itself, that contradict each other or the data.
    #[error("{0}")]
    Settings(String),
    /// The settings of a run make no sense, contradict each other, do not suit the data, or ask for
    /// more than can be had: its run file is to be changed.
    #[error(transparent)]
    Unsuitable(Box<Error>),
    /// The device that was asked for cannot be used.
    #[error("device {name} cannot be used: {reason}")]
    Device {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The loss is no longer a number; the parameters are those before this step.
    #[error(
        "the loss is {loss} in step {step} (cases {}); the norm of all gradients before clipping \
         was {gradient_norm}; lower the learning rate or look at these cases",
        cases.join(", ")
    )]
    NotFinite {
        /// The step, from 0.
        step: usize,
        /// The loss.
        loss: f64,
        /// The norm of all gradients.
        gradient_norm: f64,
        /// The cases of the batch.
        cases: Vec<String>,
    },
    /// After an epoch, held-out patches show that training has diverged.
    #[error(
        "after epoch {epoch}, {what} is not finite for held-out patches of {}: training has \
         diverged; lower train.learning_rate and begin again",
        cases.join(", ")
    )]
    Diverged {
        /// The epoch, from 0.
        epoch: usize,
        /// What is not finite: the network's output, or the loss of it.
        what: &'static str,
        /// The cases of the patches, sorted.
        cases: Vec<String>,
    },
    /// Somebody asked for an end while nothing was trained.
    #[error("it was asked to stop; the same command with --resume goes on")]
    Interrupted,
    /// A trained network's output is not finite.
    #[error(
        "the network's output is not finite, so that its weights are of no use; train it again with \
         a lower train.learning_rate"
    )]
    OutputNotFinite,
    /// A case cannot be used.
    #[error("case {id}: {source}")]
    Case {
        /// The case.
        id: String,
        /// Why.
        source: Box<Error>,
    },
    /// Something panicked that should not.
    #[error("this program has a defect ({reason}); report it, and leave the case out for now")]
    Panicked {
        /// What it said.
        reason: String,
    },
    /// Reading data failed.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// Preprocessing failed.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
    /// A prepared case could not be kept, or not be read again.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A grid or label map is wrong.
    #[error(transparent)]
    Volume(#[from] volume::Error),
    /// A network could not be fitted to a plan.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// A loss could not be computed.
    #[error(transparent)]
    Loss(#[from] losses::Error),
    /// A score could not be computed.
    #[error(transparent)]
    Metric(#[from] metrics::Error),
    /// The processes of a job could not work together.
    #[error(transparent)]
    Ranks(#[from] ranks::Error),
    /// Words could not be embedded, or stand for nothing that is known.
    #[error(transparent)]
    Text(#[from] text::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle::Error),
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Error {
    /// Says which file an [`io::Error`] speaks of.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    /// Says that an error is the run file's.
    pub(crate) fn unsuitable(error: impl Into<Self>) -> Self {
        Self::Unsuitable(Box::new(error.into()))
    }

    /// Says which case an error speaks of.
    pub(crate) fn in_case(self, id: &str) -> Self {
        Self::Case { id: id.to_owned(), source: Box::new(self) }
    }
}

/// Where in a TOML file what is wrong, on one line: what the line itself says can be read there.
fn located(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let place = text.lines().next().and_then(|line| line.split_once(" at "));
    match place {
        Some((_, place)) => format!("{place}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

/// The result of running something.
pub type Result<T, E = Error> = std::result::Result<T, E>;
