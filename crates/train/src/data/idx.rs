//! The IDX format of MNIST and Fashion-MNIST, plain or gzip.
//!
//! Big-endian: two zero bytes, the type (8: unsigned bytes), the number of dimensions, each dimension as 32 bits, then
//! the values. Pictures are `[N, H, W]`, labels `[N]`. Source: <http://yann.lecun.com/exdb/mnist/>.

use std::path::{Path, PathBuf};

use super::image_set::numbered_classes;
use super::{ImageSet, gzip};
use crate::error::{Error, Malformed, Result, malformed};

const UNSIGNED_BYTES: u8 = 8;

/// The names of the ten classes of Fashion-MNIST.
pub const FASHION_CLASSES: [&str; 10] = [
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
];

/// An array as an IDX file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<u8>,
}

/// Which files of a downloaded data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The pictures to train on.
    Train,
    /// The pictures to test with.
    Test,
}

/// Parses an uncompressed IDX array of unsigned bytes.
///
/// # Errors
/// When the header is not one, or its dimensions are not those of the values that follow.
pub fn parse(bytes: &[u8]) -> Result<IdxArray, Malformed> {
    let &[0, 0, kind, rank, ..] = bytes else {
        return Err(malformed!(
            "not an IDX file: it must begin with two zero bytes"
        ));
    };
    if kind != UNSIGNED_BYTES {
        return Err(malformed!(
            "IDX type {kind:#04x}: only unsigned bytes (0x08) are read"
        ));
    }
    let header = 4 + 4 * usize::from(rank);
    let Some(dims) = bytes.get(4..header) else {
        return Err(malformed!(
            "truncated: {rank} dimensions need {header} bytes of header"
        ));
    };
    let shape: Vec<usize> = dims
        .chunks_exact(4)
        .map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect();
    let values = &bytes[header..];
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if count != Some(values.len()) {
        let got = values.len();
        return Err(malformed!(
            "the header says {shape:?} values, the file holds {got}"
        ));
    }
    Ok(IdxArray {
        shape,
        values: values.to_vec(),
    })
}

/// Reads a pair of IDX files: pictures `[N, H, W]` and labels `[N]`. The classes are "0" up to the largest label,
/// at least ten.
///
/// # Errors
/// When a file cannot be read, is damaged, has other dimensions, or the two disagree in their number.
pub fn load(images: &Path, labels: &Path) -> Result<ImageSet> {
    let pictures = read(images)?;
    let &[count, height, width] = pictures.shape.as_slice() else {
        let e = malformed!("pictures must be [N, H, W], these are {:?}", pictures.shape);
        return Err(Error::malformed(images, e));
    };
    let marks = read(labels)?;
    if marks.shape != [count] {
        let e = malformed!("{:?} labels for {count} pictures", marks.shape);
        return Err(Error::malformed(labels, e));
    }
    let classes = marks
        .values
        .iter()
        .max()
        .map_or(0, |&l| usize::from(l) + 1)
        .max(10);
    let marks = marks.values.into_iter().map(u32::from).collect();
    ImageSet::new(
        pictures.values,
        marks,
        1,
        [height, width],
        255,
        numbered_classes(classes),
    )
    .map_err(|e| Error::malformed(images, malformed!("{e}")))
}

/// Reads MNIST (or a data set of the same file names) from the folder it was downloaded to: `train-images-idx3-ubyte`
/// and its three companions, each with or without `.gz`, with `-` or `.` before `idx`.
///
/// # Errors
/// When a file is missing or as [`load`].
pub fn mnist(folder: &Path, part: Part) -> Result<ImageSet> {
    let prefix = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    load(
        &find(folder, &format!("{prefix}-images"), "idx3-ubyte")?,
        &find(folder, &format!("{prefix}-labels"), "idx1-ubyte")?,
    )
}

/// [`mnist`] with the class names of Fashion-MNIST.
///
/// # Errors
/// As [`mnist`], and when there are more than ten classes.
pub fn fashion_mnist(folder: &Path, part: Part) -> Result<ImageSet> {
    mnist(folder, part)?.with_classes(FASHION_CLASSES.map(String::from).to_vec())
}

fn read(path: &Path) -> Result<IdxArray> {
    let bytes = gzip::read_file(path, gzip::MAX_BYTES)?;
    parse(&bytes).map_err(|e| Error::malformed(path, e))
}

fn find(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|dot| format!("{stem}{dot}{kind}"));
    let candidates = names
        .iter()
        .flat_map(|n| [folder.join(n), folder.join(format!("{n}.gz"))]);
    candidates.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::malformed(
            folder,
            malformed!("no file {} or {}.gz in it", names[0], names[0]),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Dataset;

    fn encoded(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    #[test]
    fn reads_plain_and_gzip_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let images = encoded(&[2, 2, 1], &[0, 255, 51, 102]);
        let labels = encoded(&[2], &[7, 3]);
        fs::write(folder.path().join("t10k-images-idx3-ubyte"), &images).unwrap();
        fs::write(
            folder.path().join("t10k-labels-idx1-ubyte.gz"),
            gzip::deflated(&labels),
        )
        .unwrap();
        let set = mnist(folder.path(), Part::Test).unwrap();
        assert_eq!(
            (set.len(), set.channels(), set.image_size()),
            (2, 1, [2, 1])
        );
        assert_eq!(set.classes().len(), 10);
        let sample = set.get(1).unwrap();
        assert_eq!(
            (sample.image.values(), sample.label),
            ([0.2, 0.4].as_slice(), 3)
        );
        assert_eq!(
            fashion_mnist(folder.path(), Part::Test).unwrap().classes()[7],
            "sneaker"
        );

        let missing = mnist(folder.path(), Part::Train).unwrap_err().to_string();
        assert!(
            missing.contains("no file train-images-idx3-ubyte"),
            "{missing}"
        );
    }

    #[test]
    fn every_cut_and_every_wrong_header_is_an_error() {
        let good = encoded(&[2, 2, 1], &[0, 255, 51, 102]);
        assert!(parse(&good).is_ok());
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "{cut}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(parse(&longer).is_err());
        let overflow = encoded(&[u32::MAX; 3], &[1]);
        assert!(
            parse(&overflow)
                .unwrap_err()
                .to_string()
                .contains("the file holds 1")
        );
        let floats = [0, 0, 0x0d, 1, 0, 0, 0, 0];
        assert!(parse(&floats).unwrap_err().to_string().contains("0x0d"));
    }

    #[test]
    fn a_pair_that_disagrees_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let [images, labels] = ["images", "labels"].map(|n| folder.path().join(n));
        fs::write(&images, encoded(&[2, 1, 1], &[0, 255])).unwrap();
        fs::write(&labels, encoded(&[3], &[7, 3, 1])).unwrap();
        let message = load(&images, &labels).unwrap_err().to_string();
        assert!(message.contains("[3] labels for 2 pictures"), "{message}");
        let swapped = load(&labels, &images).unwrap_err().to_string();
        assert!(swapped.contains("pictures must be [N, H, W]"), "{swapped}");
    }
}
