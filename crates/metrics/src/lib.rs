//! Scores of masks and probabilities, in physical units.
