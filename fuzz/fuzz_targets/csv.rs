//! Any text is a data set or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_train::data::csv;

fuzz_target!(|bytes: &[u8]| {
    let _ = csv::parse(bytes, [2, 2], 16);
});
