//! What is done to labels once networks have spoken.

mod rule;
mod search;

pub use self::rule::{Postprocess, PostprocessStep, Threshold};
pub use self::search::{PostprocessFound, PostprocessTrial, search_postprocess};
