//! The `striate` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    striate_cli::main(std::env::args_os())
}
