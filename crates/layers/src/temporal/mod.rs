//! Modules over sequences.
