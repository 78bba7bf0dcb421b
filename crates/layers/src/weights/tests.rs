//! Files that PyTorch and NumPy wrote (`golden/weights.py`), and damaged ones.

use std::path::PathBuf;

use striate_tensor::{DType, Philox, Tensor};

use super::*;
use crate::{BatchNormConfig, Conv2dConfig, Layer, Loading, VarBuilder, Visitor, load_state_dict};

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

#[test]
fn networks_are_read_from_every_format() {
    for (name, format, buffers, text) in [
        ("network.pt", Format::Torch, true, "PyTorch, 7 tensors"),
        (
            "network-legacy.pt",
            Format::TorchLegacy,
            true,
            "PyTorch before 1.6, 7 tensors",
        ),
        ("parameters.pt", Format::Torch, false, "PyTorch, 4 tensors"),
        ("protocol4.pt", Format::Torch, true, "PyTorch, 7 tensors"),
        (
            "unchecked.pt",
            Format::Torch,
            true,
            "PyTorch, 7 tensors, found under model",
        ),
    ] {
        let weights = read(name);
        assert_eq!(weights.format, format, "{name}");
        assert_eq!(weights.to_string(), text, "{name}");
        check_network(&weights.state_dict, buffers);
    }
    let dict = StateDict::load(folder().join("network.pt")).expect("as above");
    let saved = safetensors::to_bytes(&dict, &Metadata::new()).expect("a small file");
    let weights = from_bytes(&saved).expect("just written");
    assert_eq!(weights.format, Format::Safetensors);
    check_network(&weights.state_dict, true);
}

#[test]
fn checkpoints_are_unwrapped_and_say_so() {
    for name in ["checkpoint.pt", "checkpoint-legacy.pt"] {
        let weights = read(name);
        check_network(&weights.state_dict, true);
        assert_eq!(weights.unwrapped, ["state_dict"]);
        assert_eq!(weights.stripped, ["module."]);
        assert_eq!(
            weights.ignored,
            ["epoch", "best", "mean", "optimizer", "schedule"]
        );
        assert!(
            weights.to_string().ends_with(
                "7 tensors, found under state_dict, names without module., \
                 ignored: epoch, best, mean, optimizer, schedule"
            ),
            "{weights}"
        );
    }
}

#[test]
fn every_type_is_read_exactly() {
    for name in ["types.pt", "types-legacy.pt"] {
        let dict = read(name).state_dict;
        for (kind, dtype) in [
            ("float64", DType::F64),
            ("float32", DType::F32),
            ("float16", DType::F32),
            ("bfloat16", DType::F32),
        ] {
            check(&dict, kind, &[3, 5], &counted(&[3, 5], 0));
            assert_eq!(dict.get(kind).map(Tensor::dtype), Some(dtype));
        }
        let integers: Vec<f64> = (0..15).map(|i| f64::from(i) - 16.0).collect();
        for kind in ["int64", "int32", "int16", "int8"] {
            check(&dict, kind, &[3, 5], &integers);
            assert_eq!(dict.get(kind).map(Tensor::dtype), Some(DType::I64));
        }
        let bytes: Vec<f64> = (0..15).map(f64::from).collect();
        check(&dict, "uint8", &[3, 5], &bytes);
        let bools: Vec<f64> = (0..15).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        check(&dict, "bool", &[3, 5], &bools);
        assert_eq!(dict.get("bool").map(Tensor::dtype), Some(DType::U8));
    }
}

#[test]
fn views_of_a_storage_have_their_own_elements() {
    for name in ["views.pt", "views-legacy.pt"] {
        let dict = read(name).state_dict;
        let base = counted(&[4, 6], 0);
        let at = |places: &[usize]| places.iter().map(|&i| base[i]).collect::<Vec<_>>();
        check(&dict, "base", &[4, 6], &base);
        let transposed: Vec<f64> = (0..24).map(|i| base[i % 4 * 6 + i / 4]).collect();
        check(&dict, "transposed", &[6, 4], &transposed);
        check(&dict, "rows", &[2, 6], &base[6..18]);
        check(
            &dict,
            "columns",
            &[4, 3],
            &at(&[1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]),
        );
        check(&dict, "corner", &[2, 2], &at(&[16, 22, 17, 23]));
        check(&dict, "channels_last", &[2, 3, 2, 2], &base);
        let repeated: Vec<f64> = (0..12).map(|i| base[i / 4]).collect();
        check(&dict, "repeated", &[3, 4], &repeated);
        check(&dict, "scalar", &[], &base[23..]);
        check(&dict, "empty", &[0, 6], &[]);
        let [base, again] = ["base", "again"].map(|name| dict.get(name).expect(name));
        assert!(base.shares_memory_with(again), "one tensor, two names");
    }
}

#[test]
fn arrays_are_read() {
    for name in ["stored.npz", "deflated.npz"] {
        let weights = read(name);
        assert_eq!(weights.to_string(), "npz, 13 tensors");
        let dict = weights.state_dict;
        for name in ["weight", "block.fortran", "big", "half", "double"] {
            check(&dict, name, &[2, 3, 2], &counted(&[2, 3, 2], 0));
        }
        assert_eq!(dict.get("double").map(Tensor::dtype), Some(DType::F64));
        check(&dict, "big_integers", &[4], &[-16.0, -15.0, -14.0, -13.0]);
        check(&dict, "long", &[3], &[-16.0, -15.0, -14.0]);
        check(&dict, "unsigned", &[2], &[0.0, 4_294_967_295.0]);
        check(&dict, "bytes", &[2], &[0.0, 255.0]);
        check(&dict, "mask", &[1, 2], &[1.0, 0.0]);
        check(&dict, "scalar", &[], &[1.5]);
        check(&dict, "empty", &[0, 3], &[]);
        check(&dict, "zeros", &[40, 40], &[0.0; 1600]);
    }
}

#[test]
fn what_is_no_state_dict_is_refused_by_name() {
    for (name, what) in [
        ("refused-system.pt", "system is not part of a state dict"),
        (
            "refused-system-legacy.pt",
            "system is not part of a state dict",
        ),
        ("refused-module.pt", "torch.nn.modules.conv.Conv2d"),
        ("refused-sparse.pt", "torch._utils._rebuild_sparse_tensor"),
        ("refused-complex.pt", "torch.ComplexFloatStorage"),
        ("refused-negative.pt", "conjugate or negative"),
        ("refused-list.pt", "got a list"),
        ("refused-nothing.pt", "epoch, loss"),
        ("refused-objects.npz", "weight: an array of objects"),
        ("refused-script.pt", "TorchScript"),
    ] {
        let error = load(folder().join(name)).expect_err(name).to_string();
        assert!(error.contains(what) && error.contains(name), "{error}");
    }
}

#[test]
fn the_content_tells_the_format() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, what) in [
        (b"".as_slice(), "empty"),
        (b"\x93NUMPY\x01\x00", "numpy.savez"),
        (b"\x80\x04N.", "a pickle"),
        (b"\x1f\x8b\x08", "gzip"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"hello", "neither safetensors"),
        (&tar, "0.1.10"),
        (b"PK\x03\x04", "zip archive"),
    ] {
        let error = from_bytes(bytes).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
    let error = load("/nonexistent/w.pt").expect_err("no such file");
    assert!(error.to_string().contains("/nonexistent/w.pt"), "{error}");
}

fn below(random: &mut Philox, n: usize) -> usize {
    random.below(n as u64) as usize
}

/// Every file that can be read.
fn good_files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder()).expect("golden/weights");
    let names = entries.map(|e| e.expect("readable").file_name());
    let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names.retain(|name| !name.starts_with("refused"));
    let dict = read("types.pt").state_dict;
    let metadata = Metadata::from([("format".into(), "pt".into())]);
    let saved = safetensors::to_bytes(&dict, &metadata).expect("a small file");
    let read = names.into_iter().map(|name| (name.clone(), file(&name)));
    read.chain([("types.safetensors".to_owned(), saved)])
        .collect()
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    for (name, bytes) in good_files() {
        for len in 0..bytes.len() {
            assert!(from_bytes(&bytes[..len]).is_err(), "{name}: {len} bytes");
        }
    }
}

fn same(a: &StateDict, b: &StateDict) -> bool {
    let same = |((name_a, a), (name_b, b)): ((&str, &Tensor), (&str, &Tensor))| {
        name_a == name_b && a.shape() == b.shape() && values(a) == values(b)
    };
    a.len() == b.len() && a.iter().zip(b.iter()).all(same)
}

#[test]
fn a_damaged_byte_is_an_error_or_changes_nothing_where_there_are_checksums() {
    let mut random = Philox::new(1);
    for (name, bytes) in good_files() {
        let whole = from_bytes(&bytes).expect(&name).state_dict;
        let elements: usize = whole.iter().map(|(_, t)| t.numel()).sum();
        for at in 0..bytes.len() {
            let flip = 1 << random.below(8);
            for new in [bytes[at] ^ flip, random.next_u32() as u8, 0, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = new;
                let Ok(read) = from_bytes(&damaged) else {
                    continue;
                };
                let checked = name.ends_with(".npz")
                    || (name.ends_with(".pt")
                        && !name.contains("legacy")
                        && name != "unchecked.pt");
                assert!(
                    !checked || same(&read.state_dict, &whole),
                    "{name}: byte {at} made {new}"
                );
                let held: usize = read.state_dict.iter().map(|(_, t)| t.numel()).sum();
                assert!(
                    held <= elements + 8 * bytes.len(),
                    "{name}: byte {at} made {new}"
                );
            }
        }
    }
}

#[test]
fn damage_in_several_places_is_no_panic() {
    let mut random = Philox::new(2);
    for (_, bytes) in good_files() {
        for _ in 0..2000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.below(8) {
                let at = below(&mut random, damaged.len());
                damaged[at] = random.next_u32() as u8;
            }
            // A run of bytes elsewhere, or gone.
            let [from, to] = [0; 2].map(|_| below(&mut random, damaged.len()));
            let len = below(&mut random, 64).min(damaged.len() - from.max(to));
            damaged.copy_within(from..from + len, to);
            if random.below(4) == 0 {
                damaged.drain(from..from + len);
            }
            let _ = from_bytes(&damaged);
        }
    }
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

fn hostile(tensors: &[(&str, usize, &[i64], &[i64])], numel: usize) -> Result<Weights> {
    let pickle = described(tensors, numel);
    from_bytes(&zip_of(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 40])]))
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    hostile(&[("w", 4, &[2, 3], &[3, 1])], 10).expect("it fits");
    let huge = i64::MAX;
    for (offset, shape, strides, numel) in [
        (5, [2, 3], [3, 1], 10),
        (0, [2, 3], [5, 3], 10),
        (0, [2, 3], [3, 1], 11),
        (usize::MAX >> 1, [2, 3], [3, 1], 10),
        (0, [huge, huge], [3, 1], 10),
        (0, [2, 3], [huge, huge], 10),
        (0, [2, 3], [3, 1], usize::MAX >> 1),
        (0, [0, huge], [1, huge], 1 << 62),
    ] {
        let read = hostile(&[("w", offset, &shape, &strides)], numel);
        assert!(read.is_err(), "{offset} {shape:?} {strides:?} {numel}");
    }
    let ranks = hostile(&[("w", 0, &[1; 9], &[1; 9])], 10);
    assert!(ranks.is_err(), "more dimensions than tensors have");
    let ranks = hostile(&[("w", 0, &[1; 99], &[1; 99])], 10);
    assert!(ranks.is_err(), "more dimensions than PyTorch has");
}

#[test]
fn repeated_elements_take_no_memory_and_overlapping_ones_are_bounded() {
    let trillion = 1 << 40;
    let read = hostile(&[("w", 0, &[trillion, 10], &[0, 1])], 10).expect("a view");
    let shape = read.state_dict.get("w").map(Tensor::shape);
    assert_eq!(shape, Some([1 << 40, 10].as_slice()));
    hostile(&[("w", 0, &[5, 6], &[1, 1])], 10).expect("three times the storage");
    let error = hostile(&[("w", 0, &[2, 5, 6], &[1, 1, 1])], 10).expect_err("six times");
    assert!(error.to_string().contains("overlap"), "{error}");
    let names: Vec<String> = (0..100).map(|i| format!("w{i}")).collect();
    let same: Vec<(&str, usize, &[i64], &[i64])> = names
        .iter()
        .map(|name| (name.as_str(), 0, [10].as_slice(), [1].as_slice()))
        .collect();
    hostile(&same, 10).expect("all are one");
}

/// An array's file with this header.
fn npy(literal: &str, data: &[u8]) -> Vec<u8> {
    let len = (literal.len() as u16).to_le_bytes();
    [
        b"\x93NUMPY\x01\x00",
        len.as_slice(),
        literal.as_bytes(),
        data,
    ]
    .concat()
}

#[test]
fn arrays_that_are_not_as_long_as_they_say_are_refused() {
    let read = |shape: &str, len: usize| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape})}}");
        from_bytes(&zip_of(&[("w.npy", &npy(&header, &vec![0; len]))]))
    };
    read("2, 3", 24).expect("as long as it says");
    for (shape, len) in [
        ("2, 3", 23),
        ("2, 3", 25),
        ("1000000000000,", 24),
        ("4611686018427387904, 4", 0),
        ("99999999999999999999,", 24),
        ("1,1,1,1,1,1,1,1,1", 4),
    ] {
        assert!(read(shape, len).is_err(), "{shape}, {len} bytes");
    }
    let unsigned = npy(
        "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}",
        &[255; 8],
    );
    let error = from_bytes(&zip_of(&[("w.npy", &unsigned)])).expect_err("beyond i64");
    assert!(error.to_string().contains("exceeds"), "{error}");
    let ignored = from_bytes(&zip_of(&[("w.npy", &npy("", &[])), ("notes.txt", b"x")]));
    assert!(ignored.is_err(), "an empty header");
}

#[test]
fn archives_that_lie_are_refused() {
    let entries: [(&str, &[u8]); 2] = [("a.txt", b"first"), ("b.npy", b"second")];
    let good = zip_of(&entries);
    let refused = |change: &dyn Fn(&mut Vec<u8>), what: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let error = from_bytes(&bytes).expect_err(what).to_string();
        assert!(error.contains(what), "{error} lacks {what}");
    };
    let end = good.len() - 22;
    let central = good.len() - 22 - 2 * (46 + 5);
    let set = |at: usize, value: &'static [u8]| {
        move |bytes: &mut Vec<u8>| bytes[at..at + value.len()].copy_from_slice(value)
    };
    refused(&|_| {}, "no .npy file");
    refused(&set(end + 8, &[255; 4]), "fewer entries");
    refused(&set(end + 8, &[3, 0, 2, 0]), "several parts");
    refused(&set(end + 12, &[255; 4]), "outside the file");
    refused(&set(end + 16, &[255; 4]), "outside the file");
    refused(&set(end + 20, &[1]), "directory is missing");
    refused(&set(central, b"x"), "unknown record");
    refused(&set(central + 8, &[1]), "encrypted");
    refused(&set(central + 10, &[12]), "method 12");
    refused(&set(central + 20, &[6]), "cannot be 5 bytes");
    refused(&set(central + 24, &[255; 4]), "cannot be");
    refused(&set(central + 42, &[1]), "not where the directory says");
    refused(&set(central + 42, &[255; 4]), "outside the file");
    refused(&set(central + 46, b"z"), "another name");
    let second = central + 46 + 5;
    refused(&set(second + 10, &[8]), "\"b.npy\" ");
    refused(&set(second + 16, &[1]), "checksum");
    let twice = zip_of(&[("a.npy", b"x"), ("a.npy", b"y")]);
    let error = from_bytes(&twice).expect_err("the same name twice");
    assert!(error.to_string().contains("twice"), "{error}");
    let neither = from_bytes(&zip_of(&[("a.txt", b"x")])).expect_err("no weights");
    assert!(
        neither.to_string().contains("without data.pkl"),
        "{neither}"
    );
}

#[test]
fn names_lose_only_what_all_of_them_have() {
    let weights = |names: &[&str]| {
        let entry = |name: &&str| ((*name).to_owned(), Tensor::scalar(1f32).expect("one"));
        let dict = names.iter().map(entry).collect();
        let bytes = safetensors::to_bytes(&dict, &Metadata::new()).expect("a small file");
        let weights = from_bytes(&bytes).expect("just written");
        let mut names: Vec<String> = weights.state_dict.names().map(str::to_owned).collect();
        names.sort();
        (names, weights.stripped)
    };
    let (names, stripped) = weights(&["module._orig_mod.a", "module._orig_mod.b"]);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(stripped, ["module.", "_orig_mod."]);
    let (names, stripped) = weights(&["module.a", "b"]);
    assert_eq!(names, ["b", "module.a"]);
    assert_eq!(stripped, [""; 0]);
}

#[derive(Debug)]
struct Network {
    conv: crate::Conv2d,
    bn: crate::BatchNorm2d,
}

impl Network {
    fn new() -> Self {
        let vb = VarBuilder::seeded(0);
        let conv = Conv2dConfig::new(2, 3, 3).build(&(&vb / "conv"));
        let bn = BatchNormConfig::new(3).build_2d(&(&vb / "bn"));
        Self {
            conv: conv.expect("valid"),
            bn: bn.expect("valid"),
        }
    }
}

impl Layer for Network {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("conv", &self.conv);
        v.child("bn", &self.bn);
    }
}

#[test]
fn a_load_that_fails_changes_nothing() {
    let network = Network::new();
    let before = crate::state_dict(&network);
    let unchanged = || same(&crate::state_dict(&network), &before);
    let good = read("checkpoint.pt").state_dict;
    let renamed = |from: &str, to: &str| {
        let rename = |(name, t): (String, Tensor)| (name.replace(from, to), t);
        good.clone().into_iter().map(rename).collect::<StateDict>()
    };
    let mut mis_shaped = good.clone();
    mis_shaped.insert("bn.bias", Tensor::zeros([4], DType::F32).expect("small"));
    for (dict, parts) in [
        (
            renamed("conv.weight", "conv.weights"),
            [
                "1 missing: conv.weight (nearest: conv.weights)",
                "1 unexpected: conv.weights (nearest: conv.weight)",
            ],
        ),
        (
            mis_shaped,
            [
                "1 mis-shaped: bn.bias (expected [3], got [4])",
                "nothing changed",
            ],
        ),
        (read("types.pt").state_dict, ["6 missing", "10 unexpected"]),
    ] {
        let error = load_state_dict(&network, &dict, Loading::Strict).expect_err(parts[0]);
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(unchanged(), "{error}");
    }
    let report = load_state_dict(&network, &good, Loading::Strict).expect("it fits");
    assert_eq!(report.loaded.len(), 7);
    assert!(!unchanged());
    check_network(&crate::state_dict(&network), true);
}
