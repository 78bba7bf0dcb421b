//! Entries of convolutions and poolings with learned offsets.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[];
