//! What the driver and a worker say to each other, for workers in Rust. `../worker.py` is the same for Python.
//!
//! A worker reads a JSON request from each line of its input and writes a JSON answer to a line of its output:
//!
//! | request | answer |
//! |---|---|
//! | `{"do": "ready"}` | `{}`: the worker has started |
//! | `{"do": "load", "case": {..}, "mode": "fwd"}` | `{"first_ms": ..}`: it is loaded and ran once |
//! | `{"do": "measure", "seconds": 0.1}` | `{"times_ms": [..]}`: of runs after some that warm up |
//! | `{"do": "output"}` | `{"digests": [[..], ..]}`: of everything the last run computed |
//!
//! What fails answers `{"error": ".."}`.

mod call;
mod case;
mod digest;
mod network;

use std::io::{BufRead, Write};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

pub use call::{Given, Operation, Plugin};
pub use case::{Case, fill};
pub use network::{LEARNING_RATE, MOMENTUM, Network};

/// What a worker's own functions return.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What an engine is asked to run.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Work {
    /// A convolution.
    Convolution(Case),
    /// A function of tensors.
    Operation(Operation),
    /// A module of the catalogue.
    Plugin(Plugin),
    /// A whole network.
    Network(Network),
}

/// What engines that read ONNX need.
pub struct OnnxModel<'a> {
    /// The file.
    pub path: &'a str,
    /// `[N, C, H, W]`.
    pub shape: [usize; 4],
    /// The input.
    pub input: Vec<f32>,
}

impl Work {
    /// The convolution or the network as an ONNX model.
    ///
    /// # Errors
    /// It is something else, or gradients are asked for.
    pub fn onnx(&self, mode: Mode) -> Result<OnnxModel<'_>> {
        mode.only_forward()?;
        Ok(match self {
            Self::Convolution(case) => OnnxModel {
                path: &case.onnx,
                shape: case.input_shape(),
                input: case.input(),
            },
            Self::Network(case) => OnnxModel {
                path: &case.onnx,
                shape: case.shape,
                input: case.input(),
            },
            _ => return Err("convolutions and networks only".into()),
        })
    }
}

/// A case that is ready to run.
pub trait Loaded {
    /// Computes everything once, as an application would. This is what is timed.
    ///
    /// # Errors
    /// The engine fails.
    fn run(&mut self) -> Result<()>;

    /// What the last run computed, each part in logical order: the outputs, or the gradients of inputs, weights and biases.
    /// Of training, what its first steps compute: their losses, and the gradients of the first, in the order of names.
    ///
    /// # Errors
    /// The engine fails.
    fn output(&mut self) -> Result<Vec<Vec<f32>>>;
}

/// What is computed of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The output.
    Fwd,
    /// The output, then the gradients of input, weights and bias; of a network a step of training.
    FwdBwd,
}

impl Mode {
    /// For engines that cannot train.
    ///
    /// # Errors
    /// Gradients are asked for.
    pub fn only_forward(self) -> Result<()> {
        match self {
            Self::Fwd => Ok(()),
            Self::FwdBwd => Err("inference only".into()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Ready,
    Load { case: Box<Work>, mode: Mode },
    Measure { seconds: f64 },
    Output,
}

/// The number of threads that the driver allows.
///
/// # Panics
/// If `ENGINE_THREADS` is not a number.
#[must_use]
pub fn threads() -> usize {
    std::env::var("ENGINE_THREADS").map_or(1, |n| n.parse().expect("ENGINE_THREADS is a number"))
}

/// Answers requests for convolutions until the input ends. `load` prepares one.
///
/// # Errors
/// The driver has gone.
pub fn serve(load: impl Fn(&Case, Mode) -> Result<Box<dyn Loaded>>) -> std::io::Result<()> {
    serve_all(|work, mode| match work {
        Work::Convolution(case) => load(case, mode),
        _ => Err("convolutions only".into()),
    })
}

/// Answers requests of all kinds until the input ends. `load` prepares a case.
///
/// # Errors
/// The driver has gone.
pub fn serve_all(load: impl Fn(&Work, Mode) -> Result<Box<dyn Loaded>>) -> std::io::Result<()> {
    let mut loaded = None;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&line?, &mut loaded, &load);
        let answer = answer.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(
    line: &str,
    loaded: &mut Option<Box<dyn Loaded>>,
    load: impl Fn(&Work, Mode) -> Result<Box<dyn Loaded>>,
) -> Result<Value> {
    const NOTHING: &str = "nothing is loaded";
    match serde_json::from_str(line)? {
        Request::Ready => Ok(json!({})),
        Request::Load { case, mode } => {
            *loaded = None;
            let mut new = load(&case, mode)?;
            let first = timed(new.as_mut())?;
            *loaded = Some(new);
            Ok(json!({ "first_ms": first * 1e3 }))
        }
        Request::Measure { seconds } => {
            let times = measure(loaded.as_deref_mut().ok_or(NOTHING)?, seconds)?;
            let times: Vec<f64> = times.iter().map(|t| t * 1e3).collect();
            Ok(json!({ "times_ms": times }))
        }
        Request::Output => {
            let output = loaded.as_deref_mut().ok_or(NOTHING)?.output()?;
            let digests: Vec<_> = output
                .iter()
                .map(|part| digest::projections(part))
                .collect();
            Ok(json!({ "digests": digests }))
        }
    }
}

/// Seconds of each run, after a fifth of the time to warm up: another engine has just used the caches.
fn measure(loaded: &mut dyn Loaded, seconds: f64) -> Result<Vec<f64>> {
    let start = Instant::now();
    timed(loaded)?;
    while start.elapsed().as_secs_f64() < seconds / 5.0 {
        timed(loaded)?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        times.push(timed(loaded)?);
        if start.elapsed().as_secs_f64() > 2.0 {
            break;
        }
    }
    Ok(times)
}

fn timed(loaded: &mut dyn Loaded) -> Result<f64> {
    let start = Instant::now();
    loaded.run()?;
    Ok(start.elapsed().as_secs_f64())
}
