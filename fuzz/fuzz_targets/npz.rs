//! Any entry of an archive is an array or a clear error, stored or deflated; any damage to the archive is an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_fuzz::zip;
use striate_layers::weights;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input<'a> {
    header: &'a str,
    shape: [u8; 2],
    data: &'a [u8],
    /// Where the archive is changed, and into what.
    damage: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input<'_>| {
    let [h, w] = input.shape;
    let plain = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': ({h}, {w})}}");
    for header in [input.header, &plain] {
        let len = (header.len() as u16).to_le_bytes();
        let array = [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), input.data].concat();
        let mut archive = zip(&[("a.npy", &array), ("b.npy", input.data)]);
        let _ = weights::from_bytes(&archive);
        for &(at, byte) in &input.damage {
            let at = usize::from(at) % archive.len();
            archive[at] = byte;
        }
        let _ = weights::from_bytes(&archive);
    }
});
