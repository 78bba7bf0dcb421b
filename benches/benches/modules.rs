//! Every module of the catalogue at its typical configuration, as a multiple of a 3x3 convolution with
//! as many channels on its first input: forward in evaluation, and a training step (forward in training,
//! and all gradients) with two images for each.
//!
//! `cargo bench -p striate-benches --bench modules -- [--write] [--test] [NAME...]`: `--write` renews
//! `docs/modules/costs.tsv`. One thread.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;
use striate_benches::rounds;
use striate_layers::catalog::{Catalogued, Entry, entries};
use striate_layers::{Conv2dConfig, VarBuilder, evaluating};
use striate_tensor::{Philox, Result, Tensor, current_level, no_grad};

/// For a module, in either direction.
const SECONDS: f64 = 0.25;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> std::result::Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(run)
}

fn run() -> std::result::Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let names: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let seconds = if has("--test") { 0.0 } else { SECONDS };
    let mut table = String::from(
        "# Multiples of the time of a 3x3 convolution: module, forward, training step; the benchmark \
         `modules` writes this.\n",
    );
    eprintln!(
        "{:<28}{:>10}{:>10}{:>10}{:>10}",
        "module", "forward ms", "of conv", "step ms", "of conv"
    );
    for entry in entries() {
        if !names.is_empty() && !names.iter().any(|n| *n == entry.name) {
            continue;
        }
        let [forward, step] = measure(entry, seconds)?;
        let name = entry.name;
        eprintln!(
            "{name:<28}{:>10.3}{:>10.2}{:>10.3}{:>10.2}",
            1e3 * forward[0],
            forward[0] / forward[1],
            1e3 * step[0],
            step[0] / step[1]
        );
        let (forward, step) = (forward[0] / forward[1], step[0] / step[1]);
        writeln!(table, "{name}\t{forward:.2}\t{step:.2}")?;
    }
    if has("--write") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/modules/costs.tsv");
        fs::write(path, table)?;
    }
    Ok(())
}

/// Seconds of the module and of the convolution: forward, and a training step.
fn measure(entry: &Entry, seconds: f64) -> Result<[[f64; 2]; 2]> {
    let level = current_level()?;
    let module = entry.build_str(entry.typical.config, &VarBuilder::seeded(0))?;
    let first = entry.typical.inputs.first().copied().unwrap_or_default();
    let channels = first.get(1).copied().unwrap_or(1);
    let conv = Conv2dConfig::new(channels, channels, 3)
        .padding(1)
        .bias(false)
        .build(&VarBuilder::seeded(0))?;
    let pieces: [&dyn Catalogued; 2] = [&*module, &conv];

    let given = [inputs(entry, 1)?, vec![plane(first, 1)?]];
    let mut failed = Ok(());
    let forward = rounds::measure(level, seconds, 2, |i| {
        let run = || no_grad(|| pieces[i].run(&given[i]));
        let outputs = evaluating(pieces[i], run);
        failed = outputs.map(|y| drop(black_box(y)));
    });
    failed?;

    let given = [inputs(entry, 2)?, vec![plane(first, 2)?]];
    let mut failed = Ok(());
    let step = rounds::measure(level, seconds, 2, |i| {
        failed = train(pieces[i], &given[i]);
    });
    failed?;
    Ok([
        [forward.best[0], forward.best[1]],
        [step.best[0], step.best[1]],
    ])
}

/// Random inputs with as many images; those that are regions lie on the first input.
fn inputs(entry: &Entry, images: usize) -> Result<Vec<Tensor>> {
    let mut random = Philox::new(0);
    let first = entry.typical.inputs.first().copied().unwrap_or_default();
    let config: Value = serde_json::from_str(entry.typical.config).unwrap_or_default();
    let scale = config["spatial_scale"].as_f64().unwrap_or(1.0) as f32;
    let input = |&shape: &&[usize]| match (shape, first) {
        ([count, 5], [_, _, height, width]) => {
            let mut place = |size: usize| random.uniform() * size as f32 / scale;
            let region = |_| {
                let (x, y) = (
                    [place(*width), place(*width)],
                    [place(*height), place(*height)],
                );
                [
                    0.0,
                    x[0].min(x[1]),
                    y[0].min(y[1]),
                    x[0].max(x[1]),
                    y[0].max(y[1]),
                ]
            };
            let regions: Vec<f32> = (0..*count).flat_map(region).collect();
            Tensor::from_vec(regions, shape)
        }
        _ => {
            let mut shape = shape.to_vec();
            if shape.first() == first.first() {
                shape[0] *= images;
            }
            Tensor::randn(shape, &mut random)
        }
    };
    entry.typical.inputs.iter().map(input).collect()
}

/// An image with as many places as the module's first input.
fn plane(shape: &[usize], images: usize) -> Result<Tensor> {
    let (channels, places) = match shape {
        [_, c, places @ ..] => (*c, places),
        _ => (1, shape),
    };
    let [rows @ .., width] = places else {
        return Tensor::randn([images, channels, 1, 1], &mut Philox::new(0));
    };
    let height = rows.iter().product::<usize>();
    Tensor::randn(
        [images * shape[0], channels, height, *width],
        &mut Philox::new(0),
    )
}

fn train(module: &dyn Catalogued, inputs: &[Tensor]) -> Result<()> {
    // Regions have no gradient.
    let leaf = |x: &Tensor| match x.shape() {
        [_, 5] => Ok(x.clone()),
        _ => x.requires_grad(true),
    };
    let leaves = inputs.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let outputs = module.run(&leaves)?;
    let mut sum: Option<Tensor> = None;
    for y in &outputs {
        let one = y.sum_all()?;
        sum = Some(match sum {
            Some(sum) => sum.add(&one)?,
            None => one,
        });
    }
    if let Some(sum) = sum {
        black_box(sum.backward()?);
    }
    Ok(())
}
