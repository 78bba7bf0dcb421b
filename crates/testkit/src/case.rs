//! The case file: one safetensors file that says what to compute and what must come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The format that this reader knows.
pub const FORMAT: &str = "striate-case/1";

/// What a case exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One differentiable op.
    Op,
    /// One module with parameters.
    Module,
    /// A whole network: `input` and `output` in `NAME.io.safetensors`, its weights beside it in
    /// `NAME.weights.safetensors`, PyTorch's own error as `float32_error` in the configuration.
    Model,
    /// A loss curve over some training steps.
    Curve,
}

/// The state that a module is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, dropout on.
    Train,
    /// Running statistics, dropout off.
    Eval,
}

/// The values of a tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Bytes.
    U8(Vec<u8>),
}

/// A tensor of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseTensor {
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// Its values.
    pub data: Data,
}

impl CaseTensor {
    /// The values, if they are floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }
}

/// Why a case file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no case file.
    #[error("{}: not a case file: {rule}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        rule: String,
    },
}

/// A reference case.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it exercises.
    pub kind: Kind,
    /// The op's, module's or model's name.
    pub name: String,
    /// The attributes, by PyTorch's names; a JSON object.
    pub config: Value,
    /// The state that the module is in.
    pub mode: Mode,
    /// `input.0`, `param.<key>`, `output.0`, `grad.input.0`, ... by name.
    pub tensors: BTreeMap<String, CaseTensor>,
}

impl CaseFile {
    /// Reads and checks the case at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no safetensors file, or lacks a field of the format.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let bytes = fs::read(path).map_err(|source| CaseError::Io {
            path: path.into(),
            source,
        })?;
        Self::parse(path, &bytes).map_err(|rule| CaseError::Invalid {
            path: path.into(),
            rule,
        })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let meta = header.metadata().as_ref().ok_or("it has no metadata")?;
        let tensors = || {
            let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
            file.iter()
                .map(|(name, view)| Ok((name.to_owned(), tensor(name, &view)?)))
                .collect::<Result<_, String>>()
        };
        let field = |key: &str| {
            meta.get(key)
                .map(String::as_str)
                .ok_or_else(|| format!("its metadata lacks \"{key}\""))
        };
        if let Some(error) = meta.get("float32_error") {
            return Ok(Self {
                path: path.into(),
                kind: Kind::Model,
                name: field("name")?.to_owned(),
                config: serde_json::json!({ "float32_error": error }),
                mode: Mode::Eval,
                tensors: tensors()?,
            });
        }
        if field("format")? != FORMAT {
            return Err(format!(
                "its format is \"{}\", expected \"{FORMAT}\"",
                field("format")?
            ));
        }
        let kind = match field("kind")? {
            "op" => Kind::Op,
            "module" => Kind::Module,
            "curve" => Kind::Curve,
            other => return Err(format!("its kind is \"{other}\"")),
        };
        let mode = match field("mode")? {
            "train" => Mode::Train,
            "eval" => Mode::Eval,
            other => return Err(format!("its mode is \"{other}\"")),
        };
        let config: Value = serde_json::from_str(field("config")?).map_err(|e| e.to_string())?;
        if !config.is_object() {
            return Err("its config is no JSON object".into());
        }
        let name = field("name")?.to_owned();
        Ok(Self {
            path: path.into(),
            kind,
            name,
            config,
            mode,
            tensors: tensors()?,
        })
    }

    /// The tensors whose name is `prefix` and a rest, by that rest.
    pub fn group<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a CaseTensor)> + 'a {
        self.tensors
            .iter()
            .filter_map(move |(k, t)| Some((k.strip_prefix(prefix)?, t)))
    }

    /// The name of the file without its folder and ending: how reports call the case.
    pub fn stem(&self) -> String {
        self.path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<CaseTensor, String> {
    let data = values(view.dtype(), view.data())
        .ok_or_else(|| format!("tensor \"{name}\" has dtype {:?}", view.dtype()))?;
    let shape = view.shape().to_vec();
    Ok(CaseTensor { shape, data })
}

fn values(dtype: Dtype, bytes: &[u8]) -> Option<Data> {
    Some(match dtype {
        Dtype::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
        Dtype::I64 => Data::I64(bytemuck::pod_collect_to_vec(bytes)),
        Dtype::U8 => Data::U8(bytes.to_vec()),
        _ => return None,
    })
}

/// Whether a file of a folder is a case, and not the weights of one.
fn is_case(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".safetensors")
        && !name.ends_with(".weights.safetensors")
        && !name.ends_with(".activations.safetensors")
}

/// The case files at `path`, sorted: the file itself, or every `.safetensors` below the folder that
/// holds no weights and no activations.
///
/// # Errors
/// `path` or a folder below it cannot be read.
pub fn find_cases(path: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let error = |path: &Path, source| CaseError::Io {
        path: path.into(),
        source,
    };
    if !path.is_dir() {
        fs::metadata(path).map_err(|e| error(path, e))?;
        return Ok(vec![path.into()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| error(&folder, e))? {
            let entry = entry.map_err(|e| error(&folder, e))?;
            // Symbolic links are not followed: a cycle of them would never end.
            let kind = entry.file_type().map_err(|e| error(&entry.path(), e))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if is_case(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;

    fn metadata(format: &str) -> HashMap<String, String> {
        [
            ("format", format),
            ("kind", "op"),
            ("name", "relu"),
            ("config", "{}"),
            ("mode", "eval"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    fn write(folder: &Path, meta: HashMap<String, String>) -> PathBuf {
        let values = [1f32, -2.0];
        let view = TensorView::new(Dtype::F32, vec![2], bytemuck::cast_slice(&values));
        let view = view.expect("two floats are eight bytes");
        let path = folder.join("op-relu-00.safetensors");
        let bytes = safetensors::serialize([("input.0", view)], Some(meta)).expect("serialises");
        fs::write(&path, bytes).expect("the folder is ours");
        path
    }

    #[test]
    fn a_case_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = write(folder.path(), metadata(FORMAT));
        let case = CaseFile::read(&path).expect("a valid case");
        assert_eq!((case.kind, case.name.as_str()), (Kind::Op, "relu"));
        assert_eq!(case.stem(), "op-relu-00");
        let inputs: Vec<_> = case.group("input.").collect();
        assert_eq!(inputs.len(), 1, "one input");
        assert_eq!(
            (inputs[0].0, inputs[0].1.as_f32()),
            ("0", Some(&[1f32, -2.0][..]))
        );
        assert_eq!(find_cases(folder.path()).expect("readable"), vec![path]);
    }

    #[test]
    fn what_is_no_case_says_why() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = write(folder.path(), metadata("striate-case/9"));
        let error = CaseFile::read(&path)
            .expect_err("an unknown format")
            .to_string();
        assert!(error.contains("striate-case/9"), "{error}");
        let whole = fs::read(&path).expect("just written");
        for cut in [0, 3, 8, 20, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).expect("the folder is ours");
            assert!(
                CaseFile::read(&path).is_err(),
                "{cut} bytes of it must not be a case"
            );
        }
        let missing = folder.path().join("missing");
        assert!(find_cases(&missing).is_err(), "a folder that is not there");
    }
}
