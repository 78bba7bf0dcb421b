//! `codegen-check`: machine code as a test.
//!
//! A closure or function that lacks `#[inline(always)]` keeps its results and turns each of its
//! vector operations into a call; a tile with one register too many spills in its inner loop.
//! Neither shows in any other test. So the program `crates/kernels/examples/codegen`, which
//! calls every hot kernel on every level, is compiled with symbols that spell out generic
//! arguments, and every function that a level is entered by is looked at.

mod analysis;
mod disassembly;

use analysis::Report;
use disassembly::Program;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kernels that must be found, with a loop of multiply-adds, on every level with such an
/// instruction: parts of the names of their functions.
const REQUIRED: [&str; 72] = [
    "codegen::elementary::axpy",
    "codegen::elementary::exp",
    "codegen::elementary::log",
    "codegen::elementary::sigmoid",
    "codegen::elementary::tanh",
    "codegen::elementary::erf",
    "gemm::block::Rows",
    "conv2d::direct::Tiles",
    "conv2d::dots::enter",
    "conv2d::backward_weight::Channels",
    "conv2d::few_channels::Forward",
    "conv2d::few_channels::Backward",
    "conv2d::few_outputs::enter",
    "conv2d::grouped::Forward",
    "conv2d::grouped::Backward",
    "conv2d::grouped::Pairs",
    "conv2d::winograd::narrow_tiles::inputs",
    "conv2d::winograd::narrow_tiles::output_rows",
    "conv2d::winograd::narrow_tiles::shared_rows",
    "conv2d::winograd::few_channels_tiles::inputs",
    "conv2d::winograd::few_channels_tiles::rows",
    "conv2d::winograd::outputs::columns_of",
    "conv2d::winograd::narrow_tiles::products",
    "conv2d::winograd::planes::Gather",
    "conv2d::winograd::planes::Scatter",
    "conv2d::winograd::planes::transform_weights",
    "conv2d::winograd::planes::transform_weight_gradients",
    "moments::TileMoments",
    "dwconv::gather",
    "dwconv::backward_weight",
    "deform_conv2d::forward",
    "deform_conv2d::backward_input",
    "deform_conv2d::backward_weight",
    "involution::sums",
    "involution::backward_weight",
    "kernels::pool::vector::sum",
    "max_blur::vector",
    "resample::vector::sum",
    "resample::squares::sum",
    "kernels::sample::vector::forward",
    "kernels::sample::vector::backward_input",
    "kernels::sample::vector::backward_grid",
    "roi::vector::forward",
    "roi::vector::backward_input",
    "roi::vector::backward_offsets",
    "attention::forward",
    "attention::backward",
    "attention::pool::gather",
    "attention::pool::spread",
    "softmax::vector::softmax::",
    "softmax::vector::softmax_backward",
    "softmax::vector::log_softmax::",
    "softmax::vector::log_softmax_backward",
    "softmax::vector::logsumexp",
    "gate::vector::forward",
    "gate::vector::backward",
    "mixture::vector::mix",
    "mixture::vector::products",
    "mixture::maps::forward",
    "mixture::maps::backward",
    "norm::apply::apply",
    "norm::apply::gradient",
    "norm::rows::forward",
    "norm::rows::backward",
    "norm::vector::moments",
    "norm::vector::gradient_sums",
    "reduce::vector::fold_run",
    "reduce::vector::fold_steps",
    "elementwise::unary_f32",
    "elementwise::binary_f32::accumulate",
    "optim::vector::sgd",
    "optim::vector::adamw",
];

/// The program that calls the kernels.
const EXAMPLE: &str = "codegen";

/// Checks `program`, or a fresh build of the example.
pub(crate) fn check(program: Option<&str>) -> Result<(), String> {
    let program = match program {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    let program = Program::parse(&disassemble(&program)?)?;
    let report = Report::of(&program, &REQUIRED);
    for fault in &report.faults {
        println!("{fault}");
    }
    println!(
        "{} functions, {} loops of multiply-adds, {} faults",
        report.functions,
        report.loops,
        report.faults.len()
    );
    if report.faults.is_empty() {
        Ok(())
    } else {
        Err("the machine code of a hot loop is not what it should be".to_owned())
    }
}

/// Builds the example, with names that tell generic arguments, and returns its path.
fn build() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A folder of its own: other flags would compile the usual one anew, back and forth.
    let target = root.join("target/codegen");
    let status = Command::new(env!("CARGO"))
        .current_dir(&root)
        .env("RUSTFLAGS", "-C symbol-mangling-version=v0")
        .args([
            "build",
            "--release",
            "-p",
            "striate-kernels",
            "--example",
            EXAMPLE,
        ])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the example {EXAMPLE} does not build"));
    }
    Ok(target.join("release/examples").join(EXAMPLE))
}

/// The disassembly of `program`, by whichever tool there is.
fn disassemble(program: &Path) -> Result<String, String> {
    let mut failures = String::new();
    for tool in ["objdump", "llvm-objdump"] {
        let result = Command::new(tool)
            .args(["--disassemble", "--demangle", "--no-show-raw-insn"])
            .arg(program)
            .output();
        match result {
            Ok(output) if output.status.success() => {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Ok(output) => {
                failures += &format!(
                    "\n{tool}: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
            Err(error) => failures += &format!("\n{tool}: {error}"),
        }
    }
    Err(format!(
        "cannot disassemble {}:{failures}",
        program.display()
    ))
}
