//! Text encoders: as transformers computes them, as they ship, and as they are refused.

mod damage;
mod golden;
mod tiny;
