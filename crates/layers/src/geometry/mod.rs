//! Modules that know or move positions.
