//! Why a command stops, and the exit code that says so.

use std::process::ExitCode;

use clap::error::ErrorKind;

/// The end of a command that did not succeed. Its message is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command was asked for something that does not exist or makes no sense: exit code 2.
    Usage(String),
    /// The work failed, was interrupted, or a check fell short: exit code 1.
    Work(String),
}

impl Failure {
    /// Wrong usage.
    pub fn usage(message: impl ToString) -> Self {
        Self::Usage(one_line(&message.to_string()))
    }

    /// Work that failed.
    pub fn work(message: impl ToString) -> Self {
        Self::Work(one_line(&message.to_string()))
    }

    /// What to tell the user.
    pub fn message(&self) -> &str {
        match self {
            Self::Usage(message) | Self::Work(message) => message,
        }
    }

    /// What to tell the shell.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Work(_) => ExitCode::from(1),
        }
    }
}

/// Errors of the library are failed work; where they come from a wrong argument the command says so itself.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::work(error)
    }
}

/// `text` with every line break and the space around it made one space.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Says how a command line is wrong in one line, where clap takes a paragraph.
pub(crate) fn from_clap(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage(
            "a subcommand is missing, such as `striate train` (--help lists them)",
        );
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // A tip is often wrong: it takes an option for a value.
    let end = ["\nUsage:", "\nFor more information", "\n\n  tip: to pass"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    let message = one_line(&text[..end.unwrap_or(text.len())]);
    Failure::Usage(format!("{message} (--help shows how it is used)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        assert_eq!(Failure::work("a\n  b\n\nc\n").message(), "a b c");
        let error = std::io::Error::other("first\nsecond");
        assert_eq!(Failure::from(error), Failure::Work("first second".into()));
    }
}
