//! Any file is weights or a clear error, whether it is noise or has a checkpoint's frame.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use striate_train::checkpoint::load_weights;

/// A safetensors frame around the parts that a fuzzer hardly ever gets to otherwise.
fn framed(text: &str, tensor: &str, data: &[u8]) -> Vec<u8> {
    let header = serde_json::json!({
        "__metadata__": { "striate.checkpoint": text },
        tensor: { "dtype": "U8", "shape": [data.len()], "data_offsets": [0, data.len()] },
    });
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fuzz_target!(|input: (&[u8], &str, bool)| {
    let (noise, text, model) = input;
    let folder = tempfile::tempdir_in(if cfg!(target_os = "linux") { "/dev/shm" } else { "." });
    let path = folder.as_ref().expect("a folder for the file").path().join("checkpoint.safetensors");
    let tensor = if model { "model.fc.weight" } else { "optimizer.fc.weight" };
    for bytes in [noise.to_vec(), framed(text, tensor, noise)] {
        fs::write(&path, bytes).expect("room for a small file");
        let _ = load_weights(&path);
    }
});
