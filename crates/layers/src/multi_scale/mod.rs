//! Modules with several receptive fields.
