//! Runs the command as a user does.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run of the command left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the command ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its standard output, after checking that it succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// The objects on its standard output, which holds nothing else.
    #[track_caller]
    pub(crate) fn objects(self) -> Vec<serde_json::Value> {
        let stdout = self.success();
        let object = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(value.is_object(), "{line}");
            value
        };
        stdout.lines().map(object).collect()
    }

    /// Checks that it failed with `code`, nothing on standard output, and one line of error that holds each of `parts`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().collect();
        assert!(
            errors.len() == 1 && errors[0].starts_with("error: "),
            "{self:?}"
        );
        for part in parts {
            assert!(
                errors[0].contains(part),
                "{part:?} is not in {:?}",
                errors[0]
            );
        }
    }
}

/// The command, before it runs. Its level is the machine's or that of the tests' environment.
pub(crate) fn striate<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command with these arguments.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    Outcome::new(striate(arguments).output().unwrap())
}

/// Runs a prepared command.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    Outcome::new(command.output().unwrap())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The bytes of a `.npz` file with arrays of f32, by name and shape: a zip archive without compression or checksums.
pub(crate) fn npz(arrays: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let (mut data, mut directory) = (Vec::new(), Vec::new());
    for (name, shape, values) in arrays {
        let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape})}}\n");
        let mut contents = b"\x93NUMPY\x01\x00".to_vec();
        contents.extend((header.len() as u16).to_le_bytes());
        contents.extend(header.as_bytes());
        contents.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let (name, len) = (format!("{name}.npy"), (contents.len() as u32).to_le_bytes());
        // Version, flags, method, time, checksum; sizes; lengths of the name and of what follows it.
        let mut record = vec![20, 0];
        record.extend([0; 12]);
        record.extend([len, len].concat());
        record.extend((name.len() as u16).to_le_bytes());
        record.extend([0; 2]);
        directory.extend([b"PK\x01\x02\x14\0", record.as_slice(), &[0; 10]].concat());
        directory.extend((data.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        data.extend([b"PK\x03\x04", record.as_slice(), name.as_bytes()].concat());
        data.extend(contents);
    }
    let count = (arrays.len() as u16).to_le_bytes();
    let [len, start] = [directory.len(), data.len()].map(|n| (n as u32).to_le_bytes());
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &len,
        &start,
        &[0, 0],
    ];
    [data, directory, end.concat()].concat()
}
