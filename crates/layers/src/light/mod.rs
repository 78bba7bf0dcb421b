//! Convolutions with less arithmetic.
