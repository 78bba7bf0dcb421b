//! State dicts in `.safetensors` files.
//!
//! A file is not trusted: the format's reader checks names, sizes and offsets before anything is
//! allocated, and a type that cannot be represented is an error. Half precision becomes f32,
//! small integers become i64 and booleans bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata as Header, SafeTensors, TensorView, View};
use striate_tensor::{DType, Error, FileBytes, FileTensor, Result, Tensor};

use crate::StateDict;
use crate::weights::{self, Endian, Kind, row_major};

const METADATA_START: &[u8] = br#"{"__metadata__":"#;

/// What a file holds beside its tensors: text by key.
pub type Metadata = BTreeMap<String, String>;

/// The bytes of a file with these tensors.
///
/// # Errors
/// Memory is out, or the header would exceed what the format allows.
pub fn to_bytes(dict: &StateDict, metadata: &Metadata) -> Result<Vec<u8>> {
    let stored = dict
        .iter()
        .map(|(name, t)| Ok((name.to_owned(), Stored::of(t)?)));
    let stored: Vec<_> = stored.collect::<Result<_>>()?;
    let refuse = |e: String| Error::msg(format!("safetensors: {e}"));
    let ordered = serde_json::to_vec(metadata).map_err(|e| refuse(e.to_string()))?;
    if stored.is_empty() {
        return Ok(without_tensors(&ordered));
    }
    let unordered = metadata.clone().into_iter().collect();
    let bytes = safetensors::serialize(stored, Some(unordered));
    let mut bytes = bytes.map_err(|e| refuse(e.to_string()))?;
    order_metadata(&mut bytes, &ordered);
    Ok(bytes)
}

/// A file without tensors, whose header the writer closes before the metadata.
fn without_tensors(metadata: &[u8]) -> Vec<u8> {
    let mut header = [METADATA_START, metadata, b"}"].concat();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header].concat()
}

/// Puts the metadata, which the writer has in the order of a hash map, into that of its keys: the same contents are the
/// same bytes, every time.
fn order_metadata(bytes: &mut [u8], ordered: &[u8]) {
    // The length of the header, then the header, which begins with the metadata.
    let start = 8 + METADATA_START.len();
    if bytes.get(8..start) == Some(METADATA_START)
        && let Some(own) = bytes.get_mut(start..start + ordered.len())
    {
        own.copy_from_slice(ordered);
    }
}

/// Writes the file at `path`, completely or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, dict: &StateDict, metadata: &Metadata) -> Result<()> {
    write_atomically(path, &to_bytes(dict, metadata)?).map_err(|e| io_error(path, &e))
}

/// Reads the file at `path`.
///
/// # Errors
/// It cannot be read, is no safetensors file, or has a tensor of an unsupported type.
pub fn load(path: &Path) -> Result<(StateDict, Metadata)> {
    from_file(&weights::contents(path)?).map_err(|e| e.at(&path.display().to_string()))
}

/// Reads a file. Tensors come in the order in which their data lies in it.
///
/// # Errors
/// As [`load`].
pub(crate) fn from_file(file: &FileBytes) -> Result<(StateDict, Metadata)> {
    if cfg!(target_endian = "big") {
        return from_bytes(file);
    }
    let refuse = |e| Error::msg(format!("not a safetensors file: {e}"));
    let (header_len, header) = SafeTensors::read_metadata(file).map_err(refuse)?;
    let names = header.offset_keys();
    // What tensors hold as it is stored is read at once.
    let plain = |name: &String| {
        let info = header.info(name)?;
        Some(FileTensor {
            dtype: same_type(info.dtype)?,
            shape: info.shape.as_slice().into(),
            start: 8 + header_len + info.data_offsets.0,
        })
    };
    let plain: Vec<Option<FileTensor>> = names.iter().map(plain).collect();
    let present: Vec<FileTensor> = plain.iter().flatten().cloned().collect();
    let mut read_at_once = FileTensor::read_all(file, &present)?.into_iter();
    let converted = SafeTensors::deserialize(file).map_err(refuse)?;
    let mut dict = StateDict::new();
    for (name, plain) in names.into_iter().zip(&plain) {
        let tensor = match plain.as_ref().and_then(|_| read_at_once.next()) {
            Some(tensor) => tensor,
            None => read(&converted.tensor(&name).map_err(refuse)?).map_err(|e| e.at(&name))?,
        };
        dict.insert(name, tensor);
    }
    Ok((dict, text_of(&header)))
}

/// The type of a tensor whose elements are those of the file, byte for byte.
fn same_type(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        Dtype::U8 | Dtype::BOOL => DType::U8,
        _ => return None,
    })
}

fn text_of(header: &Header) -> Metadata {
    let text = header.metadata().iter().flatten();
    text.map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Reads the bytes of a file. Tensors come in the order in which their data lies in it.
///
/// # Errors
/// They are no safetensors file, or have a tensor of an unsupported type.
pub fn from_bytes(bytes: &[u8]) -> Result<(StateDict, Metadata)> {
    let refuse = |e| Error::msg(format!("not a safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
    let file = SafeTensors::deserialize(bytes).map_err(refuse)?;
    let mut dict = StateDict::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(refuse)?;
        let tensor = read(&view).map_err(|e| e.at(&name))?;
        dict.insert(name, tensor);
    }
    Ok((dict, text_of(&header)))
}

/// Writes a file through a temporary one in the same folder, synced and then renamed: a reader
/// sees the old file or the new one, also after a crash.
///
/// # Errors
/// The file cannot be written; the temporary one is removed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder(path)
}

fn write_synced(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the rename durable where folders can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::Io(io::Error::new(
        error.kind(),
        format!("{}: {error}", path.display()),
    ))
}

/// A tensor as the writer wants it: little-endian bytes in row-major order.
struct Stored<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Vec<u8>,
}

impl<'a> Stored<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let (dtype, bytes) = match tensor.dtype() {
            DType::F32 => (
                Dtype::F32,
                le_bytes(&tensor.to_vec::<f32>()?, f32::to_le_bytes),
            ),
            DType::F64 => (
                Dtype::F64,
                le_bytes(&tensor.to_vec::<f64>()?, f64::to_le_bytes),
            ),
            DType::I64 => (
                Dtype::I64,
                le_bytes(&tensor.to_vec::<i64>()?, i64::to_le_bytes),
            ),
            DType::U8 => (Dtype::U8, tensor.to_vec::<u8>()?),
        };
        Ok(Self {
            dtype,
            shape: tensor.shape(),
            bytes,
        })
    }
}

fn le_bytes<T: Copy, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| f(v)).collect()
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn read(view: &TensorView<'_>) -> Result<Tensor> {
    let kind = match view.dtype() {
        Dtype::F64 => Kind::F64,
        Dtype::F32 => Kind::F32,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::I64 => Kind::I64,
        Dtype::I32 => Kind::I32,
        Dtype::I16 => Kind::I16,
        Dtype::I8 => Kind::I8,
        Dtype::U64 => Kind::U64,
        Dtype::U32 => Kind::U32,
        Dtype::U16 => Kind::U16,
        Dtype::U8 | Dtype::BOOL => Kind::U8,
        other => {
            return Err(Error::msg(format!(
                "tensors of type {other:?} are not supported"
            )));
        }
    };
    let uncountable = || Error::msg(format!("shape {:?} cannot be counted", view.shape()));
    weights::Stored {
        bytes: view.data(),
        kind,
        endian: Endian::Little,
        offset: 0,
        shape: view.shape(),
        strides: &row_major(view.shape()).ok_or_else(uncountable)?,
    }
    .tensor()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StateDict {
        let weight = Tensor::from_vec(vec![1.5f32, -2.0, 0.0, 4.0, 5.0, 6.0], [2, 3]);
        let mut dict = StateDict::new();
        dict.insert("fc.weight", weight.expect("six elements"));
        dict.insert(
            "bn.num_batches_tracked",
            Tensor::scalar(7i64).expect("one element"),
        );
        dict
    }

    #[test]
    fn the_same_contents_are_the_same_bytes() {
        let keys = ["format", "striate.run", "a", "\"quoted\"", "b"];
        let metadata: Metadata = keys.map(|key| (key.into(), "x\ny".into())).into();
        let first = to_bytes(&sample(), &metadata).expect("serializable");
        assert_eq!(from_bytes(&first).expect("just written").1, metadata);
        // Each time with another hash map.
        for _ in 0..20 {
            assert_eq!(to_bytes(&sample(), &metadata).expect("serializable"), first);
        }
    }

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("w.safetensors");
        let metadata = Metadata::from([("format".into(), "pt".into())]);
        save(&path, &sample(), &metadata).expect("writable");
        let (dict, read) = load(&path).expect("just written");
        assert_eq!(read, metadata);
        assert_eq!(dict.len(), 2);
        let weight = dict.get("fc.weight").expect("it was saved");
        assert_eq!(weight.shape(), [2, 3]);
        assert_eq!(
            weight.to_vec::<f32>().expect("f32"),
            [1.5, -2.0, 0.0, 4.0, 5.0, 6.0]
        );
        let count = dict.get("bn.num_batches_tracked").expect("it was saved");
        assert_eq!(count.item::<i64>().expect("i64"), 7);
        let left = fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(left, 1, "no temporary file is left");
    }

    /// A small file, which is read, and a large one, which is mapped.
    #[test]
    fn files_are_read_like_their_bytes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for len in [5, 300_000] {
            let wide: Vec<f32> = (0..len).map(|i| i as f32 / 8.0).collect();
            let mut dict = sample();
            let insert = |dict: &mut StateDict, name, tensor: Result<Tensor>| {
                dict.insert(name, tensor.expect("small"));
            };
            insert(&mut dict, "wide", Tensor::from_vec(wide, [len]));
            insert(
                &mut dict,
                "double",
                Tensor::from_vec(vec![0.1f64, 2.0], [1, 2]),
            );
            insert(&mut dict, "bytes", Tensor::from_vec(vec![1u8, 2, 3], [3]));
            insert(
                &mut dict,
                "empty",
                Tensor::from_vec(Vec::<f32>::new(), [0, 4]),
            );
            let mut bytes = to_bytes(&dict, &Metadata::new()).expect("serializable");
            // A type that is converted, of as many bytes.
            let header = bytes.windows(5).position(|w| w == b"\"F64\"");
            let at = header.expect("a tensor of that type");
            for (types, shape) in [(&b"\"F64\""[..], "[1,2]"), (b"\"I32\"", "[1,4]")] {
                bytes[at..at + 5].copy_from_slice(types);
                let text = String::from_utf8_lossy(&bytes[at..at + 40]).into_owned();
                let start = at + text.find("[1,").expect("its shape follows");
                bytes[start..start + 5].copy_from_slice(shape.as_bytes());
                let path = folder.path().join(format!("{len}.safetensors"));
                fs::write(&path, &bytes).expect("writable");
                let (from_file, _) = load(&path).expect("a good file");
                let (from_memory, _) = from_bytes(&bytes).expect("a good file");
                assert!(from_file.names().eq(from_memory.names()), "their order");
                for ((name, a), (_, b)) in from_file.iter().zip(from_memory.iter()) {
                    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{name}");
                    let [a, b] = [a, b].map(|t| t.to_dtype(DType::F64)?.to_vec::<f64>());
                    assert_eq!(a.expect("readable"), b.expect("readable"), "{name}");
                }
                for cut in [7, 8, 50, bytes.len() - 4 * len, bytes.len() - 1] {
                    fs::write(&path, &bytes[..cut]).expect("writable");
                    assert!(load(&path).is_err(), "{cut} of {} bytes", bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_file_may_hold_metadata_alone() {
        for metadata in [
            Metadata::new(),
            Metadata::from([("format".into(), "pt".into())]),
        ] {
            let bytes = to_bytes(&StateDict::new(), &metadata).expect("serializable");
            let (dict, read) = from_bytes(&bytes).expect("just written");
            assert_eq!((dict.len(), read), (0, metadata));
        }
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = to_bytes(&sample(), &Metadata::new()).expect("a small file");
        for cut in 0..bytes.len() {
            assert!(
                from_bytes(&bytes[..cut]).is_err(),
                "{cut} of {} bytes",
                bytes.len()
            );
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(from_bytes(&huge).is_err(), "a header longer than the file");
        let missing = load(Path::new("/nonexistent/w.safetensors")).expect_err("no such file");
        assert!(
            missing.to_string().contains("/nonexistent/w.safetensors"),
            "{missing}"
        );
    }
}
