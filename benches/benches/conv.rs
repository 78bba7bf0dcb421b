//! Convolutions and transposed ones: the forward pass with packed weights and both gradients, over the layers on which
//! engines are compared.
//!
//! ```text
//! cargo bench -p striate-benches --bench conv -- [words] [--levels LEVELS] [--threads COUNTS] [--seconds S] [--test]
//! cargo bench -p striate-benches --bench conv -- --candidates    every algorithm, predicted and measured
//! cargo bench -p striate-benches --bench conv -- --assert        fails if the choice is not the fastest
//! ```
//!
//! Words select rows that contain all of them; `--test` runs each once, on one of the levels in turn and the last of the
//! counts of threads. With `--candidates` and `--assert` the layers of well-known networks come to the others, and the forward
//! pass and the gradient of the input are measured, on one thread.

use striate_benches::convolutions::{Convolution, suite, transposed, zoo};
use striate_benches::rounds::measure;
use striate_kernels::conv_transpose2d::{self, ConvTranspose2dGeometry};
use striate_kernels::conv2d::{self, Candidate, Conv2dGeometry};
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
        for (number, row) in engines()?.iter().enumerate() {
            for &level in options.levels_of(number) {
                pool.install(|| passes(&options, row, level, threads))?;
            }
        }
    }
    Ok(())
}

/// A convolution of either direction.
enum Problem {
    Plain(Conv2dGeometry, Layout),
    Transposed(ConvTranspose2dGeometry),
}

/// A layer that is measured.
struct Row {
    name: String,
    problem: Problem,
    trained: bool,
}

impl From<Convolution> for Row {
    fn from(convolution: Convolution) -> Self {
        let input = convolution.input();
        Self {
            name: convolution.name,
            problem: Problem::Plain(convolution.geometry, input),
            trained: convolution.trained,
        }
    }
}

/// The layers on which engines are compared.
fn engines() -> Result<Vec<Row>> {
    let transposed = transposed()?.into_iter().map(|convolution| Row {
        name: convolution.name,
        problem: Problem::Transposed(convolution.geometry),
        trained: convolution.trained,
    });
    Ok(suite()?
        .into_iter()
        .map(Row::from)
        .chain(transposed)
        .collect())
}

/// The passes that are measured, each a row.
const PASSES: [&str; 4] = ["forward", "dx", "dw", "forward+backward"];

/// Measures the passes of one layer.
fn passes(options: &Options, row: &Row, level: Level, threads: usize) -> Result<()> {
    let problem = &row.problem;
    let name = problem.implementation(level);
    let label = |pass: &str| format!("{:24} {name:44} {pass:16} {threads} thread(s)", row.name);
    let selected: Vec<&str> = PASSES
        .into_iter()
        .filter(|&pass| pass != "forward+backward" || row.trained)
        .filter(|pass| options.selects(&label(pass)))
        .collect();
    if selected.is_empty() {
        return Ok(());
    }
    let mut operands = Operands::new(problem)?;
    let forward = problem.packed(level, &operands.weight)?;
    let measured = measure(level, options.seconds, selected.len(), |piece| {
        check(match selected[piece] {
            "forward" => forward(&mut operands),
            pass => problem.run(pass, level, &mut operands),
        });
    });
    for (pass, seconds) in selected.iter().zip(&measured.best) {
        let products = if *pass == "forward+backward" {
            3.0
        } else {
            1.0
        };
        let rate = products * 2e-9 * problem.multiply_adds() / seconds;
        let share = 100.0 * rate / (measured.peak * threads as f64);
        let time = 1e3 * seconds;
        eprintln!(
            "{} {time:9.3} ms {rate:8.1} GFLOP/s {share:6.1} %",
            label(pass)
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
    fn new(problem: &Problem) -> Result<Self> {
        let [x, weight, y] = match problem {
            Problem::Plain(g, _) => [g.x_len(), g.weight_len(), g.y_len()],
            Problem::Transposed(g) => [g.x_len(), g.weight_len(), g.y_len()],
        };
        Ok(Self {
            x: Buffer::filled(x, 0.5)?,
            weight: Buffer::filled(weight, 0.25)?,
            dy: Buffer::filled(y, 0.125)?,
            y: Buffer::zeroed(y)?,
            dx: Buffer::zeroed(x)?,
            dweight: Buffer::zeroed(weight)?,
        })
    }
}

type Run = Box<dyn Fn(&mut Operands) -> std::result::Result<(), KernelError> + Send + Sync>;

/// A way to compute a pass.
struct Way {
    family: &'static str,
    cycles: f64,
    chosen: bool,
    run: Run,
}

impl Problem {
    fn multiply_adds(&self) -> f64 {
        match self {
            Self::Plain(g, _) => g.multiply_adds(),
            Self::Transposed(g) => g.multiply_adds(),
        }
    }

    /// The name of the forward pass.
    fn implementation(&self, level: Level) -> String {
        match self {
            Self::Plain(g, input) => {
                conv2d::choose(g, *input, level, Accuracy::Fast).name(g, level)
            }
            Self::Transposed(g) => {
                let algorithm = conv_transpose2d::choose(g, level, Accuracy::Fast);
                conv_transpose2d::name(algorithm, g, level)
            }
        }
    }

    /// The forward pass with weights that are packed now.
    fn packed(&self, level: Level, weight: &[f32]) -> std::result::Result<Run, KernelError> {
        Ok(match *self {
            Self::Plain(g, input) => {
                let packed = conv2d::PackedWeights::new(level, &g, input, weight)?;
                Box::new(move |o| packed.forward(&g, &o.x, &Epilogue::NONE, &mut o.y))
            }
            Self::Transposed(g) => {
                let packed = conv_transpose2d::PackedWeights::new(level, &g, weight)?;
                Box::new(move |o| packed.forward(&g, &o.x, &Epilogue::NONE, &mut o.y))
            }
        })
    }

    /// A pass with weights that are packed for it.
    fn run(
        &self,
        pass: &str,
        level: Level,
        o: &mut Operands,
    ) -> std::result::Result<(), KernelError> {
        let epilogue = &Epilogue::NONE;
        match (self, pass) {
            (Self::Plain(g, _), "dx") => {
                conv2d::backward_input(level, g, &o.dy, &o.weight, &mut o.dx)
            }
            (Self::Plain(g, Layout::Nhwc), "dw") => {
                conv2d::backward_weight(level, g, &o.x, &o.dy, &mut o.dweight)
            }
            (Self::Plain(g, Layout::Nchw), "dw") => {
                conv2d::backward_weight_nchw(level, g, &o.x, &o.dy, &mut o.dweight)
            }
            (Self::Transposed(g), "dx") => {
                conv_transpose2d::backward_input(level, g, &o.dy, &o.weight, &mut o.dx)
            }
            (Self::Transposed(g), "dw") => {
                conv_transpose2d::backward_weight(level, g, &o.x, &o.dy, &mut o.dweight)
            }
            _ => {
                match self {
                    Self::Plain(g, Layout::Nhwc) => {
                        conv2d::forward(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                    }
                    Self::Plain(g, Layout::Nchw) => {
                        conv2d::forward_nchw(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                    }
                    Self::Transposed(g) => {
                        conv_transpose2d::forward(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                    }
                }?;
                self.run("dx", level, o)?;
                self.run("dw", level, o)
            }
        }
    }

    /// The ways to compute the output, with packed weights.
    fn forward_ways(
        &self,
        level: Level,
        weight: &[f32],
    ) -> std::result::Result<Vec<Way>, KernelError> {
        match *self {
            Self::Plain(g, input) => {
                let chosen = conv2d::choose(&g, input, level, Accuracy::Fast);
                let way = |Candidate { algorithm, cycles }| {
                    let packed =
                        conv2d::PackedWeights::with_algorithm(level, &g, input, weight, algorithm)?;
                    Ok(Way {
                        family: algorithm.family(),
                        cycles,
                        chosen: algorithm == chosen,
                        run: Box::new(move |o| packed.forward(&g, &o.x, &Epilogue::NONE, &mut o.y)),
                    })
                };
                let candidates = hopeful(conv2d::candidates(level, &g, input));
                candidates.map(way).collect()
            }
            Self::Transposed(g) => {
                let chosen = conv_transpose2d::choose(&g, level, Accuracy::Fast);
                let way = |Candidate { algorithm, cycles }| {
                    let packed = conv_transpose2d::PackedWeights::with_algorithm(
                        level, &g, weight, algorithm,
                    )?;
                    Ok(Way {
                        family: algorithm.family(),
                        cycles,
                        chosen: algorithm == chosen,
                        run: Box::new(move |o| packed.forward(&g, &o.x, &Epilogue::NONE, &mut o.y)),
                    })
                };
                let candidates = hopeful(conv_transpose2d::candidates(level, &g));
                candidates.map(way).collect()
            }
        }
    }

    /// The ways to compute the gradient of the input, if it is not the forward pass of another convolution.
    fn gradient_ways(&self, level: Level) -> Vec<Way> {
        let Self::Plain(g, _) = *self else {
            return Vec::new();
        };
        let (candidates, chosen) = conv2d::gradient_candidates(level, &g);
        let way = |Candidate { algorithm, cycles }: Candidate<conv2d::GradientMethod>| Way {
            family: algorithm.family(),
            cycles,
            chosen: algorithm == chosen,
            run: Box::new(move |o| {
                conv2d::backward_input_by(level, &g, algorithm, &o.dy, &o.weight, &mut o.dx)
            }),
        };
        hopeful(candidates).map(way).collect()
    }
}

/// The candidates that are not predicted to take many times as long as another.
fn hopeful<A>(candidates: Vec<Candidate<A>>) -> impl Iterator<Item = Candidate<A>> {
    let cycles = candidates.iter().map(|candidate| candidate.cycles);
    let most = HOPELESS * cycles.fold(f64::MAX, f64::min);
    candidates
        .into_iter()
        .filter(move |candidate| candidate.cycles <= most)
}

/// What is measured was given lengths that fit.
fn check(result: std::result::Result<(), KernelError>) {
    result.expect("lengths that fit");
}

/// Measures every algorithm that accepts a layer, on one thread.
fn all_candidates(options: &Options) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut wrong, mut choices) = (Vec::new(), 0);
    let rows = engines()?
        .into_iter()
        .chain(zoo()?.into_iter().map(Row::from));
    for (number, row) in rows.enumerate() {
        for &level in options.levels_of(number) {
            for pass in ["forward", "dx"] {
                let label = format!("{:26} {level} {pass}", row.name);
                if !options.selects(&label) {
                    continue;
                }
                let mut operands = Operands::new(&row.problem)?;
                let ways = match pass {
                    "forward" => row.problem.forward_ways(level, &operands.weight)?,
                    _ => row.problem.gradient_ways(level),
                };
                if ways.is_empty() {
                    continue;
                }
                choices += 1;
                let mut lost = f64::MAX;
                for attempt in 0..ATTEMPTS {
                    let seconds = options.seconds * (1 << attempt) as f64;
                    let label = (attempt == 0).then_some(&label[..]);
                    let now = pool.install(|| {
                        compare(
                            label,
                            row.problem.multiply_adds(),
                            &ways,
                            &mut operands,
                            level,
                            seconds,
                        )
                    });
                    lost = lost.min(now);
                    if !options.assert || lost <= TOLERANCE {
                        break;
                    }
                }
                if lost > TOLERANCE {
                    wrong.push(format!("{label}: {lost:.2} times the fastest"));
                }
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

/// Measures the ways to compute a pass, prints them behind `label`, and returns how many times as long as the
/// fastest the chosen one takes.
fn compare(
    label: Option<&str>,
    multiply_adds: f64,
    ways: &[Way],
    operands: &mut Operands,
    level: Level,
    seconds: f64,
) -> f64 {
    let measured = measure(level, seconds, ways.len(), |piece| {
        check((ways[piece].run)(operands));
    });
    let fastest = measured.best.iter().copied().fold(f64::MAX, f64::min);
    let mut lost = f64::MAX;
    for (way, &best) in ways.iter().zip(&measured.best) {
        if way.chosen {
            lost = best / fastest;
        }
        if let Some(label) = label {
            let cycles = 4.0 * level.lanes() as f64 / (1e3 * measured.peak);
            let share = 2e-7 * multiply_adds / best / measured.peak;
            eprintln!(
                "{label:42} {}{:13} {:10.1} us, predicted {:10.1} us, {share:6.1} % of the peak",
                if way.chosen { '*' } else { ' ' },
                way.family,
                1e6 * best,
                way.cycles * cycles,
            );
        }
    }
    lost
}
