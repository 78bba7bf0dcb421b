//! Any pickle beside any storage is a state dict or a clear error, in both of PyTorch's formats.
#![no_main]

use libfuzzer_sys::fuzz_target;
use striate_fuzz::zip;
use striate_layers::weights;

/// The magic number, the version, and a dict that says that the machine was little-endian.
const BEFORE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";

fuzz_target!(|input: (&[u8], &[u8])| {
    let (pickle, storage) = input;
    // What tensors are made of, in a memo that the pickle can read from.
    let known = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\xf0ctorch\nFloatStorage\nq\xf1ccollections\nOrderedDict\nq\xf2X\x07\0\0\0storageq\xf3";
    let pickle = [known, pickle, b"."].concat();
    let archive = zip(&[("a/data.pkl", &pickle), ("a/data/0", storage)]);
    let _ = weights::from_bytes(&archive);
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    let len = (storage.len() as u64 / 4).to_le_bytes();
    let _ = weights::from_bytes(&[BEFORE, &pickle, keys, &len, storage].concat());
});
