//! Normalisations beyond batch norm.
