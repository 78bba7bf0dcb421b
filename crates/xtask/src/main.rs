//! Checks of the workspace itself.
#![expect(clippy::print_stdout, reason = "a command")]

mod codegen;
mod pages;

use std::process::ExitCode;

const USAGE: &str = "\
cargo run --release -p xtask -- codegen-check [PROGRAM]
    Disassembles a release build of the kernels, or PROGRAM, and fails if a loop of multiply-adds
    calls, spills vectors to the stack, or uses narrower registers than its level has.
    PROGRAM must have been compiled with RUSTFLAGS='-C symbol-mangling-version=v0'.
cargo run --release -p xtask -- pages [--check]
    Draws the figures of docs/modules and fills in what the catalogue and the benchmark know, or
    fails if a page is missing, incomplete or out of date.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["codegen-check"] => codegen::check(None),
        ["codegen-check", program] => codegen::check(Some(program)),
        ["pages"] => pages::run(true),
        ["pages", "--check"] => pages::run(false),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
