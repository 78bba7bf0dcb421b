//! `striate kernels`: the implementations of each op, and which one a convolution gets.

use clap::{Args, Subcommand};
use serde::Serialize;
use striate::kernels::conv2d::{self, Conv2dGeometry};
use striate::kernels::geometry::Layout;
use striate::simd::Level;

use crate::args::count;
use crate::dims::{self, joined};
use crate::failure::Failure;
use crate::output::{Output, grouped, table};

/// Channels from which on tensors are kept channels-last.
const CHANNELS_LAST_FROM: usize = 8;

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
    Conv2d(Conv2d),
}

/// Tell which implementation a 2-D convolution gets
#[derive(Args, Debug)]
struct Conv2d {
    /// The input, NxCxHxW
    #[arg(value_name = "NxCxHxW", value_parser = dims::batch)]
    input: [usize; 4],

    /// Output channels
    #[arg(long, value_name = "CHANNELS", value_parser = count)]
    out: std::num::NonZeroUsize,

    /// Kernel size, N or HxW
    #[arg(long, value_parser = dims::pair)]
    kernel: [usize; 2],

    /// Step between outputs, N or HxW
    #[arg(long, default_value = "1", value_parser = dims::pair)]
    stride: [usize; 2],

    /// Zeros on each side, N or HxW
    #[arg(long, default_value = "0", value_parser = dims::padding)]
    padding: [usize; 2],

    /// Step between taps, N or HxW
    #[arg(long, default_value = "1", value_parser = dims::pair)]
    dilation: [usize; 2],

    /// Groups of channels
    #[arg(long, default_value = "1", value_parser = count)]
    groups: std::num::NonZeroUsize,
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
            Some(Op::Conv2d(conv)) => conv.run(level, out),
        }
    }
}

/// Every op. The type before the name is what it computes with; `f64` always takes the reference.
fn list(level: Level, out: &mut Output) -> Result<(), Failure> {
    let families = conv2d::implementations().iter().map(|a| a.family());
    let mut listed = vec![Listed {
        op: "conv2d",
        implementations: families
            .map(|f| format!("f32-conv2d-{f}-*-{level}"))
            .collect(),
    }];
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

impl Conv2d {
    fn run(&self, level: Level, out: &mut Output) -> Result<(), Failure> {
        let [n, c, h, w] = self.input;
        let ([ph, pw], groups) = (self.padding, self.groups.get());
        let padding = [ph, ph, pw, pw];
        let g = Conv2dGeometry::new(
            n,
            c,
            [h, w],
            self.out.get(),
            self.kernel,
            self.stride,
            padding,
            self.dilation,
            groups,
        )
        .map_err(Failure::usage)?;
        let layout = if c >= CHANNELS_LAST_FROM {
            Layout::Nhwc
        } else {
            Layout::Nchw
        };
        let algorithm = conv2d::choose(&g, layout, level);
        let chosen = Chosen {
            op: "conv2d",
            implementation: algorithm.name(&g, level),
            level: level.name(),
            input: self.input,
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
}
