//! A study in words.

use std::fmt;
use std::path::PathBuf;

use sconce::engine::evaluate::decimals;
use sconce::engine::study::StudyTable;
use serde::Serialize;

use super::PAGE;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) study: String,
    /// Runs of this process that are done, and all that the study has.
    pub(super) done: usize,
    pub(super) runs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<StudyTable>,
    pub(super) output: PathBuf,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(table) = &self.table else {
            return write!(
                f,
                "{} of {} runs are done; what is left is for other processes, and the last makes the table",
                self.done, self.runs
            );
        };
        let names: Vec<String> = table.cells.iter().map(|cell| cell.join(", ")).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
        write!(f, "{:width$}", "cell")?;
        for score in &table.scores {
            write!(f, "  {:>16}", score.score)?;
        }
        for (at, name) in names.iter().enumerate() {
            write!(f, "\n{name:width$}")?;
            for score in &table.scores {
                let cell = &score.cells[at];
                let spread = cell.over_seeds.map_or(String::new(), |sd| format!(" ± {sd:.4}"));
                let text = format!("{}{spread}", decimals(cell.summary.mean, 4));
                write!(f, "  {text:>16}")?;
            }
        }
        for score in &table.scores {
            for contrast in &score.contrasts {
                let [one, other] = contrast.cells.map(|cell| &names[cell]);
                let mean = decimals(contrast.difference.mean, 4);
                let p = decimals(contrast.p_corrected, 4);
                write!(f, "\n{}: {one} − {other}: {mean}, Holm p {p}", score.score)?;
            }
        }
        write!(f, "\npage  {}", self.output.join(PAGE).display())
    }
}
