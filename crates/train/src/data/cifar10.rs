//! The binary version of CIFAR-10, plain or gzip.
//!
//! Records of 3,073 bytes: the label, then 32x32 values of red, of green and of blue.
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::{Path, PathBuf};

use super::idx::Part;
use super::{ImageSet, gzip};
use crate::error::{Error, Malformed, Result, malformed};

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const PIXELS: usize = CHANNELS * SIDE * SIDE;

/// The names of the ten classes.
pub const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Parses the uncompressed contents of one or more record files.
///
/// # Errors
/// When the length is not a whole number of records, or a label is above 9.
pub fn parse(bytes: &[u8]) -> Result<ImageSet, Malformed> {
    let records = bytes.chunks_exact(PIXELS + 1);
    if !records.remainder().is_empty() {
        let (len, record) = (bytes.len(), PIXELS + 1);
        return Err(malformed!(
            "{len} bytes are not a whole number of records of {record}"
        ));
    }
    let labels: Vec<u32> = records.clone().map(|r| u32::from(r[0])).collect();
    if let Some(at) = labels.iter().position(|&l| l as usize >= CLASSES.len()) {
        return Err(malformed!(
            "record {at} has the label {}, above 9",
            labels[at]
        ));
    }
    let pixels = records.flat_map(|r| &r[1..]).copied().collect();
    ImageSet::new(
        pixels,
        labels,
        CHANNELS,
        [SIDE, SIDE],
        255,
        CLASSES.map(String::from).to_vec(),
    )
    .map_err(|e| malformed!("{e}"))
}

/// Reads the record files `data_batch_1.bin` to `data_batch_5.bin`, or `test_batch.bin`, each with or without `.gz`, from
/// `folder` or from `cifar-10-batches-bin` in it.
///
/// # Errors
/// When a file is missing, cannot be read or is damaged.
pub fn load(folder: &Path, part: Part) -> Result<ImageSet> {
    let names: &[&str] = match part {
        Part::Train => &[
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
        ],
        Part::Test => &["test_batch"],
    };
    let mut all = Vec::new();
    for name in names {
        let path = find(folder, name)?;
        let bytes = gzip::read_file(&path, gzip::MAX_BYTES)?;
        // Each file on its own, so that an error names the right one.
        parse(&bytes).map_err(|e| Error::malformed(&path, e))?;
        all.extend(bytes);
    }
    parse(&all).map_err(|e| Error::malformed(folder, e))
}

fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let folders = [folder.to_owned(), folder.join("cifar-10-batches-bin")];
    let candidates = folders
        .iter()
        .flat_map(|f| ["bin", "bin.gz"].map(|e| f.join(name).with_extension(e)));
    candidates.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::malformed(
            folder,
            malformed!("no file {name}.bin or {name}.bin.gz in it"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Dataset;

    fn record(label: u8, value: u8) -> Vec<u8> {
        let mut bytes = vec![value; PIXELS + 1];
        bytes[0] = label;
        bytes[1] = 255;
        bytes
    }

    #[test]
    fn reads_the_files_of_a_folder_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5u8 {
            let path = folder.path().join(format!("data_batch_{i}.bin"));
            fs::write(path, record(i, 10 * i)).unwrap();
        }
        let inner = folder.path().join("cifar-10-batches-bin");
        fs::create_dir(&inner).unwrap();
        fs::write(
            inner.join("test_batch.bin.gz"),
            gzip::deflated(&record(9, 51)),
        )
        .unwrap();
        let train = load(folder.path(), Part::Train).unwrap();
        assert_eq!(
            (train.len(), train.channels(), train.image_size()),
            (5, 3, [32, 32])
        );
        assert_eq!(train.label(3).unwrap(), 4);
        let test = load(folder.path(), Part::Test).unwrap().get(0).unwrap();
        assert_eq!(
            (test.image.values()[0], test.image.values()[3071]),
            (1.0, 0.2)
        );
        assert_eq!(CLASSES[test.label], "truck");
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test_batch.bin");
        let missing = load(folder.path(), Part::Test).unwrap_err().to_string();
        assert!(missing.contains("no file test_batch.bin"), "{missing}");
        fs::write(&path, &record(1, 2)[..3000]).unwrap();
        let short = load(folder.path(), Part::Test).unwrap_err().to_string();
        assert!(
            short.contains("test_batch.bin: 3000 bytes are not"),
            "{short}"
        );
        fs::write(&path, record(10, 2)).unwrap();
        let label = load(folder.path(), Part::Test).unwrap_err().to_string();
        assert!(label.contains("record 0 has the label 10"), "{label}");
    }
}
