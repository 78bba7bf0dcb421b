//! `striate bench`: how long a network or a convolution takes.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use striate::autograd::profile;
use striate::kernels::conv2d::PackedWeights;
use striate::kernels::epilogue::Epilogue;
use striate::kernels::{parallel, peak};
use striate::layers::{self, Module, VarBuilder, set_training};
use striate::models::DEFAULT;
use striate::simd::{Level, memory};
use striate::train::optim::{Optimizer, OptimizerConfig, SgdConfig};
use striate::{Buffer, DType, Philox, Tensor, no_grad, with_level};

use crate::args::count;
use crate::args::seconds;
use crate::convolution::Convolution;
use crate::dims::{self, joined};
use crate::failure::Failure;
use crate::machine;
use crate::network::{Network, Slots};
use crate::output::{Output, table};

/// Runs that are not counted, and the least number that is.
const WARM_UP: usize = 3;
const LEAST: usize = 5;

/// Measure how long a network or a convolution takes, at one SIMD level or at each
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The time is the median over the runs. The rate counts a multiply-add as two operations (a training step's is that of its
forward pass alone), the peak is what as many cores as there are threads could do at that level.

Examples:
  striate bench resnet50 --batch 8 --size 160 --threads 1 --layers
  striate bench --mode train --every-level
  striate bench conv2d 1x64x56x56 --out 64 --kernel 3 --padding 1 --every-level --json"
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    op: Option<Op>,

    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Subcommand)]
enum Op {
    /// Measure the forward pass of a 2-D convolution with packed weights
    Conv2d {
        #[command(flatten)]
        convolution: Convolution,

        #[command(flatten)]
        how: How,
    },
}

#[derive(Args, Debug)]
struct NetworkArgs {
    /// The network: `striate models` lists them
    #[arg(value_name = "MODEL", default_value = DEFAULT)]
    model: String,

    #[command(flatten)]
    slots: Slots,

    /// How many images at once
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    batch: NonZeroUsize,

    /// How large they are, N or HxW [default: what the network is meant for]
    #[arg(long, value_name = "N", value_parser = dims::pair)]
    size: Option<[usize; 2]>,

    /// The forward pass, or a training step: forward, backward and the optimizer
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,

    /// Tell the time of each layer's forward pass too
    #[arg(long)]
    layers: bool,

    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[default]
    Infer,
    Train,
}

#[derive(Args, Debug)]
struct How {
    /// Measure for about this long at each level
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,

    /// The SIMD level: portable, avx2, avx512 or neon [default: the selected one]
    #[arg(long, value_name = "LEVEL", conflicts_with = "every_level")]
    level: Option<String>,

    /// Measure every SIMD level of this machine
    #[arg(long)]
    every_level: bool,
}

#[derive(Serialize)]
struct Measured<'a> {
    what: &'a str,
    input: &'a [usize],
    pass: &'static str,
    level: &'static str,
    threads: usize,
    median_ms: f64,
    fastest_ms: f64,
    runs: usize,
    images_per_second: f64,
    gflops: f64,
    /// Of what as many cores as there are threads could do, measured right after.
    share_of_peak: f64,
    /// The most memory in use by tensors and workspaces.
    peak_bytes: usize,
    /// Where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    page_faults_per_run: Option<f64>,
}

#[derive(Serialize)]
struct LayerTold<'a> {
    layer: &'a str,
    level: &'static str,
    median_ms: f64,
}

/// What was measured.
struct Runs {
    /// Shortest first.
    times: Vec<Duration>,
    page_faults: Option<u64>,
    peak_bytes: usize,
}

impl Bench {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        match &self.op {
            Some(Op::Conv2d { convolution, how }) => bench_conv2d(convolution, how, out),
            None => self.network.bench(out),
        }
    }
}

impl How {
    fn levels(&self) -> Result<Vec<Level>, Failure> {
        if self.every_level {
            return Ok(Level::available());
        }
        let level = match &self.level {
            Some(name) => name.parse(),
            None => Level::selected(),
        };
        Ok(vec![level.map_err(Failure::usage)?])
    }

    /// Runs `work` again and again.
    fn time(&self, mut work: impl FnMut() -> Result<(), Failure>) -> Result<Runs, Failure> {
        for _ in 0..WARM_UP {
            work()?;
        }
        memory::reset_peak();
        let faults_before = machine::page_faults();
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < LEAST || start.elapsed() < self.seconds {
            let one = Instant::now();
            work()?;
            times.push(one.elapsed());
        }
        let page_faults = machine::page_faults().zip(faults_before);
        times.sort_unstable();
        Ok(Runs {
            times,
            page_faults: page_faults.map(|(after, before)| after - before),
            peak_bytes: memory::stats().peak,
        })
    }
}

impl NetworkArgs {
    fn bench(&self, out: &mut Output) -> Result<(), Failure> {
        let network = Network {
            model: self.model.clone(),
            slots: self.slots.clone(),
        };
        let training = self.mode == Mode::Train;
        if training && self.layers {
            return Err(Failure::usage(
                "--layers tells of the forward pass, not of --mode train",
            ));
        }
        let [channels, h, w] = network.info()?.input;
        let [h, w] = self.size.unwrap_or([h, w]);
        let input = [self.batch.get(), channels, h, w];
        let built = network.build(input[1], None, &VarBuilder::seeded(0))?;
        let multiply_adds = layers::summary(&built, &input)?.multiply_adds;
        let x = Tensor::randn(input, &mut Philox::new(0))?;
        for level in self.how.levels()? {
            let runs = with_level(level, || {
                if training {
                    self.time_training(&built, &x)
                } else {
                    self.time_forward(&built, &x)
                }
            })?;
            let pass = if training { "training step" } else { "forward" };
            report(
                &network.title(),
                &input,
                pass,
                level,
                multiply_adds,
                &runs,
                out,
            )?;
            if self.layers {
                with_level(level, || self.tell_layers(&built, &x, level, out))?;
            }
        }
        Ok(())
    }

    /// The median time of every layer, over as many runs as fit the time.
    fn tell_layers(
        &self,
        network: &dyn Module,
        x: &Tensor,
        level: Level,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut times: Vec<(Arc<str>, Vec<Duration>)> = Vec::new();
        self.how.time(|| {
            let (y, layers) = profile(|| no_grad(|| network.forward(x)));
            black_box(y?);
            for (i, layer) in layers.into_iter().enumerate() {
                match times.get_mut(i) {
                    Some((_, runs)) => runs.push(layer.own),
                    None => times.push((layer.path, vec![layer.own])),
                }
            }
            Ok(())
        })?;
        let mut rows = vec![["layer", "ms"].map(str::to_owned).to_vec()];
        for (path, mut runs) in times {
            runs.sort_unstable();
            let median_ms = 1e3 * runs[runs.len() / 2].as_secs_f64();
            let level = level.name();
            out.object(&LayerTold {
                layer: &path,
                level,
                median_ms,
            })?;
            rows.push(vec![path.to_string(), format!("{median_ms:.3}")]);
        }
        table(&rows).iter().try_for_each(|line| out.text(line))
    }

    fn time_forward(&self, network: &dyn Module, x: &Tensor) -> Result<Runs, Failure> {
        set_training(network, false);
        self.how.time(|| {
            black_box(no_grad(|| network.forward(x))?);
            Ok(())
        })
    }

    fn time_training(&self, network: &dyn Module, x: &Tensor) -> Result<Runs, Failure> {
        set_training(network, true);
        let labels = Tensor::zeros([x.shape()[0]], DType::I64)?;
        let mut optimizer = Optimizer::new(network, OptimizerConfig::Sgd(SgdConfig::default()))?;
        self.how.time(|| {
            let loss = network.forward(x)?.cross_entropy(&labels, 0.0)?;
            Ok(optimizer.step(&loss.backward()?, 1e-3)?)
        })
    }
}

fn bench_conv2d(convolution: &Convolution, how: &How, out: &mut Output) -> Result<(), Failure> {
    let g = convolution.geometry()?;
    let mut random = Philox::new(0);
    let mut draw = |len: usize| Tensor::randn([len], &mut random)?.to_vec::<f32>();
    // In memory that is aligned as a tensor's is.
    let x = Buffer::copy_of(&draw(g.x_len())?)?;
    let weight = draw(g.weight_len())?;
    let mut y = Buffer::<f32>::recycled(g.y_len())?;
    for level in how.levels()? {
        let packed = PackedWeights::new(level, &g, convolution.layout(), &weight)?;
        let name = packed.algorithm().name(&g, level);
        let runs = how.time(|| Ok(packed.forward(&g, &x, &Epilogue::NONE, &mut y)?))?;
        report(
            &name,
            &g.x_shape(),
            "forward",
            level,
            g.multiply_adds() as u64,
            &runs,
            out,
        )?;
    }
    Ok(())
}

fn report(
    what: &str,
    input: &[usize],
    pass: &'static str,
    level: Level,
    multiply_adds: u64,
    measured: &Runs,
    out: &mut Output,
) -> Result<(), Failure> {
    let times = &measured.times;
    let median = times[times.len() / 2].as_secs_f64().max(1e-9);
    let gflops = 2e-9 * multiply_adds as f64 / median;
    let measured = Measured {
        what,
        input,
        pass,
        level: level.name(),
        threads: parallel::threads(),
        median_ms: 1e3 * median,
        fastest_ms: 1e3 * times[0].as_secs_f64(),
        runs: times.len(),
        images_per_second: input[0] as f64 / median,
        gflops,
        share_of_peak: gflops / (peak::gflops(level) * parallel::threads() as f64),
        peak_bytes: measured.peak_bytes,
        page_faults_per_run: measured.page_faults.map(|f| f as f64 / times.len() as f64),
    };
    out.object(&measured)?;
    let Measured {
        median_ms,
        threads,
        runs,
        images_per_second,
        share_of_peak,
        ..
    } = measured;
    let input = joined(input);
    out.text(format!(
        "{what} {pass} {input}, {level}, {threads} {}: {median_ms:.3} ms (median of {runs}), \
         {images_per_second:.0} images/s, {gflops:.0} GFLOP/s, {:.0} % of the peak",
        if threads == 1 { "thread" } else { "threads" },
        100.0 * share_of_peak,
    ))
}
