//! Studies: many runs that differ in what is under test alone, and one table of what became of it.
//!
//! A [`Study`] is a file. It names a run file, factors with their levels, and seeds: each choice of one level of every factor is a
//! *cell*, and each cell is trained once for each seed and fold. What its runs score case by case are [`CellScores`], which are
//! stored; a [`StudyTable`] is made of these and of nothing else, so that anyone can make it again.

mod config;
mod scores;
mod table;

pub use self::config::{Cell, Contrast, Factor, Level, Study, StudyRun};
pub use self::scores::{CellScores, Row as StudyRow};
pub use self::table::{CellScore, ContrastScore, ScoreTable, StudyTable};
