//! Entries of the blocks of the residual attention network.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
