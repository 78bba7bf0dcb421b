//! The `striate` command: trains, evaluates and explains networks, and says what the library does on this machine.
//!
//! Every verb is a file of `commands/`: its arguments and its work. [`main`](fn@main) parses, runs one and turns its outcome into an
//! exit code: 0 for success, 1 for work that failed, was interrupted or fell short, 2 for wrong usage. Results go to
//! standard output, everything else to standard error ([`output`]).
#![forbid(unsafe_code)]

mod args;
mod commands;
mod convolution;
mod dims;
mod explain;
pub mod failure;
mod machine;
mod network;
pub mod output;
pub mod parity;
mod pretrained;
mod setup;
mod signal;
mod source;
mod task;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::Arguments;
use output::{Output, note};

/// Runs the command line `arguments`, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => commands::run(&arguments, &mut Output::new(arguments.json)),
        Err(error) if error.use_stderr() => Err(failure::from_clap(&error)),
        Err(help_or_version) => Output::new(false).text(help_or_version.to_string().trim_end()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(format!("error: {}", failure.message()));
            failure.exit_code()
        }
    }
}
