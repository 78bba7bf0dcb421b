//! Convolutions whose weights depend on the input.
