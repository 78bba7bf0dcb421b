//! Where the pictures come from: what `--data` names, told from its content.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use striate::train::data::folder::Colours;
use striate::train::data::idx::Part;
use striate::train::data::{Dataset, Subset, cifar10, digits, folder, idx};

use crate::failure::Failure;

/// The word for the data set that is part of the library.
pub(crate) const DIGITS: &str = "digits";

/// What `--data` takes, for messages.
const KINDS: &str = "--data takes `digits`, or a folder with MNIST or Fashion-MNIST files (train-images-idx3-ubyte \
    and its companions, .gz or not), CIFAR-10 files (data_batch_1.bin, ...), or one subfolder of pictures for each class";

/// A data set that can be trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The embedded digits.
    Digits,
    /// IDX files of MNIST.
    Mnist(PathBuf),
    /// IDX files in a folder that is called after Fashion-MNIST.
    FashionMnist(PathBuf),
    /// The binary files of CIFAR-10.
    Cifar10(PathBuf),
    /// Subfolders of JPEG and PNG files.
    Pictures(PathBuf),
}

/// Pictures to train on and to test with.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) train: Arc<dyn Dataset>,
    pub(crate) test: Arc<dyn Dataset>,
}

impl Source {
    /// Tells from the files of a folder what it holds.
    pub(crate) fn detect(data: &str) -> Result<Self, Failure> {
        if data == DIGITS {
            return Ok(Self::Digits);
        }
        let path = Path::new(data);
        let metadata = fs::metadata(path)
            .map_err(|e| Failure::usage(format!("cannot read {data}: {e}; {KINDS}")))?;
        if !metadata.is_dir() {
            return Err(Failure::usage(format!("{data} is not a folder; {KINDS}")));
        }
        let listed = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = listed.map_err(|e| Failure::work(format!("cannot read {data}: {e}")))?;
        let names: Vec<String> = entries
            .iter()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
        let folder = path.to_owned();
        if has("train-images") || has("t10k-images") {
            return Ok(if is_called_fashion(path) {
                Self::FashionMnist(folder)
            } else {
                Self::Mnist(folder)
            });
        }
        if has("data_batch_") || has("cifar-10-batches-bin") {
            return Ok(Self::Cifar10(folder));
        }
        if entries.iter().any(|e| e.path().is_dir()) {
            return Ok(Self::Pictures(folder));
        }
        Err(Failure::usage(format!(
            "{data} holds none of the data sets known; {KINDS}"
        )))
    }

    /// How a run calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Digits => DIGITS,
            Self::Mnist(_) => "mnist",
            Self::FashionMnist(_) => "fashion-mnist",
            Self::Cifar10(_) => "cifar10",
            Self::Pictures(_) => "pictures",
        }
    }

    /// Reads it. Pictures of a folder get the height and width `size`; the others have theirs. With a `limit` only the
    /// first pictures of each part are kept.
    pub(crate) fn load(&self, size: [usize; 2], limit: Option<usize>) -> Result<Split, Failure> {
        let split = match self {
            Self::Digits => {
                let (train, test) = digits::split()?;
                Split {
                    train: Arc::new(train),
                    test: Arc::new(test),
                }
            }
            Self::Mnist(f) => parts(|part| idx::mnist(f, part))?,
            Self::FashionMnist(f) => parts(|part| idx::fashion_mnist(f, part))?,
            Self::Cifar10(f) => parts(|part| cifar10::load(f, part))?,
            Self::Pictures(f) => {
                let (train, test) = folder::open_pair(f, size, Colours::Rgb)?;
                Split { train, test }
            }
        };
        let split = Split {
            train: first(split.train, limit)?,
            test: first(split.test, limit)?,
        };
        if split.train.is_empty() || split.test.is_empty() {
            let (train, test) = (split.train.len(), split.test.len());
            return Err(Failure::work(format!(
                "{} has {train} pictures to train on and {test} to test with: both need some",
                self.name()
            )));
        }
        Ok(split)
    }
}

fn parts<D: Dataset + 'static>(
    load: impl Fn(Part) -> striate::train::Result<D>,
) -> Result<Split, Failure> {
    Ok(Split {
        train: Arc::new(load(Part::Train)?),
        test: Arc::new(load(Part::Test)?),
    })
}

fn first(data: Arc<dyn Dataset>, limit: Option<usize>) -> Result<Arc<dyn Dataset>, Failure> {
    match limit {
        Some(limit) if limit < data.len() => Ok(Arc::new(Subset::new(data, (0..limit).collect())?)),
        _ => Ok(data),
    }
}

/// Fashion-MNIST has MNIST's file names: only the name of the folder tells it apart.
fn is_called_fashion(folder: &Path) -> bool {
    let path = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().to_lowercase().contains("fashion"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_folder_tells_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        let make = |folder: &str, file: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), b"").unwrap();
            let found = Source::detect(folder.to_str().unwrap());
            found
                .map(|source| source.name())
                .map_err(|failure| failure.message().to_owned())
        };
        assert_eq!(make("a", "train-images-idx3-ubyte.gz").unwrap(), "mnist");
        assert_eq!(
            make("My-Fashion", "train-images.idx3-ubyte").unwrap(),
            "fashion-mnist"
        );
        assert_eq!(make("b", "data_batch_1.bin").unwrap(), "cifar10");
        assert_eq!(
            make("c", "cifar-10-batches-bin/data_batch_1.bin").unwrap(),
            "cifar10"
        );
        assert_eq!(make("d", "cats/1.png").unwrap(), "pictures");
        let message = make("e", "notes.txt").unwrap_err();
        assert!(message.contains("none of the data sets known"), "{message}");
        assert_eq!(Source::detect("digits").unwrap(), Source::Digits);
    }

    #[test]
    fn a_wrong_path_is_wrong_usage_that_says_what_there_is() {
        for (path, what) in [
            ("no/such/folder", "cannot read"),
            ("Cargo.toml", "not a folder"),
        ] {
            let Err(Failure::Usage(message)) = Source::detect(path) else {
                panic!("{path}")
            };
            assert!(
                message.contains(path) && message.contains(what),
                "{message}"
            );
            assert!(message.contains("`digits`"), "{message}");
        }
    }

    #[test]
    fn a_limit_keeps_the_first() {
        let split = Source::Digits.load([8, 8], Some(30)).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (30, 30));
        let whole = Source::Digits.load([8, 8], None).unwrap();
        assert_eq!(split.train.get(7).unwrap(), whole.train.get(7).unwrap());
    }
}
