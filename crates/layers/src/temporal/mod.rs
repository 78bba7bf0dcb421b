//! Modules over sequences.

mod tcn;

pub use tcn::{Tcn, TcnConfig, tcn_key_maps};
