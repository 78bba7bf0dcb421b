//! Modules in which every place sees every other.
