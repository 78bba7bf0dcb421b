//! How exact each algorithm of convolution is: its errors against the reference loops in `f64`, at every level.
//!
//! ```text
//! cargo bench -p striate-benches --bench errors
//! ```
//!
//! The first figure of a pair is the largest error of an element in units of `2^-24` times the sum of the magnitudes of its
//! terms, or for Winograd's algorithms, where errors belong to tiles, times the largest of these sums. The second is the error
//! of all elements relative to them in the 2-norm. A row is the worst of several geometries, with normally distributed
//! numbers. The forward pass is measured for every algorithm that accepts a geometry; gradients choose theirs, and have a
//! row for what they choose among all if that is not what they choose without Winograd's.

use std::collections::BTreeMap;
use striate_kernels::conv2d::{
    Conv2dGeometry, PackedWeights, backward_input, backward_weight, backward_weight_nchw,
    implementations, reference,
};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::geometry::Layout;
use striate_kernels::view::{View, ViewMut};
use striate_kernels::{Accuracy, KernelError, Policy};
use striate_simd::Level;
use striate_tensor::Philox;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Half a unit in the last place of one.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// A convolution of `channels` to `filters` channels.
struct Shape {
    kind: &'static str,
    channels: usize,
    filters: usize,
    size: usize,
    kernel: [usize; 2],
    stride: usize,
    dilation: usize,
    groups: usize,
}

/// Dense, from channels-last images.
const DENSE: Shape = Shape {
    kind: "dense",
    channels: 64,
    filters: 64,
    size: 20,
    kernel: [3, 3],
    stride: 1,
    dilation: 1,
    groups: 1,
};

#[rustfmt::skip]
const SHAPES: [Shape; 14] = [
    DENSE,
    Shape { channels: 256, size: 9, ..DENSE },
    Shape { channels: 72, filters: 40, size: 13, ..DENSE },
    Shape { stride: 2, ..DENSE },
    Shape { dilation: 2, ..DENSE },
    Shape { kernel: [4, 4], stride: 2, ..DENSE },
    Shape { kernel: [1, 7], ..DENSE },
    Shape { channels: 512, kernel: [1, 1], ..DENSE },
    Shape { kind: "few channels", channels: 3, size: 40, kernel: [7, 7], stride: 2, ..DENSE },
    Shape { kind: "few outputs", filters: 3, size: 32, ..DENSE },
    Shape { kind: "grouped", channels: 128, filters: 128, groups: 32, ..DENSE },
    Shape { kind: "grouped", channels: 128, filters: 128, groups: 8, ..DENSE },
    Shape { kind: "depthwise", channels: 96, filters: 96, groups: 96, ..DENSE },
    Shape { kind: "depthwise", channels: 96, filters: 96, groups: 96, kernel: [7, 7], ..DENSE },
];

impl Shape {
    fn geometry(&self) -> Result<Conv2dGeometry> {
        let pad = |axis: usize| self.dilation * (self.kernel[axis] - 1) / 2;
        Ok(Conv2dGeometry::new(
            2,
            self.channels,
            [self.size; 2],
            self.filters,
            self.kernel,
            [self.stride; 2],
            [pad(0), pad(0), pad(1), pad(1)],
            [self.dilation; 2],
            self.groups,
        )?)
    }

    fn layout(&self) -> Layout {
        if self.channels < 8 {
            Layout::Nchw
        } else {
            Layout::Nhwc
        }
    }
}

/// A pass over operands of any precision: the forward pass or a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    Forward,
    Input,
    Weight,
}

/// What is multiplied.
struct Operands<T> {
    x: Vec<T>,
    weight: Vec<T>,
    dy: Vec<T>,
}

impl Operands<f32> {
    fn new(g: &Conv2dGeometry) -> Self {
        let mut random = Philox::new(g.x_len() as u64);
        let mut draw = |len| (0..len).map(|_| random.normal() as f32).collect();
        Self {
            x: draw(g.x_len()),
            weight: draw(g.weight_len()),
            dy: draw(g.y_len()),
        }
    }

    fn map(&self, f: fn(f64) -> f64) -> Operands<f64> {
        let all = |v: &[f32]| v.iter().map(|&v| f(f64::from(v))).collect();
        Operands {
            x: all(&self.x),
            weight: all(&self.weight),
            dy: all(&self.dy),
        }
    }
}

impl Operands<f64> {
    /// The exact results.
    fn exact(&self, g: &Conv2dGeometry, layout: Layout, pass: Pass) -> Result<Vec<f64>> {
        let x = View::dense(&self.x, g.x_shape(), layout)?;
        let weight = View::nchw(&self.weight, g.weight_shape())?;
        let dy = View::nhwc(&self.dy, g.y_shape())?;
        let mut out = vec![0.0; length(g, pass)];
        match pass {
            Pass::Forward => {
                let mut y = ViewMut::nhwc(&mut out, g.y_shape())?;
                reference::forward(g, &x, &weight, None, &mut y)?;
            }
            Pass::Input => {
                let mut dx = ViewMut::nhwc(&mut out, g.x_shape())?;
                reference::backward_input(g, &dy, &weight, &mut dx)?;
            }
            Pass::Weight => {
                let mut dweight = ViewMut::nchw(&mut out, g.weight_shape())?;
                reference::backward_weight(g, &x, &dy, &mut dweight)?;
            }
        }
        Ok(out)
    }
}

fn length(g: &Conv2dGeometry, pass: Pass) -> usize {
    match pass {
        Pass::Forward => g.y_len(),
        Pass::Input => g.x_len(),
        Pass::Weight => g.weight_len(),
    }
}

/// The errors of some results.
#[derive(Clone, Copy, Debug, Default)]
struct Errors {
    /// In units of `2^-24` times the magnitudes of the terms.
    largest: f64,
    /// In the 2-norm.
    relative: f64,
}

impl Errors {
    fn of(results: &[f32], exact: &[f64], magnitudes: &[f64]) -> Self {
        let (mut largest, mut error, mut norm) = (0.0_f64, 0.0, 0.0);
        for ((&result, &exact), &magnitude) in results.iter().zip(exact).zip(magnitudes) {
            let difference = (f64::from(result) - exact).abs();
            if difference > 0.0 {
                largest = largest.max(difference / (ROUNDING * magnitude));
            }
            error += difference * difference;
            norm += exact * exact;
        }
        Self {
            largest,
            relative: (error / norm).sqrt(),
        }
    }

    fn worst(self, other: Self) -> Self {
        Self {
            largest: self.largest.max(other.largest),
            relative: self.relative.max(other.relative),
        }
    }
}

/// The errors by pass, algorithm and level.
type Table = BTreeMap<(Pass, String, usize), Errors>;

fn main() -> Result<()> {
    let levels = Level::available();
    let mut table = Table::new();
    for shape in &SHAPES {
        for pass in [Pass::Forward, Pass::Input, Pass::Weight] {
            measure(shape, pass, &levels, &mut table)?;
        }
    }
    let names: Vec<&str> = levels.iter().map(|level| level.name()).collect();
    eprintln!("| pass | algorithm | {} |", names.join(" | "));
    eprintln!("|---|---|{}", "---|".repeat(levels.len()));
    let mut rows: Vec<_> = table.keys().map(|(pass, name, _)| (*pass, name)).collect();
    rows.dedup();
    for (pass, name) in rows {
        let cell = |level: usize| {
            let errors = table.get(&(pass, name.clone(), level));
            errors.map_or(String::new(), |e| {
                format!("{:.1}, {:.1e}", e.largest, e.relative)
            })
        };
        let cells: Vec<String> = (0..levels.len()).map(cell).collect();
        let pass = match pass {
            Pass::Forward => "forward",
            Pass::Input => "gradient of the input",
            Pass::Weight => "gradient of the weights",
        };
        eprintln!("| {pass} | {name} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// Puts the errors of one pass at each level into the table.
fn measure(shape: &Shape, pass: Pass, levels: &[Level], table: &mut Table) -> Result<()> {
    let (g, layout) = (shape.geometry()?, shape.layout());
    let operands = Operands::new(&g);
    let exact = operands.map(|v| v).exact(&g, layout, pass)?;
    let magnitudes = operands.map(f64::abs).exact(&g, layout, pass)?;
    let largest = vec![magnitudes.iter().copied().fold(0.0, f64::max); exact.len()];
    let mut results = vec![0.0; exact.len()];
    let mut note = |name: String, level: usize, results: &[f32]| {
        let errors = if name.contains("inograd") {
            Errors::of(results, &exact, &largest)
        } else {
            Errors::of(results, &exact, &magnitudes)
        };
        let worst = table.entry((pass, name, level)).or_default();
        *worst = worst.worst(errors);
    };
    for (number, &level) in levels.iter().enumerate() {
        if pass == Pass::Forward {
            let accepting = implementations().iter();
            for &algorithm in accepting.filter(|a| a.accepts(&g, layout, level)) {
                let weight = &operands.weight;
                PackedWeights::with_algorithm(level, &g, layout, weight, algorithm)?.forward(
                    &g,
                    &operands.x,
                    &Epilogue::NONE,
                    &mut results,
                )?;
                note(algorithm.family().to_owned(), number, &results);
            }
            continue;
        }
        let mut compute = |accuracy| {
            let policy = Policy { level, accuracy };
            gradient(pass, policy, &g, layout, &operands, &mut results)?;
            Ok::<_, KernelError>(results.clone())
        };
        let [strict, fast] = [compute(Accuracy::Strict)?, compute(Accuracy::Fast)?];
        note(shape.kind.to_owned(), number, &strict);
        if fast != strict {
            note(format!("{}, Winograd's", shape.kind), number, &fast);
        }
    }
    Ok(())
}

fn gradient(
    pass: Pass,
    policy: Policy,
    g: &Conv2dGeometry,
    layout: Layout,
    Operands { x, weight, dy }: &Operands<f32>,
    out: &mut [f32],
) -> std::result::Result<(), KernelError> {
    match (pass, layout) {
        (Pass::Weight, Layout::Nchw) => backward_weight_nchw(policy, g, x, dy, out),
        (Pass::Weight, Layout::Nhwc) => backward_weight(policy, g, x, dy, out),
        (Pass::Forward | Pass::Input, _) => backward_input(policy, g, dy, weight, out),
    }
}
