//! Entries of modules that join maps of several sizes.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
