//! What drops parts of a map in training.
