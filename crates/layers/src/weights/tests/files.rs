//! What PyTorch and NumPy wrote comes as they wrote it, or is refused by name.

use striate_tensor::{DType, Tensor};

use super::*;

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

#[test]
fn the_order_of_bytes_is_what_the_archive_says() {
    let pickle = described(&[("w", 0, &[2], &[1])], 2);
    let read = |order: &[u8], bytes: &[u8]| {
        let entries = [
            ("a/data.pkl", pickle.as_slice()),
            ("a/byteorder", order),
            ("a/data/0", bytes),
        ];
        from_bytes(&zip_of(&entries))
    };
    let big = [1.5f32.to_be_bytes(), (-2f32).to_be_bytes()].concat();
    let little = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
    for (order, bytes) in [(b"big".as_slice(), big), (b"little", little)] {
        let dict = read(order, &bytes).expect("two floats").state_dict;
        check(&dict, "w", &[2], &[1.5, -2.0]);
    }
    assert!(read(b"middle", &[0; 8]).is_err());
}
