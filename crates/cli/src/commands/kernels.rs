//! `striate kernels`: the implementations of each op, and which one a convolution gets.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;
use striate::kernels::conv2d::{self, Candidate, Conv2dGeometry, PackedWeights};
use striate::kernels::epilogue::Epilogue;
use striate::kernels::geometry::Layout;
use striate::kernels::{Accuracy, Policy, parallel, peak};
use striate::simd::Level;
use striate::{Philox, Tensor};

use crate::convolution::Convolution;
use crate::dims::joined;
use crate::failure::Failure;
use crate::output::{Output, grouped, table};

/// List the implementations of each op, or tell which one a convolution gets
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  striate kernels
  striate kernels conv2d 1x64x56x56 --out 64 --kernel 3 --padding 1 --measure --threads 1
  STRIATE_SIMD=avx2 striate kernels conv2d 8x3x224x224 --out 64 --kernel 7 --stride 2 --padding 3 --json")]
pub(crate) struct Kernels {
    #[command(subcommand)]
    op: Option<Op>,
}

#[derive(Debug, Subcommand)]
enum Op {
    /// Tell which implementations a 2-D convolution could get, how long each is predicted to take, and which it gets
    Conv2d(Choice),
}

#[derive(Args, Debug)]
struct Choice {
    #[command(flatten)]
    convolution: Convolution,

    /// Also measure each implementation
    #[arg(long)]
    measure: bool,

    /// Of this SIMD level [default: the best of this machine]
    #[arg(long)]
    level: Option<String>,

    /// Whether algorithms with less multiplications and larger rounding errors are allowed
    #[arg(long, default_value = "fast", value_parser = accuracy)]
    accuracy: Accuracy,
}

fn accuracy(text: &str) -> Result<Accuracy, String> {
    match text {
        "fast" => Ok(Accuracy::Fast),
        "strict" => Ok(Accuracy::Strict),
        _ => Err("must be fast or strict".to_owned()),
    }
}

/// An op with what computes it.
#[derive(Serialize)]
struct Listed {
    op: &'static str,
    implementations: Vec<String>,
}

/// The choice for one convolution.
#[derive(Serialize)]
struct Chosen {
    op: &'static str,
    implementation: String,
    level: &'static str,
    input: [usize; 4],
    output: [usize; 4],
    layout: &'static str,
    multiply_adds: u64,
    threads: usize,
    candidates: Vec<Timed>,
}

/// An implementation and its times.
#[derive(Serialize)]
struct Timed {
    implementation: String,
    chosen: bool,
    /// At the multiply-add rate of this machine, on all threads.
    predicted_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_ms: Option<f64>,
    /// The rate of the definition's multiply-adds as a share of what as many cores as there are threads could do.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_peak: Option<f64>,
}

impl Kernels {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let level = || Level::selected().map_err(Failure::usage);
        match &self.op {
            None => list(level()?, out),
            Some(Op::Conv2d(choice)) => {
                let named = choice.level.as_deref().map(Level::parse).transpose();
                let level = named.map_err(Failure::usage)?.map_or_else(level, Ok)?;
                choice.run(level, out)
            }
        }
    }
}

/// Every op. The type before the name is what it computes with; `f64` always takes the reference.
fn list(level: Level, out: &mut Output) -> Result<(), Failure> {
    let listed = |op, families: Vec<&str>| Listed {
        op,
        implementations: families
            .iter()
            .map(|f| format!("f32-{op}-{f}-*-{level}"))
            .collect(),
    };
    let families = conv2d::implementations().iter().map(|a| a.family());
    let transposed = striate::kernels::conv_transpose2d::implementations().iter();
    let mut listed = vec![
        listed("conv2d", families.collect()),
        listed("conv_transpose2d", transposed.map(|a| a.family()).collect()),
    ];
    let others = [
        "matmul",
        "linear",
        "max_pool2d",
        "avg_pool2d",
        "batch_norm",
        "layer_norm",
        "group_norm",
        "softmax",
        "reduce",
        "elementwise",
        "sgd",
        "adamw",
    ];
    listed.extend(others.map(|op| Listed {
        op,
        implementations: vec![format!("f32-{op}-{level}")],
    }));
    let mut rows = vec![vec!["op".to_owned(), "implementations".to_owned()]];
    for mut op in listed {
        op.implementations.push(format!("f64-{}-reference", op.op));
        out.object(&op)?;
        rows.push(vec![op.op.to_owned(), op.implementations.join(", ")]);
    }
    table(&rows).iter().try_for_each(|line| out.text(line))
}

impl Choice {
    fn run(&self, level: Level, out: &mut Output) -> Result<(), Failure> {
        let (g, layout) = (self.convolution.geometry()?, self.convolution.layout());
        let policy = Policy {
            level,
            accuracy: self.accuracy,
        };
        let candidates = conv2d::candidates(policy, &g, layout);
        let measured = if self.measure {
            measure(level, &g, layout, &candidates)?
        } else {
            vec![None; candidates.len()]
        };
        let choice = conv2d::choose(&g, layout, level, self.accuracy);
        // Two vectors of multiply-adds, of two operations each, are a cycle.
        let peak = peak::gflops(level) * parallel::threads() as f64;
        let cycle = 4e-6 * level.lanes() as f64 / peak;
        let timed = |(candidate, measured_ms): (&Candidate, Option<f64>)| Timed {
            implementation: candidate.algorithm.name(&g, level),
            chosen: candidate.algorithm == choice,
            predicted_ms: candidate.cycles * cycle,
            measured_ms,
            share_of_peak: measured_ms.map(|ms| 2e-6 * g.multiply_adds() / ms / peak),
        };
        let chosen = Chosen {
            op: "conv2d",
            implementation: choice.name(&g, level),
            level: level.name(),
            input: g.x_shape(),
            output: g.y_shape(),
            layout: if layout == Layout::Nhwc {
                "channels-last"
            } else {
                "channels-first"
            },
            multiply_adds: g.multiply_adds() as u64,
            threads: parallel::threads(),
            candidates: candidates.iter().zip(measured).map(timed).collect(),
        };
        out.object(&chosen)?;
        chosen.print(out)
    }
}

impl Chosen {
    fn print(&self, out: &mut Output) -> Result<(), Failure> {
        let Self { input, output, .. } = self;
        out.text(format!("{:<15}{}", "implementation", self.implementation))?;
        out.text(format!(
            "{:<15}{} ({})",
            "input",
            joined(input),
            self.layout
        ))?;
        out.text(format!("{:<15}{}", "output", joined(output)))?;
        out.text(format!(
            "{:<15}{}",
            "multiply-adds",
            grouped(self.multiply_adds)
        ))?;
        out.text(format!("{:<15}{}", "threads", self.threads))?;
        out.text("")?;
        let mut rows = vec![vec!["candidate".to_owned(), "predicted ms".to_owned()]];
        if self.candidates.iter().any(|c| c.measured_ms.is_some()) {
            rows[0].extend(["measured ms", "% of the peak"].map(str::to_owned));
        }
        for candidate in &self.candidates {
            let mark = if candidate.chosen { "*" } else { "" };
            let mut row = vec![
                format!("{}{mark}", candidate.implementation),
                format!("{:.4}", candidate.predicted_ms),
            ];
            row.extend(candidate.measured_ms.map(|ms| format!("{ms:.4}")));
            row.extend(candidate.share_of_peak.map(|s| format!("{:.1}", 100.0 * s)));
            rows.push(row);
        }
        table(&rows).iter().try_for_each(|line| out.text(line))
    }
}

/// Rounds of measurements, in each of which every implementation runs once; and for how long at most.
const ROUNDS: usize = 25;
const PATIENCE: Duration = Duration::from_secs(2);

/// The median time of each implementation in milliseconds, with weights that are packed before.
fn measure(
    level: Level,
    g: &Conv2dGeometry,
    layout: Layout,
    candidates: &[Candidate],
) -> Result<Vec<Option<f64>>, Failure> {
    let mut random = Philox::new(0);
    let mut draw = |len: usize| Tensor::randn([len], &mut random)?.to_vec::<f32>();
    let (x, weight) = (draw(g.x_len())?, draw(g.weight_len())?);
    let mut y = vec![0.0; g.y_len()];
    let mut packed = Vec::new();
    for Candidate { algorithm, .. } in candidates {
        packed.push(PackedWeights::with_algorithm(
            level, g, layout, &weight, *algorithm,
        )?);
    }
    let mut times = vec![Vec::new(); packed.len()];
    let start = Instant::now();
    for round in 0..=ROUNDS {
        for (packed, times) in packed.iter().zip(&mut times) {
            let one = Instant::now();
            packed.forward(g, &x, &Epilogue::NONE, &mut y)?;
            black_box(&mut y);
            // The first run touches everything for the first time.
            if round > 0 {
                times.push(one.elapsed());
            }
        }
        if round > 0 && start.elapsed() > PATIENCE {
            break;
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times
            .get(times.len() / 2)
            .map(|time| 1e3 * time.as_secs_f64())
    };
    Ok(times.into_iter().map(median).collect())
}
