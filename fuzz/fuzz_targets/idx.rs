//! Any bytes are a data set or a clear error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_train::data::idx;

fuzz_target!(|bytes: &[u8]| {
    let _ = idx::parse(bytes);
});
