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
