//! `sconce dataset preview`: what a network is given to learn from, as a picture.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use sconce::data::Dataset;
use sconce::engine::{self, Preview, RunConfig};
use serde::Serialize;

use crate::output::Output;

#[derive(Debug, Serialize)]
struct Written {
    output: PathBuf,
    #[serde(flatten)]
    preview: Preview,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Preview { cases, columns, size: [width, height] } = &self.preview;
        writeln!(
            f,
            "wrote {} × {} patches ({width} × {height} pixels) to {}",
            cases.len(),
            columns,
            self.output.display()
        )?;
        write!(f, "from the top: {}", cases.join(", "))
    }
}

/// Shows some cases, evenly spread over the data set, each as it is and `variants` times varied.
pub(super) fn run(
    dataset: &dyn Dataset,
    config: &RunConfig,
    cases: usize,
    variants: usize,
    output: &Path,
) -> anyhow::Result<Output> {
    let png = output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if !png {
        bail!("{} does not end in .png; name it so", output.display());
    }
    let ids = dataset.ids();
    let count = cases.min(ids.len()).max(1);
    let chosen: Vec<String> = (0..count).map(|at| ids[at * ids.len() / count].clone()).collect();
    let preview = engine::preview(config, dataset, &chosen, variants, output)?;
    Ok(Output::of(&Written { output: output.to_owned(), preview }))
}
