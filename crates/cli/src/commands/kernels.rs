//! `striate kernels`: the implementations of each op, and which one a convolution gets.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use striate::kernels::geometry::Layout;
use striate::kernels::ways::{self, Prepared, Problem, Way};
use striate::kernels::{Accuracy, Policy, conv_transpose2d, conv2d, parallel, peak};
use striate::simd::Level;
use striate::{Philox, Tensor};

use crate::convolution::{Convolution, TransposedConvolution};
use crate::dims::joined;
use crate::failure::Failure;
use crate::output::{Output, grouped, table};

/// List the implementations of each op, or tell which one a convolution gets
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  striate kernels
  striate kernels conv2d 1x64x56x56 --out 64 --kernel 3 --padding 1 --measure --threads 1
  striate kernels conv2d 1x64x56x56 --out 64 --kernel 3 --padding 1 --pass weight-gradient
  striate kernels conv_transpose2d 1x64x28x28 --out 64 --kernel 4 --stride 2 --padding 1
  STRIATE_SIMD=avx2 striate kernels conv2d 8x3x224x224 --out 64 --kernel 7 --stride 2 --padding 3 --json")]
pub(crate) struct Kernels {
    #[command(subcommand)]
    op: Option<Op>,
}

#[derive(Debug, Subcommand)]
enum Op {
    /// Tell which implementations a 2-D convolution could get, how long each is predicted to take, and which it gets
    Conv2d {
        #[command(flatten)]
        convolution: Convolution,

        #[command(flatten)]
        choice: Choice,
    },

    /// Tell the same about a transposed 2-D convolution
    #[command(name = "conv_transpose2d")]
    ConvTranspose2d {
        #[command(flatten)]
        convolution: TransposedConvolution,

        #[command(flatten)]
        choice: Choice,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pass {
    /// With weights that are arranged once and used many times
    Forward,
    /// The gradient of the input, with weights that are used once
    InputGradient,
    /// The gradient of the weights
    WeightGradient,
}

impl From<Pass> for ways::Pass {
    fn from(pass: Pass) -> Self {
        match pass {
            Pass::Forward => Self::Forward,
            Pass::InputGradient => Self::InputGradient,
            Pass::WeightGradient => Self::WeightGradient,
        }
    }
}

#[derive(Args, Debug)]
struct Choice {
    /// The pass to tell about
    #[arg(long, value_enum, default_value_t = Pass::Forward)]
    pass: Pass,

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
        match &self.op {
            None => list(Level::selected().map_err(Failure::usage)?, out),
            Some(Op::Conv2d {
                convolution,
                choice,
            }) => {
                let (g, layout) = (convolution.geometry()?, convolution.layout());
                choice.run(&Problem::Plain(g, layout), out)
            }
            Some(Op::ConvTranspose2d {
                convolution,
                choice,
            }) => choice.run(&Problem::Transposed(convolution.geometry()?), out),
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
    let transposed = conv_transpose2d::implementations().iter();
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
    fn policy(&self) -> Result<Policy, Failure> {
        let level = match &self.level {
            Some(name) => Level::parse(name),
            None => Level::selected(),
        };
        Ok(Policy {
            level: level.map_err(Failure::usage)?,
            accuracy: self.accuracy,
        })
    }

    fn run(&self, problem: &Problem, out: &mut Output) -> Result<(), Failure> {
        let (policy, pass) = (self.policy()?, self.pass.into());
        let ways = problem.ways(policy, pass);
        let measured = if self.measure {
            measure(problem, pass, &ways)?
        } else {
            vec![None; ways.len()]
        };
        // Two vectors of multiply-adds, of two operations each, are a cycle.
        let level = policy.level;
        let peak = peak::gflops(level) * parallel::threads() as f64;
        let cycle = 4e-6 * level.lanes() as f64 / peak;
        let timed = |(way, measured_ms): (&Way, Option<f64>)| Timed {
            implementation: way.name(),
            chosen: way.chosen,
            predicted_ms: way.cycles * cycle,
            measured_ms,
            share_of_peak: measured_ms.map(|ms| 2e-6 * problem.multiply_adds() / ms / peak),
        };
        let chosen = ways.iter().find(|way| way.chosen);
        let chosen = Chosen {
            op: problem.op(),
            implementation: chosen.map(Way::name).unwrap_or_default(),
            level: level.name(),
            input: problem.x_shape(),
            output: problem.y_shape(),
            layout: if problem.input() == Layout::Nhwc {
                "channels-last"
            } else {
                "channels-first"
            },
            multiply_adds: problem.multiply_adds() as u64,
            threads: parallel::threads(),
            candidates: ways.iter().zip(measured).map(timed).collect(),
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

/// The median time of each way in milliseconds.
fn measure(problem: &Problem, pass: ways::Pass, ways: &[Way]) -> Result<Vec<Option<f64>>, Failure> {
    let mut random = Philox::new(0);
    let mut draw = |len: usize| Tensor::randn([len], &mut random)?.to_vec::<f32>();
    let [a, b, out] = problem.lens(pass);
    let (a, b, mut out) = (draw(a)?, draw(b)?, vec![0.0; out]);
    let ways = ways.iter().map(|way| way.prepare(&b));
    let ways: Vec<Prepared> = ways.collect::<Result<_, _>>()?;
    let mut times = vec![Vec::new(); ways.len()];
    let start = Instant::now();
    for round in 0..=ROUNDS {
        for (way, times) in ways.iter().zip(&mut times) {
            let one = Instant::now();
            way.run([&a, &b], &mut out)?;
            black_box(&mut out);
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
