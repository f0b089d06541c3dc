/// Why a graph cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of ONNX has at most 2 GB.
    #[error(
        "its weights take {} MB, and a file of ONNX holds at most {} MB",
        bytes.div_ceil(1 << 20),
        most >> 20
    )]
    TooLarge {
        /// What the file would have, at least.
        bytes: usize,
        /// What a file may have.
        most: usize,
    },
    /// A parameter does not have as many values as its shape asks for.
    #[error("{name} has {values} values, but shape {dims:?}")]
    Shape {
        /// The parameter.
        name: String,
        /// How many values it has.
        values: usize,
        /// Its shape.
        dims: Vec<usize>,
    },
    /// A name that something else has.
    #[error("there are two values called {name}")]
    Name {
        /// The name.
        name: String,
    },
}

/// The result of building a graph.
pub type Result<T, E = Error> = std::result::Result<T, E>;
