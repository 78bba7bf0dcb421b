//! Blocks of well-known networks.
