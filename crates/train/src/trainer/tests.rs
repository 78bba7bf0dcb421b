use std::cell::Cell;
use std::fs;

use striate_layers::{
    Activation, BatchNormConfig, Conv2dConfig, Dropout, GlobalAvgPool, LinearConfig, Sequential,
    VarBuilder,
};
use striate_tensor::Tensor;

use super::*;
use crate::augment::{Affine, Pipeline};
use crate::checkpoint::load_weights;
use crate::data::{Sample, Subset, digits};
use crate::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use crate::schedule::Schedule;

fn network(seed: u64) -> Sequential {
    let vb = VarBuilder::seeded(seed);
    let conv = |i, o| Conv2dConfig::new(i, o, 3).padding(1).stride(2).bias(false);
    let build = || -> striate_tensor::Result<Sequential> {
        Ok(Sequential::new()
            .push_named("conv1", conv(1, 8).build(&(&vb / "conv1"))?)
            .push_named("bn1", BatchNormConfig::new(8).build_2d(&(&vb / "bn1"))?)
            .push_named("relu1", Activation::Relu)
            .push_named("drop", Dropout::new(0.2, &vb)?)
            .push_named("conv2", conv(8, 16).build(&(&vb / "conv2"))?)
            .push_named("relu2", Activation::Relu)
            .push_named("mean", GlobalAvgPool)
            .push_named("fc", LinearConfig::new(16, 10).build(&(&vb / "fc"))?))
    };
    build().unwrap()
}

fn part(of: Subset, count: usize) -> Arc<dyn Dataset> {
    Arc::new(Subset::new(Arc::new(of), (0..count).collect()).unwrap())
}

fn data() -> Data {
    let (train, held) = digits::split().unwrap();
    let warp = Affine::canvas([12, 12])
        .scale(1.0, 1.6)
        .rotation(20.0)
        .shift(0.1);
    Data {
        train: part(train, 100),
        train_transform: Arc::new(Pipeline::new().then(warp)),
        test: part(held, 50),
        test_transform: Arc::new(Pipeline::new().then(Affine::canvas([12, 12]).scale(1.3, 1.3))),
    }
}

/// Three epochs of six steps.
fn config() -> TrainConfig {
    TrainConfig {
        epochs: 3,
        batch_size: 16,
        seed: 5,
        schedule: Schedule::cosine(0.1).warm_up(1),
        label_smoothing: 0.1,
        clip_norm: Some(1.0),
        optimizer: OptimizerConfig::Sgd(SgdConfig {
            weight_decay: 1e-3,
            ..SgdConfig::default()
        }),
        ..TrainConfig::new(0.1)
    }
}

fn setup() -> serde_json::Value {
    serde_json::json!({ "model": "test" })
}

/// What a run leaves: the bits of its weights, and its epochs.
type Trace = (Vec<(String, Vec<u64>)>, Vec<EpochRecord>);

fn trace(model: &dyn Module, trainer: &Trainer<'_>) -> Trace {
    let bits = |t: &Tensor| match t.to_vec::<f32>() {
        Ok(v) => v.into_iter().map(|v| u64::from(v.to_bits())).collect(),
        Err(_) => t
            .to_vec::<i64>()
            .unwrap()
            .into_iter()
            .map(|v| v as u64)
            .collect(),
    };
    let weights = state_dict(model)
        .iter()
        .map(|(n, t)| (n.to_owned(), bits(t)))
        .collect();
    (weights, trainer.history().to_vec())
}

fn assert_same(a: &Trace, b: &Trace) {
    assert_eq!(a.0, b.0, "the weights");
    assert_eq!(a.1.len(), b.1.len());
    for (a, b) in a.1.iter().zip(&b.1) {
        assert!(a.same_numbers(b), "{a:?} {b:?}");
    }
}

fn uninterrupted(folder: &Path, config: TrainConfig) -> Trace {
    let model = network(1);
    let mut trainer = Trainer::start(&model, &data(), config, setup(), folder).unwrap();
    let outcome = trainer.run(&|| false, &mut ()).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    trace(&model, &trainer)
}

/// Stops after so many questions, as often as told, each time going on in a model that starts with other weights.
fn interrupted(folder: &Path, config: TrainConfig, stops: &[u64]) -> Trace {
    let model = network(1);
    let mut trainer = Trainer::start(&model, &data(), config, setup(), folder).unwrap();
    let mut resumed;
    for (i, &questions) in stops.iter().enumerate() {
        let left = Cell::new(questions);
        let stop = || left.replace(left.get().saturating_sub(1)) == 0;
        match trainer.run(&stop, &mut ()).unwrap() {
            Outcome::Interrupted {
                step, checkpoint, ..
            } => {
                assert_eq!(step, trainer.step());
                assert!(checkpoint.is_file());
            }
            finished @ Outcome::Finished(_) => panic!("not stopped: {finished:?}"),
        }
        drop(trainer);
        resumed = network(100 + i as u64);
        trainer = Trainer::resume(Box::leak(Box::new(resumed)), &data(), folder).unwrap();
    }
    trainer.run(&|| false, &mut ()).unwrap();
    trace(trainer.model, &trainer)
}

fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(f)
}

#[test]
fn an_interrupted_run_ends_as_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let adamw = OptimizerConfig::AdamW(AdamWConfig::default());
    let adamw = TrainConfig {
        optimizer: adamw,
        schedule: Schedule::cosine(0.01),
        ..config()
    };
    // The six steps of an epoch are then of two batches each.
    let accumulated = TrainConfig {
        batch_size: 8,
        accumulate: 2,
        ..config()
    };
    let averaged = TrainConfig {
        ema: Some(0.8),
        ..config()
    };
    let mixed = TrainConfig {
        mixup: Some(0.4),
        cutmix: Some(1.0),
        ..accumulated.clone()
    };
    let frozen = TrainConfig {
        freeze: vec!["conv1".to_owned(), "bn1".to_owned()],
        ..config()
    };
    let configs = [config(), adamw, accumulated, averaged, mixed, frozen];
    for (i, config) in configs.into_iter().enumerate() {
        let at = |name: &str| folder.path().join(format!("{name}-{i}"));
        let whole = uninterrupted(&at("whole"), config.clone());
        let result = |name: &str| fs::read(at(name).join("weights.safetensors")).unwrap();
        // Six steps and four test batches (or seven) an epoch: stops in steps, in tests and between.
        for (j, stops) in [&[0][..], &[3], &[6], &[8], &[10, 0, 0, 7], &[25]]
            .iter()
            .enumerate()
        {
            let name = format!("stopped-{j}");
            assert_same(&interrupted(&at(&name), config.clone(), stops), &whole);
            assert!(
                result(&name) == result("whole"),
                "the weights that are left"
            );
            for file in [
                "weights.safetensors",
                "checkpoints/best.safetensors",
                "metrics.jsonl",
            ] {
                assert!(at(&name).join(file).is_file(), "{file}");
            }
        }
        assert_same(
            &on_threads(1, || uninterrupted(&at("one"), config.clone())),
            &whole,
        );
        assert_same(
            &on_threads(2, || uninterrupted(&at("two"), config.clone())),
            &whole,
        );
        let mixed = on_threads(1, || interrupted(&at("mixed"), config.clone(), &[4, 5]));
        assert_same(&mixed, &whole);
    }
}

#[test]
fn a_killed_run_repeats_what_its_checkpoint_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let whole = uninterrupted(&folder.path().join("whole"), config());
    let path = folder.path().join("killed");
    let model = network(1);
    let every = TrainConfig {
        checkpoint_every: Some(5),
        ..config()
    };
    let mut trainer = Trainer::start(&model, &data(), every, setup(), &path).unwrap();
    let left = Cell::new(14);
    let outcome = trainer
        .run(&|| left.replace(left.get() - 1) == 0, &mut ())
        .unwrap();
    assert!(
        matches!(outcome, Outcome::Interrupted { step: 10, .. }),
        "{outcome:?}"
    );
    let checkpoint = fs::read(path.join("checkpoints/last.safetensors")).unwrap();
    trainer.run(&|| false, &mut ()).unwrap();
    // The files of the later epochs are there, the checkpoint is the old one.
    fs::write(path.join("checkpoints/last.safetensors"), checkpoint).unwrap();
    let again = network(9);
    let mut trainer = Trainer::resume(&again, &data(), &path).unwrap();
    assert_eq!((trainer.step(), trainer.history().len()), (10, 1));
    let lines = || {
        fs::read_to_string(path.join("metrics.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(lines(), 1);
    trainer.run(&|| false, &mut ()).unwrap();
    assert_eq!(lines(), 3);
    assert_same(&trace(&again, &trainer), &whole);
}

#[test]
fn a_finished_run_leaves_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = network(1);
    #[derive(Default)]
    struct Log {
        plan: Option<Plan>,
        steps: Vec<StepReport>,
        epochs: Vec<EpochRecord>,
        finished: bool,
    }
    impl Observer for Log {
        fn start(&mut self, plan: &Plan) {
            self.plan = Some(*plan);
        }
        fn step(&mut self, report: &StepReport) {
            self.steps.push(*report);
        }
        fn epoch(&mut self, record: &EpochRecord) {
            self.epochs.push(record.clone());
        }
        fn finish(&mut self) {
            self.finished = true;
        }
    }
    let mut log = Log::default();
    let mut trainer = Trainer::start(&model, &data(), config(), setup(), &path).unwrap();
    let Outcome::Finished(summary) = trainer.run(&|| false, &mut log).unwrap() else {
        panic!("nobody stopped it");
    };
    let length = Length {
        epochs: 3,
        steps_per_epoch: 6,
    };
    assert_eq!(log.plan, Some(Plan { length, step: 0 }));
    assert!(log.steps.iter().map(|s| s.step).eq(1..=18) && log.finished);
    assert_eq!(log.epochs, trainer.history());
    let last = &log.epochs[2];
    assert_eq!((last.epoch, last.step), (3, 18));
    assert_eq!(last.test_accuracy, summary.test.accuracy);
    assert_eq!(summary.test.confusion.total(), 50);
    assert!((log.steps[17].mean_loss - last.train_loss).abs() < 1e-12);
    assert!(
        log.epochs[2].train_loss < log.epochs[0].train_loss,
        "it learns"
    );

    let own = state_dict(&model);
    let weights = load_weights(&summary.weights).unwrap();
    let from_checkpoint = load_weights(&path.join("checkpoints/last.safetensors")).unwrap();
    assert_eq!(from_checkpoint.unwrapped, ["model"]);
    for dict in [weights.state_dict, from_checkpoint.state_dict] {
        assert_eq!(dict.len(), own.len());
        let fresh = network(7);
        load_state_dict(&fresh, &dict, Loading::Strict).unwrap();
        let (_, test) = loaders(&data(), &config()).unwrap();
        let again = evaluate(&fresh, &test, &|| false).unwrap().unwrap();
        assert_eq!(again, summary.test);
    }
    for file in [
        "config.json",
        "metrics.jsonl",
        "curves.svg",
        "confusion.svg",
    ] {
        assert!(path.join(file).is_file(), "{file}");
    }
    // A resume of what is finished trains no more, and says the same.
    let other = network(3);
    let mut resumed = Trainer::resume(&other, &data(), &path).unwrap();
    let Outcome::Finished(second) = resumed.run(&|| false, &mut ()).unwrap() else {
        panic!("nobody stopped it");
    };
    assert_eq!(second.test, summary.test);
}

#[test]
fn frozen_norms_stay_frozen_through_a_test() {
    let model = network(1);
    let modes = |model: &dyn Module| {
        let mut modes = Vec::new();
        striate_layers::module::walk(model, &mut |_, part| {
            if let striate_layers::module::Part::Mode(mode) = part {
                modes.push(mode.training());
            }
        });
        modes
    };
    let mut first = true;
    striate_layers::module::walk(&model, &mut |_, part| {
        if let striate_layers::module::Part::Mode(mode) = part {
            mode.set(!std::mem::take(&mut first));
        }
    });
    let before = modes(&model);
    assert_eq!(before, [false, true]);
    let (_, test) = loaders(&data(), &config()).unwrap();
    evaluate(&model, &test, &|| false).unwrap();
    check_fit(&model, &test).unwrap();
    assert_eq!(modes(&model), before);
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    uninterrupted(&path, config());
    let model = network(8);
    let before = state_dict(&model)
        .get("fc.weight")
        .unwrap()
        .to_vec::<f32>()
        .unwrap();
    let expect = |data: &Data, part: &str| {
        let message = Trainer::resume(&model, data, &path)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(part) && !message.contains('\n'),
            "{message}"
        );
        let after = state_dict(&model)
            .get("fc.weight")
            .unwrap()
            .to_vec::<f32>()
            .unwrap();
        assert_eq!(before, after);
    };
    let good = data();
    let other = Data {
        test_transform: good.train_transform.clone(),
        ..good.clone()
    };
    expect(&other, "written by a run on other data");
    let (train, _) = digits::split().unwrap();
    let moved = Arc::new(Subset::new(Arc::new(train), (1..101).collect()).unwrap());
    expect(
        &Data {
            train: moved,
            ..good.clone()
        },
        "written by a run on other data",
    );

    let last = path.join("checkpoints/last.safetensors");
    let bytes = fs::read(&last).unwrap();
    for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&last, &bytes[..cut]).unwrap();
        expect(&good, "last.safetensors: ");
    }
    fs::copy(path.join("weights.safetensors"), &last).unwrap();
    expect(&good, "no checkpoint: its metadata lacks");
    fs::remove_file(&last).unwrap();
    expect(&good, "cannot read ");

    let edit = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains(from), "{from}");
        // Same length, so that all offsets hold; bytes, since the tensors are no text.
        assert_eq!(from.len(), to.len());
        let at = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut edited = bytes.clone();
        edited[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&last, edited).unwrap();
    };
    edit("\\\"batch_size\\\":16", "\\\"batch_size\\\":17");
    expect(&good, "batch_size 17, this run has 16");
    edit("{\\\"version\\\":1", "{\\\"version\\\":7");
    expect(&good, "checkpoint version 7");
    edit(
        "\\\"epoch\\\":3,\\\"batch\\\":0",
        "\\\"epoch\\\":3,\\\"batch\\\":5",
    );
    expect(&good, "epoch 3, batch 5 of 6 cannot be");
    edit("model.fc.weight", "model.fc.heavyy");
    expect(&good, "fc.weight");
    edit("optimizer.fc.bias.step", "optimizer.fc.bias.stop");
    expect(&good, "fc.bias.step is missing");
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = network(1);
    let expect = |data: &Data, config: TrainConfig, part: &str| {
        let error = Trainer::start(&model, data, config, setup(), &path).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!path.exists());
    };
    expect(
        &data(),
        TrainConfig {
            batch_size: 0,
            ..config()
        },
        "batch size: 0",
    );
    let plain: Arc<dyn Transform> = Arc::new(Pipeline::new());
    expect(
        &Data {
            test_transform: plain,
            ..data()
        },
        config(),
        "images to train on are [1, 12, 12]",
    );
    let colours = crate::data::cifar10::parse(&[0; 3073]).unwrap();
    let colours: Arc<dyn Dataset> = Arc::new(colours);
    expect(
        &Data {
            test: colours.clone(),
            ..data()
        },
        config(),
        "different classes",
    );
    let both = Data {
        train: colours.clone(),
        test: colours,
        ..data()
    };
    expect(&both, config(), "conv1");
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = network(1);
    let wild = TrainConfig {
        schedule: Schedule::constant(1e30),
        clip_norm: None,
        ..config()
    };
    let mut trainer = Trainer::start(&model, &data(), wild, setup(), &path).unwrap();
    let before = fs::read(path.join("checkpoints/last.safetensors")).unwrap();
    let message = trainer.run(&|| false, &mut ()).unwrap_err().to_string();
    assert!(
        message.starts_with("the loss is ") && message.contains(" at step "),
        "{message}"
    );
    assert_eq!(
        fs::read(path.join("checkpoints/last.safetensors")).unwrap(),
        before
    );
}

/// Fails on its second reading of a sample.
#[derive(Debug)]
struct Failing(Arc<dyn Dataset>, std::sync::atomic::AtomicU32);

impl Dataset for Failing {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn image_size(&self) -> [usize; 2] {
        self.0.image_size()
    }
    fn channels(&self) -> usize {
        self.0.channels()
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn label(&self, index: usize) -> Result<usize> {
        self.0.label(index)
    }
    fn get(&self, index: usize) -> Result<Sample> {
        // Early in the second epoch.
        if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 150 {
            return Err(Error::Mismatch("the disk is gone".to_owned()));
        }
        self.0.get(index)
    }
}

#[test]
fn an_unreadable_sample_ends_the_run_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let whole = uninterrupted(&folder.path().join("whole"), config());
    let good = data();
    let failing = Arc::new(Failing(good.train.clone(), 0.into()));
    let model = network(1);
    let broken = Data {
        train: failing,
        ..good.clone()
    };
    let mut trainer = Trainer::start(&model, &broken, config(), setup(), &path).unwrap();
    let message = trainer.run(&|| false, &mut ()).unwrap_err().to_string();
    assert_eq!(message, "the disk is gone");
    let again = network(2);
    let mut trainer = Trainer::resume(&again, &good, &path).unwrap();
    assert!(trainer.step() > 6, "{}", trainer.step());
    trainer.run(&|| false, &mut ()).unwrap();
    assert_same(&trace(&again, &trainer), &whole);
}

/// Neither batch norm nor dropout, which see a batch and not its samples.
fn smooth_network() -> Sequential {
    let vb = VarBuilder::seeded(4);
    let conv = |i, o| Conv2dConfig::new(i, o, 3).padding(1).stride(2);
    let build = || -> striate_tensor::Result<Sequential> {
        Ok(Sequential::new()
            .push(conv(1, 8).build(&(&vb / 0))?)
            .push(Activation::Silu)
            .push(conv(8, 16).build(&(&vb / 1))?)
            .push(Activation::Silu)
            .push(GlobalAvgPool)
            .push(LinearConfig::new(16, 10).build(&(&vb / 2))?))
    };
    build().unwrap()
}

/// The largest difference, in units of the largest value.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |m, v| m.max(v.abs()));
    largest(&mut a.iter().zip(b).map(|(a, b)| a - b)) / largest(&mut b.iter().copied())
}

#[test]
fn small_batches_together_are_a_large_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = |batch_size, accumulate| {
        let model = smooth_network();
        let config = TrainConfig {
            batch_size,
            accumulate,
            ..config()
        };
        let path = folder.path().join(format!("{batch_size}x{accumulate}"));
        let mut trainer = Trainer::start(&model, &data(), config, setup(), &path).unwrap();
        trainer.run(&|| false, &mut ()).unwrap();
        (
            all_parameters(&model),
            trainer.step(),
            trainer.history().to_vec(),
        )
    };
    let (large, steps, history) = run(32, 1);
    assert_eq!(steps, 9);
    for (batch, accumulate) in [(16, 2), (8, 4)] {
        let (small, own_steps, own) = run(batch, accumulate);
        assert_eq!(own_steps, steps);
        assert!(
            distance(&small, &large) < 1e-5,
            "{batch}: {}",
            distance(&small, &large)
        );
        for (a, b) in own.iter().zip(&history) {
            assert!((a.train_loss - b.train_loss).abs() < 1e-5);
            assert_eq!(a.step, b.step);
        }
    }
    let (other, ..) = run(8, 3);
    assert!(distance(&other, &large) > 1e-3, "another number of steps");
}

#[test]
fn the_last_step_of_an_epoch_is_the_mean_of_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        batch_size: 8,
        accumulate: 5,
        epochs: 1,
        clip_norm: None,
        label_smoothing: 0.0,
        ..config()
    };
    let model = smooth_network();
    let path = folder.path().join("run");
    let mut trainer = Trainer::start(&model, &data(), config.clone(), setup(), &path).unwrap();
    trainer.run(&|| false, &mut ()).unwrap();
    assert_eq!(trainer.step(), 3);

    // Twelve batches: steps on 40, 40 and 16 samples.
    let expected = smooth_network();
    let mut optimizer = Optimizer::new(&expected, config.optimizer).unwrap();
    let (train, _) = loaders(&data(), &config).unwrap();
    let batches: Vec<_> = train.epoch(0, 0).unwrap().map(Result::unwrap).collect();
    let length = Length {
        epochs: 1,
        steps_per_epoch: 3,
    };
    for (step, group) in batches.chunks(5).enumerate() {
        let images: Vec<&Tensor> = group.iter().map(|b| &b.images).collect();
        let labels: Vec<&Tensor> = group.iter().map(|b| &b.labels).collect();
        let scores = expected.forward(&Tensor::cat(&images, 0).unwrap()).unwrap();
        let labels = Tensor::cat(&labels, 0).unwrap();
        let loss = scores.cross_entropy(&labels, 0.0).unwrap();
        let rate = config.schedule.rate(step as u64, length);
        optimizer.step(&loss.backward().unwrap(), rate).unwrap();
    }
    let (a, b) = (all_parameters(&model), all_parameters(&expected));
    assert!(distance(&a, &b) < 1e-5, "{}", distance(&a, &b));
}

#[test]
fn activations_computed_again_leave_the_weights_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let again = TrainConfig {
        checkpoint_activations: true,
        ..config()
    };
    let path = folder.path().join("refused");
    let model = network(1);
    let error = Trainer::start(&model, &data(), again.clone(), setup(), &path).unwrap_err();
    assert!(error.to_string().starts_with("checkpoint activations: "));
    assert!(!path.exists());
    let run = |config: TrainConfig, name: &str| {
        let model = striate_layers::Checkpointed::off(network(1));
        let path = folder.path().join(name);
        let mut trainer = Trainer::start(&model, &data(), config, setup(), &path).unwrap();
        trainer.run(&|| false, &mut ()).unwrap();
        trace(&model, &trainer)
    };
    assert_same(&run(again, "again"), &run(config(), "plain"));
}

#[test]
fn averaged_weights_are_what_is_tested_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let averaged = TrainConfig {
        ema: Some(0.8),
        ..config()
    };
    let model = network(1);
    let mut trainer = Trainer::start(&model, &data(), averaged, setup(), &path).unwrap();
    let Outcome::Finished(summary) = trainer.run(&|| false, &mut ()).unwrap() else {
        panic!("nobody stopped it");
    };
    let (_, test) = loaders(&data(), &config()).unwrap();
    for file in ["weights.safetensors", "checkpoints/last.safetensors"] {
        let left = load_weights(&path.join(file)).unwrap();
        let fresh = network(7);
        load_state_dict(&fresh, &left.state_dict, Loading::Strict).unwrap();
        let again = evaluate(&fresh, &test, &|| false).unwrap().unwrap();
        assert_eq!(again, summary.test, "{file}");
        let far = distance(&all_parameters(&fresh), &all_parameters(&model));
        assert!(far > 1e-4, "not the weights of the last step: {far}");
    }
    let last = load_weights(&path.join("checkpoints/last.safetensors")).unwrap();
    assert_eq!(last.unwrapped, ["ema"]);
    // Training itself goes as without.
    let plain = uninterrupted(&folder.path().join("plain"), config());
    assert_eq!(trace(&model, &trainer).0, plain.0);

    let last = path.join("checkpoints/last.safetensors");
    let bytes = fs::read(&last).unwrap();
    let at = bytes
        .windows(13)
        .position(|w| w == b"ema.fc.weight")
        .unwrap();
    let mut edited = bytes.clone();
    edited[at..at + 13].copy_from_slice(b"ema.fc.heavyy");
    fs::write(&last, edited).unwrap();
    let error = Trainer::resume(&model, &data(), &path).unwrap_err();
    assert!(error.to_string().contains("fc.weight differs"), "{error}");
}

fn all_parameters(model: &dyn Module) -> Vec<f32> {
    let parameters = named_parameters(model);
    let read = |(_, p): &(String, striate_layers::Parameter)| p.tensor().to_vec::<f32>().unwrap();
    parameters.iter().flat_map(read).collect()
}

#[test]
fn mixing_changes_what_is_learnt_and_smoothing_joins_in() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, mixup, label_smoothing| {
        let config = TrainConfig {
            mixup,
            label_smoothing,
            ..config()
        };
        uninterrupted(&folder.path().join(name), config)
    };
    let (plain, mixed) = (run("plain", None, 0.1), run("mixed", Some(0.4), 0.1));
    let sharp = run("sharp", Some(0.4), 0.0);
    assert_ne!(plain.0, mixed.0);
    assert_ne!(sharp.0, mixed.0);
    assert_same(&run("again", Some(0.4), 0.1), &mixed);
    let [first, .., last] = &mixed.1[..] else {
        panic!("three epochs");
    };
    assert!(last.train_loss < first.train_loss, "it learns");
}

#[test]
fn frozen_parts_stay_and_cost_no_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let frozen = TrainConfig {
        freeze: vec!["conv1".to_owned(), "bn*".to_owned()],
        ..config()
    };
    let model = network(1);
    let before = state_dict(&model);
    let images = Tensor::zeros([2, 1, 12, 12], striate_tensor::DType::F32).unwrap();
    let all = model.forward(&images).unwrap().graph().nodes.len();
    let path = folder.path().join("run");
    let mut trainer = Trainer::start(&model, &data(), frozen, setup(), &path).unwrap();
    load_state_dict(&model, &before, Loading::Strict).unwrap();
    let recorded = model.forward(&images).unwrap().graph().nodes;
    assert_eq!(recorded[0].path.as_deref(), Some("conv2"), "{recorded:?}");
    assert!(recorded.len() < all);
    trainer.run(&|| false, &mut ()).unwrap();
    for (name, tensor) in state_dict(&model) {
        let was = before.get(&name).unwrap();
        let numbers = |t: &Tensor| {
            let t = t.to_dtype(striate_tensor::DType::F64).unwrap();
            t.to_vec::<f64>().unwrap()
        };
        let stays = name.starts_with("conv1") || name.starts_with("bn1");
        assert_eq!(numbers(was) == numbers(&tensor), stays, "{name}");
    }
    for (patterns, part) in [
        (
            &["conv"][..],
            "freeze: no parameter lies below \"conv\"; nearest: conv",
        ),
        (&["*"], "freeze: nothing is left to train"),
    ] {
        let config = TrainConfig {
            freeze: patterns.iter().map(|&p| p.to_owned()).collect(),
            ..config()
        };
        let path = folder.path().join("refused");
        let error = Trainer::start(&network(1), &data(), config, setup(), &path)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
        assert!(!path.exists());
    }
}
