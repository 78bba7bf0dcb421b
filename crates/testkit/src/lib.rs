//! What checks a build against reference numbers.
//!
//! * [`case`] reads a case file: what to compute and what must come out (`golden/README.md`
//!   describes the format).
//! * [`tolerance`] decides whether a tensor equals its expectation.
//!
//! Nothing here knows a tensor type: a case is plain arrays, so that every crate can be tested
//! with it.
#![forbid(unsafe_code)]

pub mod case;
pub mod tolerance;

pub use case::{CaseError, CaseFile, CaseTensor, Data, Kind, Mode, find_cases};
pub use tolerance::{Comparison, compare};
