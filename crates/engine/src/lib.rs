//! Train, predict, evaluate.
