use std::collections::BTreeSet;

/// Why a layer refused its arguments.
///
/// The functions of this crate return candle's error, as candle's traits ask; these situations
/// are its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is not `(N, *S, C)` with one to three spatial axes.
    #[error("{op} takes a tensor (N, *S, C) with 1 to 3 spatial axes, not one of shape {shape:?}")]
    Rank {
        /// The function.
        op: &'static str,
        /// The shape of the input.
        shape: Vec<usize>,
    },
    /// The input holds no value.
    #[error("{op} of an empty tensor, of shape {shape:?}")]
    Empty {
        /// The function.
        op: &'static str,
        /// The shape of the input.
        shape: Vec<usize>,
    },
    /// A setting does not have one entry for each spatial axis.
    #[error("{op}: {setting} has {actual} entries, but the input has {expected} spatial axes")]
    Axes {
        /// The function.
        op: &'static str,
        /// The setting.
        setting: &'static str,
        /// Its entries.
        actual: usize,
        /// The spatial axes of the input.
        expected: usize,
    },
    /// A setting has a value that makes no sense.
    #[error("{op}: {setting} is {value:?}; {rule}")]
    Setting {
        /// The function.
        op: &'static str,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: Vec<usize>,
        /// What it should be.
        rule: &'static str,
    },
    /// A parameter does not fit the input.
    #[error("{op}: {parameter} has shape {actual:?}, but {expected} is needed")]
    Parameter {
        /// The function.
        op: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its shape.
        actual: Vec<usize>,
        /// The shape that it should have.
        expected: String,
    },
    /// The window does not fit into the padded input.
    #[error("{op}: a window of {window:?} does not fit into {space:?} with padding {padding:?}")]
    Window {
        /// The function.
        op: &'static str,
        /// Extents of the window, dilation included.
        window: Vec<usize>,
        /// Spatial extents of the input.
        space: Vec<usize>,
        /// Padding on either side.
        padding: Vec<usize>,
    },
    /// The native path was demanded where there is none.
    #[error("{op} has no native kernel for {dtype:?} on {device}; use the reference backend")]
    NoNative {
        /// The function.
        op: &'static str,
        /// The element type.
        dtype: candle::DType,
        /// The device.
        device: String,
    },
    /// A parameter is asked for twice, with different shapes.
    #[error("parameter {name} has shape {actual:?}, but the network asks for {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape that it has.
        actual: Vec<usize>,
        /// The shape that is asked for.
        expected: Vec<usize>,
    },
    /// A parameter is asked for that does not exist.
    #[error("there is no parameter {name}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Two sets of names that should be equal are not.
    #[error("{what} differ: {}", difference(missing, surplus))]
    Names {
        /// Names of what.
        what: &'static str,
        /// Names that should be there and are not.
        missing: BTreeSet<String>,
        /// Names that are there and should not be.
        surplus: BTreeSet<String>,
    },
    /// A pattern of names makes no sense.
    #[error("{pattern:?} is no pattern of parameter names: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: &'static str,
    },
    /// A pattern matches no parameter.
    #[error("no parameter matches {pattern}; names begin with {}", few(names))]
    Unmatched {
        /// The pattern.
        pattern: String,
        /// The first parts of the names that there are.
        names: BTreeSet<String>,
    },
    /// What a pattern says holds for no parameter, as later patterns match the same ones.
    #[error(
        "every parameter that {pattern} matches is matched by a later pattern, which holds for it; \
         give {pattern} behind that"
    )]
    Overruled {
        /// The pattern.
        pattern: String,
    },
    /// A parameter should learn nothing, or should learn, but a network has it already.
    #[error("parameter {name} is in use already: say what is frozen before the network is built")]
    InUse {
        /// Its name.
        name: String,
    },
}

impl From<Error> for candle::Error {
    fn from(error: Error) -> Self {
        // Not `wrap`: that appends a backtrace to the message where backtraces are on.
        Self::Wrapped(Box::new(error))
    }
}

/// Says which names are missing and which are not known, a few of each.
fn difference(missing: &BTreeSet<String>, surplus: &BTreeSet<String>) -> String {
    let list = |verb: &str, names: &BTreeSet<String>| {
        (!names.is_empty()).then(|| format!("{verb} {}", few(names)))
    };
    let parts: Vec<String> =
        [list("missing", missing), list("not known", surplus)].into_iter().flatten().collect();
    parts.join("; ")
}

/// The first of these names, and how many more there are.
fn few(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_names_is_spelled_out_and_cut_short() {
        let missing = (0..7).map(|i| format!("a{i}")).collect();
        let surplus = BTreeSet::from(["b".to_owned()]);

        let error = Error::Names { what: "parameters", missing, surplus };

        assert_eq!(
            error.to_string(),
            "parameters differ: missing a0, a1, a2, a3, a4 and 2 more; not known b",
        );
    }
}
