//! `striate train`: trains a network, by default on the embedded digits.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use serde::Serialize;
use striate::kernels::parallel;
use striate::layers::{Loading, Module, VarBuilder, load_state_dict, parameter_count};
use striate::models::DEFAULT;
use striate::simd::Level;
use striate::train::checkpoint::load_weights;
use striate::train::config::TrainConfig;
use striate::train::evaluate::evaluate;
use striate::train::history::EpochRecord;
use striate::train::loader::{Loader, Order};
use striate::train::optim::{Decay, OptimizerConfig, SgdConfig};
use striate::train::progress::{Bar, Observer, Plan, StepReport};
use striate::train::run::RunFolder;
use striate::train::schedule::Schedule;
use striate::train::trainer::{Outcome, Summary, Trainer};

use crate::args::count;
use crate::failure::Failure;
use crate::network::{Network, Slots};
use crate::output::{Output, grouped, note};
use crate::setup::Setup;
use crate::signal;
use crate::source::{DIGITS, Source};
use crate::task::{Task, View};

/// Where runs go unless told otherwise.
const RUNS: &str = "runs";
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 0.1;
const WEIGHT_DECAY: f64 = 5e-4;
const SIDE: usize = 64;

/// Train a network; with no options, the small ResNet with squeeze-and-excitation on the embedded digits
#[derive(Args, Debug)]
#[command(
    after_help = "The digits are put on a 32x32 canvas with random scale, shift and rotation. A folder of pictures is cut
into a part to train on and a part to test with unless it has the subfolders train and val (or test).

Ctrl-C finishes the step, writes a checkpoint and ends with exit code 1; --resume continues, and the final weights are
those of a run that was never interrupted, bit for bit. A second Ctrl-C stops at once.

Examples:
  striate train
  striate train --attention cbam --epochs 10 --out runs/cbam
  striate train --model seresnet20 --data ~/data/cifar-10-batches-bin
  striate train --weights runs/digits-001/weights.safetensors --graft 'layer3.*=cbam' --lr 0.01
  striate train --resume runs/digits-001"
)]
pub(crate) struct Train {
    /// The network: `striate models` lists them [default: seresnet_small]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    #[command(flatten)]
    slots: Slots,

    /// What to learn: `digits`, or a folder with MNIST, Fashion-MNIST or CIFAR-10 files, or with a subfolder of pictures
    /// for each class [default: digits]
    #[arg(long, value_name = "DATA")]
    data: Option<String>,

    /// Height and width that the pictures of a folder are brought to [default: 64]
    #[arg(long, value_name = "PIXELS", value_parser = count)]
    size: Option<NonZeroUsize>,

    /// Use only the first N pictures of each part, for a quick try
    #[arg(long, value_name = "N", value_parser = count)]
    limit: Option<NonZeroUsize>,

    /// How often every picture is seen [default: 20, or 10 for larger data sets]
    #[arg(long, value_name = "N", value_parser = count)]
    epochs: Option<NonZeroUsize>,

    /// Pictures a batch [default: 64]
    #[arg(long, value_name = "N", value_parser = count)]
    batch: Option<NonZeroUsize>,

    /// Batches whose gradients make a step together: steps of N times as many pictures in the memory of one batch
    /// [default: 1]
    #[arg(long, value_name = "N", value_parser = count)]
    accumulate: Option<NonZeroUsize>,

    /// Keep of each stage only its input and compute the rest again for the gradients: less memory, the same numbers
    #[arg(long)]
    checkpoint_activations: bool,

    /// The learning rate at the start, from where it goes down to 0 on a cosine [default: 0.1]
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    lr: Option<f64>,

    /// Leave the weights and the batch norms' statistics of a part as they are: the path of a layer, in which * stands for
    /// any characters of one name. For example layer1, features.*.conv; may be given several times
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,

    /// Mix each picture with another of its batch, and their labels; a share is drawn from Beta(ALPHA, ALPHA): 0.2 to 0.4
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    mixup: Option<f64>,

    /// Put a box of another picture of its batch into each picture, and share the label by area, drawn from
    /// Beta(ALPHA, ALPHA): 1. With --mixup, each batch gets one of the two
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true)]
    cutmix: Option<f64>,

    /// Average the weights over the steps, each time keeping this share of the average: 0.99 to 0.9999. The average is tested
    /// after each epoch and is the result
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    ema: Option<f64>,

    /// Decides all random numbers [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Start from these weights, of any kind that `striate run` takes. What they lack (a graft, another number of classes)
    /// starts anew
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    weights: Option<PathBuf>,

    /// The folder of the run [default: the next free runs/DATA-NNN]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Continue an interrupted run; without a folder, the one that --out names
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
}

/// A learning rate.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("must be a number above 0".to_owned()),
    }
}

/// The last line of a finished run.
#[derive(Serialize)]
struct Finished<'a> {
    test_accuracy: f64,
    test_loss: f64,
    test_images: u64,
    seconds: f64,
    images_per_second: f64,
    run: &'a Path,
    weights: &'a Path,
    model: &'a str,
    attention: Option<&'a str>,
    graft: &'a [String],
    epochs: u64,
    level: &'static str,
    threads: usize,
}

/// The last line of an interrupted run.
#[derive(Serialize)]
struct Interrupted<'a> {
    interrupted: bool,
    epoch: u64,
    step: u64,
    run: &'a Path,
    checkpoint: &'a Path,
}

impl Train {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let level = Level::selected().map_err(Failure::usage)?;
        match &self.resume {
            None => self.start(level, out),
            Some(folder) => self.resume(self.resumed(folder.as_deref())?, level, out),
        }
    }

    fn start(&self, level: Level, out: &mut Output) -> Result<(), Failure> {
        let network = Network {
            model: self.model.clone().unwrap_or_else(|| DEFAULT.to_owned()),
            slots: self.slots.clone(),
        };
        network.info()?;
        let data = self.data.as_deref().unwrap_or(DIGITS);
        let source = Source::detect(data)?;
        let config = self.config(&source);
        config.check().map_err(Failure::usage)?;
        let side = self.size.map_or(SIDE, NonZeroUsize::get);
        let limit = self.limit.map(NonZeroUsize::get);
        let task = Task::new(&source, side, limit)?;
        let folder = match &self.out {
            Some(folder) => folder.clone(),
            None => RunFolder::next(Path::new(RUNS), source.name())?,
        };
        let setup = Setup {
            network,
            data: absolute(data)?,
            side,
            limit,
            level: level.name().to_owned(),
            view: task.view.clone(),
        };
        let built = build(&setup, &task, config.seed)?;
        if let Some(weights) = &self.weights {
            start_from(weights, &built, &task, &config)?;
        }
        let kept = serde_json::to_value(&setup)?;
        let mut trainer = Trainer::start(&built, &task.data, config, kept, &folder)?;
        announce(&setup, &task, &built, level);
        finish(&mut trainer, &setup, &folder, level, out)
    }

    fn resume(&self, folder: &Path, level: Level, out: &mut Output) -> Result<(), Failure> {
        let (run, config) = RunFolder::open(folder)?;
        let setup = Setup::of(&run, &config)?;
        self.check_unchanged(&setup, &config.train)?;
        if setup.level != level.name() {
            note(format!(
                "the run was started at level {}, this is {level}: the weights will differ in their last bits",
                setup.level
            ));
        }
        let task = setup.task(self.data.as_deref())?;
        let built = build(&setup, &task, config.train.seed)?;
        let mut trainer = Trainer::resume(&built, &task.data, folder)?;
        announce(&setup, &task, &built, level);
        note(format!(
            "continuing {} after {} steps",
            folder.display(),
            trainer.step()
        ));
        finish(&mut trainer, &setup, folder, level, out)
    }

    /// The folder of `--resume`, or else of `--out`.
    fn resumed<'a>(&'a self, folder: Option<&'a Path>) -> Result<&'a Path, Failure> {
        match (folder, self.out.as_deref()) {
            (Some(a), Some(b)) if a != b => Err(Failure::usage(format!(
                "--resume continues {} in place, it cannot go to {}",
                a.display(),
                b.display()
            ))),
            (Some(folder), _) | (None, Some(folder)) => Ok(folder),
            (None, None) => Err(Failure::usage(
                "--resume needs the folder of a run: --resume RUN",
            )),
        }
    }

    fn config(&self, source: &Source) -> TrainConfig {
        let is_small = *source == Source::Digits || matches!(source, Source::Pictures(_));
        let epochs = self
            .epochs
            .map_or(if is_small { 20 } else { 10 }, NonZeroUsize::get);
        let sgd = SgdConfig {
            nesterov: true,
            weight_decay: WEIGHT_DECAY,
            decay: Decay::Weights,
            ..SgdConfig::default()
        };
        TrainConfig {
            epochs: epochs as u64,
            batch_size: self.batch.map_or(BATCH, NonZeroUsize::get),
            accumulate: self.accumulate.map_or(1, NonZeroUsize::get),
            checkpoint_activations: self.checkpoint_activations,
            ema: self.ema,
            freeze: self.freeze.clone(),
            mixup: self.mixup,
            cutmix: self.cutmix,
            seed: self.seed.unwrap_or(0),
            optimizer: OptimizerConfig::Sgd(sgd),
            schedule: Schedule::cosine(self.lr.unwrap_or(LEARNING_RATE)),
            ..TrainConfig::new(LEARNING_RATE)
        }
    }

    /// Options of a resume that contradict the run's are a mistake: the run has its own.
    fn check_unchanged(&self, setup: &Setup, config: &TrainConfig) -> Result<(), Failure> {
        let text = |n: usize| n.to_string();
        let number = |n: Option<NonZeroUsize>| n.map(|n| text(n.get()));
        let grafts = |all: &[String]| (!all.is_empty()).then(|| all.join(" --graft "));
        let real = |x: Option<f64>| x.map(|x| x.to_string());
        let own = |x: Option<f64>| real(x).unwrap_or_else(|| "none".to_owned());
        let network = &setup.network;
        let pairs = [
            ("model", self.model.clone(), network.model.clone()),
            (
                "attention",
                self.slots.attention.clone(),
                network
                    .slots
                    .attention
                    .clone()
                    .unwrap_or_else(|| "its model's own".to_owned()),
            ),
            (
                "graft",
                grafts(&self.slots.graft),
                grafts(&network.slots.graft).unwrap_or_else(|| "none".to_owned()),
            ),
            ("size", number(self.size), text(setup.side)),
            (
                "limit",
                number(self.limit),
                setup.limit.map_or_else(|| "none".to_owned(), text),
            ),
            ("epochs", number(self.epochs), config.epochs.to_string()),
            ("batch", number(self.batch), text(config.batch_size)),
            (
                "accumulate",
                number(self.accumulate),
                text(config.accumulate),
            ),
            (
                "lr",
                self.lr.map(|lr| lr.to_string()),
                config.schedule.base.to_string(),
            ),
            ("ema", real(self.ema), own(config.ema)),
            ("mixup", real(self.mixup), own(config.mixup)),
            ("cutmix", real(self.cutmix), own(config.cutmix)),
            (
                "seed",
                self.seed.map(|seed| seed.to_string()),
                config.seed.to_string(),
            ),
        ];
        if self.checkpoint_activations && !config.checkpoint_activations {
            return Err(Failure::usage(
                "--checkpoint-activations: the run was started without it, and continues so",
            ));
        }
        if !self.freeze.is_empty() && self.freeze != config.freeze {
            return Err(Failure::usage(
                "--freeze: the run was started with other frozen parts, and continues with them",
            ));
        }
        for (option, asked, own) in pairs {
            if let Some(asked) = asked.filter(|asked| *asked != own) {
                return Err(Failure::usage(format!(
                    "--{option} {asked}: the run was started with {own}, and continues with it"
                )));
            }
        }
        Ok(())
    }
}

fn build(setup: &Setup, task: &Task, seed: u64) -> Result<Box<dyn Module>, Failure> {
    let classes = task.data.train.classes().len();
    setup
        .network
        .build(setup.view.channels, classes, &VarBuilder::seeded(seed))
}

/// Loads weights and tells what they lack and what they are worth before anything is learned.
fn start_from(
    weights: &Path,
    network: &dyn Module,
    task: &Task,
    config: &TrainConfig,
) -> Result<(), Failure> {
    let file = weights.display();
    let loaded = load_weights(weights)?;
    let report = load_state_dict(network, &loaded.state_dict, Loading::Lenient)?;
    if report.loaded.is_empty() {
        return Err(Failure::work(format!("{file}: nothing fits: {report}")));
    }
    note(format!("from {file}: {loaded}; {report}"));
    let (test, transform) = (task.data.test.clone(), task.data.test_transform.clone());
    let loader = Loader::new(
        test,
        transform,
        config.batch_size,
        Order::Sequential,
        config.seed,
    )?;
    if let Some(test) = evaluate(network, &loader, &|| false)? {
        note(format!(
            "test accuracy before training: {:.2} %",
            100.0 * test.accuracy
        ));
    }
    Ok(())
}

/// The data's path as it is found from anywhere.
fn absolute(data: &str) -> Result<String, Failure> {
    if data == DIGITS {
        return Ok(data.to_owned());
    }
    let path = std::fs::canonicalize(data)
        .map_err(|e| Failure::usage(format!("cannot read {data}: {e}")))?;
    let text = path.into_os_string().into_string();
    text.map_err(|_| Failure::usage(format!("the path of {data} is not Unicode")))
}

fn announce(setup: &Setup, task: &Task, network: &dyn Module, level: Level) {
    let View {
        channels,
        size: [h, w],
        ..
    } = &setup.view;
    let (train, test) = (task.data.train.len() as u64, task.data.test.len() as u64);
    note(format!(
        "{}, {} parameters; {} pictures to train on, {} to test with, as {channels}x{h}x{w}; {level}, {} threads",
        setup.network.title(),
        grouped(parameter_count(network) as u64),
        grouped(train),
        grouped(test),
        parallel::threads(),
    ));
}

fn finish(
    trainer: &mut Trainer<'_>,
    setup: &Setup,
    folder: &Path,
    level: Level,
    out: &mut Output,
) -> Result<(), Failure> {
    let stop = signal::stop_flag();
    let mut progress = Progress {
        bar: Bar::new(),
        out,
        failure: None,
    };
    let outcome = trainer.run(&|| stop.load(Ordering::SeqCst), &mut progress);
    let written = progress.failure.take();
    match outcome? {
        Outcome::Finished(summary) => {
            written.map_or(Ok(()), Err)?;
            report(&summary, setup, trainer.history().len() as u64, level, out)
        }
        Outcome::Interrupted {
            epoch,
            step,
            checkpoint,
        } => {
            let checkpoint = &checkpoint;
            out.object(&Interrupted {
                interrupted: true,
                epoch,
                step,
                run: folder,
                checkpoint,
            })?;
            let folder = folder.display();
            Err(Failure::work(format!(
                "interrupted after {step} steps, nothing is lost; continue with: striate train --resume {folder}"
            )))
        }
    }
}

/// The progress bar, and with `--json` an object for each epoch.
struct Progress<'a> {
    bar: Bar,
    out: &'a mut Output,
    failure: Option<Failure>,
}

impl Observer for Progress<'_> {
    fn start(&mut self, plan: &Plan) {
        self.bar.start(plan);
    }

    fn step(&mut self, report: &StepReport) {
        self.bar.step(report);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.bar.epoch(record);
        // A full disk behind standard output must not cost the run: it is told at the end.
        if let Err(failure) = self.out.object(record) {
            self.failure.get_or_insert(failure);
        }
    }

    fn finish(&mut self) {
        self.bar.finish();
    }
}

fn report(
    summary: &Summary,
    setup: &Setup,
    epochs: u64,
    level: Level,
    out: &mut Output,
) -> Result<(), Failure> {
    let Summary {
        test,
        seconds,
        images_per_second,
        run,
        weights,
    } = summary;
    let test_images = test.confusion.total();
    out.object(&Finished {
        test_accuracy: test.accuracy,
        test_loss: test.loss,
        test_images,
        seconds: *seconds,
        images_per_second: *images_per_second,
        run,
        weights,
        model: &setup.network.model,
        attention: setup.network.slots.attention.as_deref(),
        graft: &setup.network.slots.graft,
        epochs,
        level: level.name(),
        threads: parallel::threads(),
    })?;
    let right = (test.accuracy * test_images as f64).round() as u64;
    let run = run.display();
    for (name, value) in [
        (
            "test accuracy",
            format!("{:.2} % ({right} of {test_images})", 100.0 * test.accuracy),
        ),
        ("time", format!("{seconds:.1} s")),
        (
            "speed",
            format!("{} images per second", grouped(*images_per_second as u64)),
        ),
        (
            "written to",
            format!("{run}: weights.safetensors, curves.svg, confusion.svg, metrics.jsonl"),
        ),
        ("next", format!("striate predict {run} IMAGE --explain")),
    ] {
        out.text(format!("{name:<15}{value}"))?;
    }
    Ok(())
}
