//! Down-sampling without aliases.
