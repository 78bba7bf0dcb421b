//! Files that are made to do harm.

use striate_tensor::Tensor;

use super::*;

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
    for strides in [[].as_slice(), &[1], &[1, 1, 1]] {
        let read = hostile(&[("w", 0, &[2, 3], strides)], 10);
        assert!(read.is_err(), "two dimensions, strides {strides:?}");
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
    let array = npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        &[0; 4],
    );
    let good = zip_of(&[("a.txt", b"first"), ("b.npy", &array)]);
    let read = from_bytes(&good).expect("an array and a text");
    assert_eq!(read.to_string(), "npz, 1 tensor, ignored: a.txt");
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

/// An archive of one stored entry, every number of which stands in the larger records.
fn zip64_of(name: &str, contents: &[u8]) -> Vec<u8> {
    let plain = zip_of(&[(name, contents)]);
    let data = 30 + name.len() + contents.len();
    let len = (contents.len() as u64).to_le_bytes();
    let mut record = plain[data..data + 46 + name.len()].to_vec();
    record[20..28].fill(0xff);
    record[30] = 28;
    record[42..46].fill(0xff);
    record.extend([&[1, 0, 24, 0][..], &len, &len, &[0; 8]].concat());
    let [start, end] = [data, data + record.len()].map(|n| (n as u64).to_le_bytes());
    let record_len = (record.len() as u64).to_le_bytes();
    let one = 1u64.to_le_bytes();
    [
        &plain[..data],
        &record,
        b"PK\x06\x06",
        &44u64.to_le_bytes(),
        &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &one,
        &one,
        &record_len,
        &start,
        b"PK\x06\x07\0\0\0\0",
        &end,
        &[1, 0, 0, 0],
        b"PK\x05\x06\0\0\0\0",
        &[0xff; 12],
        &[0, 0],
    ]
    .concat()
}

#[test]
fn archives_with_large_numbers_are_read_and_checked_too() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
    let contents = npy(header, &[0, 0, 0, 64, 0, 0, 128, 63]);
    let good = zip64_of("w.npy", &contents);
    let dict = from_bytes(&good).expect("an array").state_dict;
    check(&dict, "w", &[2], &[2.0, 1.0]);
    for at in 30 + 5 + contents.len()..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 0x80;
        if let Ok(read) = from_bytes(&damaged) {
            assert!(same(&read.state_dict, &dict), "byte {at}");
        }
    }
    for len in 0..good.len() {
        assert!(from_bytes(&good[..len]).is_err(), "{len} bytes");
    }
}
