//! `striate kernels`: the implementations of each op, and which one a convolution gets.

use clap::{Args, Subcommand};
use serde::Serialize;
use striate::kernels::Accuracy;
use striate::kernels::conv2d;
use striate::kernels::geometry::Layout;
use striate::simd::Level;

use crate::convolution::Convolution;
use crate::dims::joined;
use crate::failure::Failure;
use crate::output::{Output, grouped, table};

/// List the implementations of each op, or tell which one a convolution gets
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  striate kernels
  striate kernels conv2d 1x64x56x56 --out 64 --kernel 3 --padding 1
  STRIATE_SIMD=avx2 striate kernels conv2d 8x3x224x224 --out 64 --kernel 7 --stride 2 --padding 3 --json")]
pub(crate) struct Kernels {
    #[command(subcommand)]
    op: Option<Op>,
}

#[derive(Debug, Subcommand)]
enum Op {
    /// Tell which implementation a 2-D convolution gets
    Conv2d(Convolution),
}

/// An op with what computes it.
#[derive(Serialize)]
struct Listed {
    op: &'static str,
    /// Best first.
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
}

impl Kernels {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let level = Level::selected().map_err(Failure::usage)?;
        match &self.op {
            None => list(level, out),
            Some(Op::Conv2d(conv)) => choice(conv, level, out),
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
    let mut rows = vec![vec![
        "op".to_owned(),
        "implementations, best first".to_owned(),
    ]];
    for mut op in listed {
        op.implementations.push(format!("f64-{}-reference", op.op));
        out.object(&op)?;
        rows.push(vec![op.op.to_owned(), op.implementations.join(", ")]);
    }
    table(&rows).iter().try_for_each(|line| out.text(line))
}

fn choice(conv: &Convolution, level: Level, out: &mut Output) -> Result<(), Failure> {
    let g = conv.geometry()?;
    let layout = conv.layout();
    let chosen = Chosen {
        op: "conv2d",
        implementation: conv2d::choose(&g, layout, level, Accuracy::Fast).name(&g, level),
        level: level.name(),
        input: g.x_shape(),
        output: g.y_shape(),
        layout: if layout == Layout::Nhwc {
            "channels-last"
        } else {
            "channels-first"
        },
        multiply_adds: g.multiply_adds() as u64,
    };
    out.object(&chosen)?;
    let Chosen {
        implementation,
        input,
        output,
        layout,
        ..
    } = &chosen;
    out.text(format!("{:<15}{implementation}", "implementation"))?;
    out.text(format!("{:<15}{} ({layout})", "input", joined(input)))?;
    out.text(format!("{:<15}{}", "output", joined(output)))?;
    out.text(format!(
        "{:<15}{}",
        "multiply-adds",
        grouped(chosen.multiply_adds)
    ))
}
