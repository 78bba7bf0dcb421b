//! Convolutions and transposed ones: the forward pass with packed weights and both gradients, over the layers on which
//! engines are compared.
//!
//! ```text
//! cargo bench -p striate-benches --bench conv -- [words] [--levels LEVELS] [--threads COUNTS] [--seconds S] [--test]
//! cargo bench -p striate-benches --bench conv -- --candidates    every algorithm, predicted and measured
//! cargo bench -p striate-benches --bench conv -- --assert        fails if the choice is not the fastest
//! cargo bench -p striate-benches --bench conv -- --shapes FILE   of a file in the form of shapes/zoo.txt
//! ```
//!
//! Words select rows that contain all of them; `--test` runs each once, on one of the levels in turn and the last of the
//! counts of threads. With `--candidates` and `--assert` the layers of well-known networks come to the others, and every way
//! to compute each pass is measured, on one thread; of a file's convolutions, nothing else is.

use std::path::PathBuf;
use striate_benches::convolutions::{Convolution, listed, suite, transposed, zoo};
use striate_benches::rounds::measure;
use striate_kernels::epilogue::Epilogue;
use striate_kernels::geometry::Layout;
use striate_kernels::ways::{Pass, Prepared, Problem, Way};
use striate_kernels::{KernelError, conv_transpose2d, conv2d};
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
    shapes: Option<PathBuf>,
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
            shapes: None,
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
                "--shapes" => {
                    options.shapes = Some(value()?.into());
                    options.candidates = true;
                }
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
    let name = chosen(problem, level).map_or_else(String::new, |way| way.name());
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
    let forward = chosen(problem, level).ok_or("no way to go forward")?;
    let forward = forward.prepare(&operands.weight)?;
    let measured = measure(level, options.seconds, selected.len(), |piece| {
        let o = &mut operands;
        check(match selected[piece] {
            "forward" => forward.run([&o.x, &o.weight], &mut o.y),
            pass => run(problem, pass, level, o),
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

/// The forward pass that a layer takes.
fn chosen(problem: &Problem, level: Level) -> Option<Way> {
    let mut ways = problem.ways(level, Pass::Forward).into_iter();
    ways.find(|way| way.chosen)
}

/// A pass with weights that are packed for it.
fn run(
    problem: &Problem,
    pass: &str,
    level: Level,
    o: &mut Operands,
) -> std::result::Result<(), KernelError> {
    let epilogue = &Epilogue::NONE;
    match (problem, pass) {
        (Problem::Plain(g, _), "dx") => {
            conv2d::backward_input(level, g, &o.dy, &o.weight, &mut o.dx)
        }
        (Problem::Plain(g, Layout::Nhwc), "dw") => {
            conv2d::backward_weight(level, g, &o.x, &o.dy, &mut o.dweight)
        }
        (Problem::Plain(g, Layout::Nchw), "dw") => {
            conv2d::backward_weight_nchw(level, g, &o.x, &o.dy, &mut o.dweight)
        }
        (Problem::Transposed(g), "dx") => {
            conv_transpose2d::backward_input(level, g, &o.dy, &o.weight, &mut o.dx)
        }
        (Problem::Transposed(g), "dw") => {
            conv_transpose2d::backward_weight(level, g, &o.x, &o.dy, &mut o.dweight)
        }
        _ => {
            match problem {
                Problem::Plain(g, Layout::Nhwc) => {
                    conv2d::forward(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                }
                Problem::Plain(g, Layout::Nchw) => {
                    conv2d::forward_nchw(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                }
                Problem::Transposed(g) => {
                    conv_transpose2d::forward(level, g, &o.x, &o.weight, epilogue, &mut o.y)
                }
            }?;
            run(problem, "dx", level, o)?;
            run(problem, "dw", level, o)
        }
    }
}

/// The ways that are not predicted to take many times as long as another.
fn hopeful(ways: Vec<Way>) -> Vec<Way> {
    let cycles = ways.iter().map(|way| way.cycles);
    let most = HOPELESS * cycles.fold(f64::MAX, f64::min);
    let hopeful = ways.into_iter().filter(|way| way.cycles <= most);
    hopeful.collect()
}

/// What is measured was given lengths that fit.
fn check(result: std::result::Result<(), KernelError>) {
    result.expect("lengths that fit");
}

/// Measures every way to compute the passes of a layer, on one thread.
fn all_candidates(options: &Options) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut wrong, mut choices) = (Vec::new(), 0);
    let rows: Vec<Row> = match &options.shapes {
        Some(file) => listed(file)?.into_iter().map(Row::from).collect(),
        None => {
            let networks = zoo()?.into_iter().map(Row::from);
            engines()?.into_iter().chain(networks).collect()
        }
    };
    let passes = [
        ("forward", Pass::Forward),
        ("dx", Pass::InputGradient),
        ("dw", Pass::WeightGradient),
    ];
    for (number, row) in rows.iter().enumerate() {
        for &level in options.levels_of(number) {
            for (name, pass) in passes {
                let label = format!("{:26} {level} {name}", row.name);
                if !options.selects(&label) {
                    continue;
                }
                let ways = hopeful(row.problem.ways(level, pass));
                if ways.len() < 2 && !options.test {
                    continue;
                }
                choices += 1;
                let lost = pool.install(|| lost(options, &label, row, level, pass, &ways))?;
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

/// How many times as long as the fastest way the chosen one takes.
fn lost(
    options: &Options,
    label: &str,
    row: &Row,
    level: Level,
    pass: Pass,
    ways: &[Way],
) -> Result<f64> {
    let [a, b, out] = row.problem.lens(pass);
    let (a, b) = (Buffer::filled(a, 0.5)?, Buffer::filled(b, 0.25)?);
    let mut out = Buffer::zeroed(out)?;
    let prepared: std::result::Result<Vec<Prepared>, _> =
        ways.iter().map(|way| way.prepare(&b)).collect();
    let prepared = prepared?;
    let mut lost = f64::MAX;
    for attempt in 0..ATTEMPTS {
        let seconds = options.seconds * (1 << attempt) as f64;
        let measured = measure(level, seconds, ways.len(), |piece| {
            check(prepared[piece].run([&a, &b], &mut out));
        });
        let times = || ways.iter().zip(&measured.median);
        let fastest = measured.median.iter().copied().fold(f64::MAX, f64::min);
        if let Some((_, time)) = times().find(|(way, _)| way.chosen) {
            lost = lost.min(time / fastest);
        }
        if attempt == 0 {
            let cycle = 4.0 * level.lanes() as f64 / (1e3 * measured.peak);
            let peak = 1e9 * measured.peak;
            for (way, time) in times() {
                let share = 200.0 * row.problem.multiply_adds() / time / peak;
                eprintln!(
                    "{label:42} {}{:13} {:10.1} us, predicted {:10.1} us, {share:6.1} % of the peak",
                    if way.chosen { '*' } else { ' ' },
                    way.family(),
                    1e6 * time,
                    way.cycles * cycle,
                );
            }
        }
        if !options.assert || lost <= TOLERANCE {
            break;
        }
    }
    Ok(lost)
}
