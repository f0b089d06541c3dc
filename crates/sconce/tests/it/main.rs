//! The house itself, held against its plan.

mod floor_plan;
mod tidy;
