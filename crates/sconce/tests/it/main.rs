//! The house itself, held against its plan.

mod datasets;
mod floor_plan;
mod scores;
mod tidy;
