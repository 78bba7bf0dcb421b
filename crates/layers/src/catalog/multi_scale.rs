//! Entries of modules with several receptive fields.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
