//! Any bytes are weights or a clear error, whatever kind of file they begin like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_layers::weights;

/// What the kinds of files begin with, which noise hardly ever does.
const STARTS: [&[u8]; 4] = [b"", b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", b"\x40\0\0\0\0\0\0\0{"];

fuzz_target!(|bytes: &[u8]| {
    for start in STARTS {
        let _ = weights::from_bytes(&[start, bytes].concat());
    }
});
