//! Convolutions: the forward pass with packed weights and both gradients, over the layers on which engines
//! are compared.
//!
//! ```text
//! cargo bench -p striate-benches --bench conv -- [words] [--levels LEVELS] [--threads COUNTS] [--seconds S] [--test]
//! cargo bench -p striate-benches --bench conv -- --candidates    every algorithm, predicted and measured
//! cargo bench -p striate-benches --bench conv -- --assert        fails if the choice is not the fastest
//! ```
//!
//! Words select rows that contain all of them; `--test` runs each once, on one of the levels in turn and the last of the
//! counts of threads. With `--candidates` and `--assert` the layers of well-known networks come to the others, and only the
//! forward pass is measured.

use striate_benches::convolutions::{Convolution, suite, zoo};
use striate_benches::rounds::measure;
use striate_kernels::conv2d::{
    Candidate, Conv2dGeometry, PackedWeights, backward_input, backward_weight,
    backward_weight_nchw, candidates, choose, forward, forward_nchw,
};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::geometry::Layout;
use striate_kernels::{Accuracy, KernelError};
use striate_simd::{Buffer, Level};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the chosen algorithm may take longer than the fastest.
const TOLERANCE: f64 = 1.10;

/// Algorithms that are predicted to take so many times as long as the fastest are not measured.
const HOPELESS: f64 = 5.0;

/// Measurements of a choice before it is called wrong: another process may have had the machine.
const ATTEMPTS: usize = 3;

struct Options {
    words: Vec<String>,
    levels: Vec<Level>,
    threads: Vec<usize>,
    /// For one row.
    seconds: f64,
    test: bool,
    candidates: bool,
    assert: bool,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            words: Vec::new(),
            levels: Level::available(),
            threads: vec![1, 2],
            seconds: 0.1,
            test: false,
            candidates: false,
            assert: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--levels" => {
                    let levels = value()?;
                    options.levels = levels
                        .split(',')
                        .map(Level::parse)
                        .collect::<std::result::Result<_, _>>()?;
                }
                "--threads" => {
                    let counts = value()?;
                    options.threads = counts
                        .split(',')
                        .map(str::parse)
                        .collect::<std::result::Result<_, _>>()?;
                }
                "--seconds" => options.seconds = value()?.parse()?,
                // As other benchmarks understand it: does it run?
                "--test" => (options.test, options.seconds) = (true, 0.0),
                "--candidates" => options.candidates = true,
                "--assert" => (options.candidates, options.assert) = (true, true),
                // Cargo's own.
                "--bench" => {}
                flag if flag.starts_with('-') => return Err(format!("{flag} is unknown").into()),
                _ => options.words.push(argument),
            }
        }
        if options.test {
            options
                .threads
                .drain(..options.threads.len().saturating_sub(1));
        }
        Ok(options)
    }

    /// The levels that row number `row` is measured on.
    fn levels_of(&self, row: usize) -> &[Level] {
        match self.levels.len() {
            count if self.test && count > 0 => &self.levels[row % count..][..1],
            _ => &self.levels,
        }
    }

    fn selects(&self, row: &str) -> bool {
        self.words.iter().all(|word| row.contains(word.as_str()))
    }
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if options.candidates {
        return all_candidates(&options);
    }
    eprintln!(
        "best runs; the peak is that of as many cores as there are threads, measured in between"
    );
    for &threads in &options.threads {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?;
        for (row, convolution) in suite()?.iter().enumerate() {
            for &level in options.levels_of(row) {
                pool.install(|| passes(&options, convolution, level, threads))?;
            }
        }
    }
    Ok(())
}

/// The passes that are measured, each a row.
const PASSES: [&str; 4] = ["forward", "dx", "dw", "forward+backward"];

/// Measures the passes of one convolution.
fn passes(
    options: &Options,
    convolution: &Convolution,
    level: Level,
    threads: usize,
) -> Result<()> {
    let (g, input) = (&convolution.geometry, convolution.input());
    let name = choose(g, input, level, Accuracy::Fast).name(g, level);
    let row = |pass: &str| {
        format!(
            "{:24} {name:44} {pass:16} {threads} thread(s)",
            convolution.name
        )
    };
    let selected: Vec<&str> = PASSES
        .into_iter()
        .filter(|&pass| pass != "forward+backward" || convolution.trained)
        .filter(|pass| options.selects(&row(pass)))
        .collect();
    if selected.is_empty() {
        return Ok(());
    }
    let mut operands = Operands::new(g)?;
    let packed = PackedWeights::new(level, g, input, &operands.weight)?;
    let measured = measure(level, options.seconds, selected.len(), |piece| {
        check(operands.run(selected[piece], level, g, &packed));
    });
    for (pass, seconds) in selected.iter().zip(&measured.best) {
        let products = if *pass == "forward+backward" {
            3.0
        } else {
            1.0
        };
        let rate = products * 2e-9 * g.multiply_adds() / seconds;
        let share = 100.0 * rate / (measured.peak * threads as f64);
        let time = 1e3 * seconds;
        eprintln!(
            "{} {time:9.3} ms {rate:8.1} GFLOP/s {share:6.1} %",
            row(pass)
        );
    }
    Ok(())
}

/// The operands of a convolution and room for its results, from where tensors have theirs.
struct Operands {
    x: Buffer<f32>,
    weight: Buffer<f32>,
    dy: Buffer<f32>,
    y: Buffer<f32>,
    dx: Buffer<f32>,
    dweight: Buffer<f32>,
}

impl Operands {
    fn new(g: &Conv2dGeometry) -> Result<Self> {
        Ok(Self {
            x: Buffer::filled(g.x_len(), 0.5)?,
            weight: Buffer::filled(g.weight_len(), 0.25)?,
            dy: Buffer::filled(g.y_len(), 0.125)?,
            y: Buffer::zeroed(g.y_len())?,
            dx: Buffer::zeroed(g.x_len())?,
            dweight: Buffer::zeroed(g.weight_len())?,
        })
    }

    fn run(
        &mut self,
        pass: &str,
        level: Level,
        g: &Conv2dGeometry,
        packed: &PackedWeights,
    ) -> std::result::Result<(), KernelError> {
        let channels_last = packed.input() == Layout::Nhwc;
        let epilogue = &Epilogue::NONE;
        match pass {
            "forward" => packed.forward(g, &self.x, epilogue, &mut self.y),
            "dx" => backward_input(level, g, &self.dy, &self.weight, &mut self.dx),
            "dw" => {
                let gradient = if channels_last {
                    backward_weight
                } else {
                    backward_weight_nchw
                };
                gradient(level, g, &self.x, &self.dy, &mut self.dweight)
            }
            _ => {
                let forward = if channels_last { forward } else { forward_nchw };
                forward(level, g, &self.x, &self.weight, epilogue, &mut self.y)?;
                self.run("dx", level, g, packed)?;
                self.run("dw", level, g, packed)
            }
        }
    }
}

/// What is measured was given lengths that fit.
fn check(result: std::result::Result<(), KernelError>) {
    result.expect("lengths that fit");
}

/// Measures every algorithm that accepts a convolution, on one thread.
fn all_candidates(options: &Options) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut wrong, mut choices) = (Vec::new(), 0);
    for (row, convolution) in suite()?.iter().chain(&zoo()?).enumerate() {
        for &level in options.levels_of(row) {
            let row = format!("{:26} {level}", convolution.name);
            if !options.selects(&row) {
                continue;
            }
            choices += 1;
            let mut lost = f64::MAX;
            for attempt in 0..ATTEMPTS {
                let seconds = options.seconds * (1 << attempt) as f64;
                let print = attempt == 0;
                let now = pool.install(|| compare(&row, convolution, level, seconds, print))?;
                lost = lost.min(now);
                if !options.assert || lost <= TOLERANCE {
                    break;
                }
            }
            if lost > TOLERANCE {
                wrong.push(format!("{row}: {lost:.2} times the fastest"));
            }
        }
    }
    eprintln!(
        "{} of {choices} choices take more than {TOLERANCE:.2} times as long as the fastest",
        wrong.len()
    );
    for choice in &wrong {
        eprintln!("{choice}");
    }
    if options.assert && !wrong.is_empty() {
        return Err("the choice is not the fastest".into());
    }
    Ok(())
}

/// Measures the algorithms for one convolution and returns how many times as long as the fastest the
/// chosen one takes.
fn compare(
    row: &str,
    convolution: &Convolution,
    level: Level,
    seconds: f64,
    print: bool,
) -> Result<f64> {
    let (g, input) = (&convolution.geometry, convolution.input());
    let mut candidates = candidates(level, g, input);
    let predicted = |c: &Candidate| c.cycles;
    let least = candidates.iter().map(predicted).fold(f64::MAX, f64::min);
    candidates.retain(|c| c.cycles <= HOPELESS * least);
    let chosen = choose(g, input, level, Accuracy::Fast);
    let operands = Operands::new(g)?;
    let mut y = Buffer::zeroed(g.y_len())?;
    let packed = candidates
        .iter()
        .map(|c| PackedWeights::with_algorithm(level, g, input, &operands.weight, c.algorithm))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let measured = measure(level, seconds, packed.len(), |piece| {
        check(packed[piece].forward(g, &operands.x, &Epilogue::NONE, &mut y));
    });
    let fastest = measured.best.iter().copied().fold(f64::MAX, f64::min);
    let mut lost = f64::MAX;
    for (candidate, &best) in candidates.iter().zip(&measured.best) {
        let is_chosen = candidate.algorithm == chosen;
        if is_chosen {
            lost = best / fastest;
        }
        if print {
            let cycles = 4.0 * level.lanes() as f64 / (1e3 * measured.peak);
            let share = 2e-7 * g.multiply_adds() / best / measured.peak;
            eprintln!(
                "{row:34} {}{:13} {:10.1} us, predicted {:10.1} us, {share:6.1} % of the peak",
                if is_chosen { '*' } else { ' ' },
                candidate.algorithm.family(),
                1e6 * best,
                candidate.cycles * cycles,
            );
        }
    }
    Ok(lost)
}
