//! Files that PyTorch and NumPy wrote (`golden/weights.py`), and damaged ones.

mod damage;
mod files;
mod hostile;
mod loading;

use std::fs;
use std::path::PathBuf;

use striate_tensor::{DType, Tensor};

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/weights")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).expect(name)
}

fn read(name: &str) -> Weights {
    load(folder().join(name)).expect(name)
}

/// The numbers that the files have.
fn counted(shape: &[usize], begin: usize) -> Vec<f64> {
    let numel: usize = shape.iter().product();
    let value = |i| (begin + i) as f64 / 8.0 - 2.0;
    (0..numel).map(value).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_dtype(DType::F64).expect("any type");
    wide.to_vec().expect("f64")
}

#[track_caller]
fn check(dict: &StateDict, name: &str, shape: &[usize], expected: &[f64]) {
    let tensor = dict.get(name).expect(name);
    assert_eq!(tensor.shape(), shape, "{name}");
    assert_eq!(values(tensor), expected, "{name}");
}

const NETWORK: [(&str, &[usize]); 6] = [
    ("conv.weight", &[3, 2, 3, 3]),
    ("conv.bias", &[3]),
    ("bn.weight", &[3]),
    ("bn.bias", &[3]),
    ("bn.running_mean", &[3]),
    ("bn.running_var", &[3]),
];

#[track_caller]
fn check_network(dict: &StateDict, with_buffers: bool) {
    let own = if with_buffers { 6 } else { 4 };
    for (begin, (name, shape)) in NETWORK[..own].iter().enumerate() {
        check(dict, name, shape, &counted(shape, begin));
        let dtype = dict.get(name).map(Tensor::dtype);
        assert_eq!(dtype, Some(DType::F32), "{name}");
    }
    if with_buffers {
        check(dict, "bn.num_batches_tracked", &[], &[7.0]);
    }
    assert_eq!(dict.len(), if with_buffers { 7 } else { 4 });
}

fn same(a: &StateDict, b: &StateDict) -> bool {
    let same = |((name_a, a), (name_b, b)): ((&str, &Tensor), (&str, &Tensor))| {
        name_a == name_b && a.shape() == b.shape() && values(a) == values(b)
    };
    a.len() == b.len() && a.iter().zip(b.iter()).all(same)
}

/// A zip archive of stored entries.
fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut data, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(contents);
        let len = (contents.len() as u32).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &crc.sum().to_le_bytes()[..],
            &len,
            &len,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((data.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        data.extend(b"PK\x03\x04");
        data.extend(&common);
        data.extend(name.as_bytes());
        data.extend(*contents);
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, len) = (data.len() as u32, directory.len() as u32);
    [
        data.as_slice(),
        &directory,
        b"PK\x05\x06\0\0\0\0",
        &count,
        &count,
        &len.to_le_bytes(),
        &start.to_le_bytes(),
        &[0, 0],
    ]
    .concat()
}

/// The pickle of a dict of tensors over storages, by offset, shape and strides.
fn described(tensors: &[(&str, usize, &[i64], &[i64])], numel: usize) -> Vec<u8> {
    let long = |n: i64| [&[0x8a, 8], &n.to_le_bytes()[..]].concat();
    let tuple = |sizes: &[i64]| {
        let sizes: Vec<u8> = sizes.iter().flat_map(|&n| long(n)).collect();
        [b"(", sizes.as_slice(), b"t"].concat()
    };
    let mut pickle = b"\x80\x02}(".to_vec();
    for (name, offset, shape, strides) in tensors {
        pickle.extend([b'U', name.len() as u8]);
        pickle.extend(name.as_bytes());
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu");
        pickle.extend(long(numel as i64));
        pickle.extend(b"tQ");
        pickle.extend(long(*offset as i64));
        pickle.extend(tuple(shape));
        pickle.extend(tuple(strides));
        pickle.extend(b"\x89}tR");
    }
    pickle.extend(b"u.");
    pickle
}
