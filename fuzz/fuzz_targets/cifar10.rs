//! Any bytes are a data set or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_train::data::cifar10;

/// A label and three planes of 32 x 32.
const RECORD: usize = 1 + 3 * 32 * 32;

fuzz_target!(|bytes: &[u8]| {
    let _ = cifar10::parse(bytes);
    // Whole records too, which random lengths hardly ever give.
    let mut records = bytes.to_vec();
    records.resize(bytes.len().next_multiple_of(RECORD), 0);
    let _ = cifar10::parse(&records);
});
