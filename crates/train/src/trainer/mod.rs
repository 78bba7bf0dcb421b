//! The training loop.
//!
//! A [`Trainer`] takes a model and data through the epochs of a run, writes its [folder](crate::run), can be stopped between any two steps,
//! and continues from there such that nobody can tell from the weights that it was ever stopped: every random number is a
//! function of the seed and the step, and every sum of the order of the samples.

mod step;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use striate_layers::safetensors::{Metadata, to_bytes};
use striate_layers::{
    Loading, Module, freeze, load_state_dict, named_parameters, nearest, set_checkpointing,
    state_dict,
};

use crate::augment::Transform;
use crate::checkpoint::{self, Header, Position, VERSION};
use crate::config::TrainConfig;
use crate::data::Dataset;
use crate::ema::Ema;
use crate::error::{Error, Result, malformed};
use crate::evaluate::{Evaluation, check_fit, evaluate};
use crate::file;
use crate::history::EpochRecord;
use crate::loader::{Loader, Order};
use crate::optim::Optimizer;
use crate::progress::{Observer, Plan, StepReport};
use crate::run::{CONFIG_VERSION, RunConfig, RunFolder};
use crate::schedule::Length;

/// What to learn from, and what to test with.
#[derive(Clone, Debug)]
pub struct Data {
    /// The samples to learn from.
    pub train: Arc<dyn Dataset>,
    /// What is done to each of them, each time it is seen.
    pub train_transform: Arc<dyn Transform>,
    /// The samples held out. No other use is made of them than to measure.
    pub test: Arc<dyn Dataset>,
    /// What is done to them; it should draw no random numbers.
    pub test_transform: Arc<dyn Transform>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Summary),
    /// It was stopped; the checkpoint holds everything.
    Interrupted {
        /// Finished epochs.
        epoch: u64,
        /// Steps done since the start of the run.
        step: u64,
        /// Where a resume continues.
        checkpoint: PathBuf,
    },
}

/// What a finished run reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The test of the final weights, which are those of the last epoch and not chosen by any test.
    pub test: Evaluation,
    /// How long the training took, without the tests.
    pub seconds: f64,
    /// Samples trained on in a second.
    pub images_per_second: f64,
    /// The folder of the run.
    pub run: PathBuf,
    /// The final weights.
    pub weights: PathBuf,
}

/// A run at work.
#[derive(Debug)]
pub struct Trainer<'a> {
    model: &'a dyn Module,
    optimizer: Optimizer,
    /// What is tested and left, if not the model itself.
    ema: Option<Ema>,
    config: RunConfig,
    run: RunFolder,
    train: Loader,
    test: Loader,
    /// The data in words.
    described: String,
    position: Position,
}

impl<'a> Trainer<'a> {
    /// Starts a run in a new folder. `setup` is kept in `config.json` for whoever builds the model and the data again for a resume.
    ///
    /// # Errors
    /// When a setting has no meaning, model and data do not fit, or the folder holds a run already or cannot be written: no
    /// training has been done then.
    pub fn start(
        model: &'a dyn Module,
        data: &Data,
        config: TrainConfig,
        setup: serde_json::Value,
        folder: &Path,
    ) -> Result<Self> {
        let classes = data.train.classes().to_vec();
        let config = RunConfig {
            version: CONFIG_VERSION,
            setup,
            train: config,
            classes,
        };
        let (train, test) = loaders(data, &config.train)?;
        check_fit(model, &test)?;
        prepare(model, &config.train)?;
        let optimizer = Optimizer::new(model, config.train.optimizer)?;
        let ema = average(model, &config.train)?;
        let run = RunFolder::create(folder, &config)?;
        let described = describe(&train, &test)?;
        let position = Position::default();
        let trainer = Self {
            model,
            optimizer,
            ema,
            config,
            run,
            train,
            test,
            described,
            position,
        };
        // So that a run can be resumed whenever it was stopped.
        trainer.save(&trainer.run.last_path())?;
        Ok(trainer)
    }

    /// Continues the run of a folder with a model and data like those that it was started with; the model's weights are replaced
    /// by the checkpoint's.
    ///
    /// # Errors
    /// When the folder holds no run, or its checkpoint is damaged or was written by another model, data or setting: the model is
    /// unchanged then.
    pub fn resume(model: &'a dyn Module, data: &Data, folder: &Path) -> Result<Self> {
        let (run, config) = RunFolder::open(folder)?;
        if config.classes != data.train.classes() {
            let detail = malformed!("the run's classes are not those of the data");
            return Err(Error::malformed(&run.config_path(), detail));
        }
        let (train, test) = loaders(data, &config.train)?;
        check_fit(model, &test)?;
        let path = run.last_path();
        let found = checkpoint::load(&path)?;
        let refuse = |text: String| Error::malformed(&path, malformed!("{text}"));
        let steps = steps_per_epoch(&train, &config.train);
        let described = describe(&train, &test)?;
        let header = found.header;
        header
            .check(&config.train, &described, steps)
            .map_err(|e| Error::malformed(&path, e))?;
        prepare(model, &config.train)?;
        let mut optimizer = Optimizer::new(model, config.train.optimizer)?;
        optimizer
            .load_state_dict(&found.optimizer)
            .map_err(|e| refuse(e.to_string()))?;
        let mut ema = average(model, &config.train)?;
        match &mut ema {
            Some(ema) => ema
                .load_state_dict(&found.ema)
                .map_err(|e| refuse(e.to_string()))?,
            None if found.ema.is_empty() => {}
            None => return Err(refuse("it has averaged weights, the run has none".into())),
        }
        load_state_dict(model, &found.model, Loading::Strict).map_err(|e| refuse(e.to_string()))?;
        let position = header.position;
        // A run that was killed may have written more than its last checkpoint knows.
        run.write_metrics(&position.history)?;
        run.draw_curves(&position.history)?;
        Ok(Self {
            model,
            optimizer,
            ema,
            config,
            run,
            train,
            test,
            described,
            position,
        })
    }

    /// Trains until all epochs are done or `stop` says so. It is asked before each step; the step at work is finished, and a checkpoint
    /// written.
    ///
    /// # Errors
    /// When a sample cannot be read, the loss is no longer a finite number, or a file cannot be written. The last checkpoint
    /// stays.
    pub fn run(&mut self, stop: &dyn Fn() -> bool, observer: &mut dyn Observer) -> Result<Outcome> {
        observer.start(&Plan {
            length: self.length(),
            step: self.step(),
        });
        let outcome = self.run_epochs(stop, observer);
        observer.finish();
        outcome
    }

    /// The numbers of the finished epochs.
    pub fn history(&self) -> &[EpochRecord] {
        &self.position.history
    }

    /// The settings of the run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Steps done since the start of the run.
    pub fn step(&self) -> u64 {
        self.position.epoch * steps_per_epoch(&self.train, &self.config.train) + self.position.batch
    }

    fn length(&self) -> Length {
        let epochs = self.config.train.epochs;
        Length {
            epochs,
            steps_per_epoch: steps_per_epoch(&self.train, &self.config.train),
        }
    }

    fn run_epochs(
        &mut self,
        stop: &dyn Fn() -> bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let mut last_test = None;
        while self.position.epoch < self.config.train.epochs {
            if !self.train_epoch(stop, observer)? {
                return self.interrupted();
            }
            let Some(test) = self.evaluate(stop)? else {
                return self.interrupted();
            };
            self.end_epoch(&test, observer)?;
            last_test = Some(test);
        }
        let test = match last_test {
            Some(test) => test,
            // Everything was done before the resume.
            None => match self.evaluate(stop)? {
                Some(test) => test,
                None => return self.interrupted(),
            },
        };
        self.finish(test)
    }

    /// Tests the weights that would be left now.
    fn evaluate(&self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluation>> {
        match &self.ema {
            Some(ema) => ema.with(self.model, || evaluate(self.model, &self.test, stop))?,
            None => evaluate(self.model, &self.test, stop),
        }
    }

    /// The rest of an epoch's steps; whether it came to its end.
    fn train_epoch(
        &mut self,
        stop: &dyn Fn() -> bool,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let mut batches = self.train.epoch(self.position.epoch, self.first_batch())?;
        let mut clock = Instant::now();
        while batches.len() > 0 {
            if stop() {
                return Ok(false);
            }
            let (loss, learning_rate) = self.train_step(&mut batches)?;
            let now = Instant::now();
            self.position.seconds += (now - clock).as_secs_f64();
            clock = now;
            observer.step(&self.report(loss, learning_rate));
            let every = self.config.train.checkpoint_every;
            if every.is_some_and(|n| self.step().is_multiple_of(n)) {
                self.save(&self.run.last_path())?;
            }
        }
        Ok(true)
    }

    fn report(&self, loss: f64, learning_rate: f64) -> StepReport {
        let Position {
            epoch,
            loss: mean,
            correct,
            seconds,
            ..
        } = &self.position;
        let count = mean.count().max(1) as f64;
        StepReport {
            epoch: epoch + 1,
            step: self.step(),
            learning_rate,
            loss,
            mean_loss: mean.value(),
            accuracy: *correct as f64 / count,
            images_per_second: count / seconds.max(1e-9),
        }
    }

    /// Writes down a finished and tested epoch.
    fn end_epoch(&mut self, test: &Evaluation, observer: &mut dyn Observer) -> Result<()> {
        if !test.loss.is_finite() {
            return Err(Error::Diverged {
                step: self.step(),
                loss: test.loss,
            });
        }
        let step = self.step();
        let rate = self
            .config
            .train
            .schedule
            .rate(step.saturating_sub(1), self.length());
        let now = self.report(test.loss, rate);
        let record = EpochRecord {
            epoch: now.epoch,
            step,
            learning_rate: now.learning_rate,
            train_loss: now.mean_loss,
            train_accuracy: now.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            test_top5: test.top5,
            seconds: self.position.seconds,
            images_per_second: now.images_per_second,
        };
        let is_best = self
            .position
            .history
            .iter()
            .all(|other| record.is_better_than(other));
        let epoch = self.position.epoch + 1;
        let mut history = std::mem::take(&mut self.position.history);
        history.push(record.clone());
        self.position = Position {
            epoch,
            history,
            ..Position::default()
        };
        // The best first: a run that is killed in between repeats the epoch, and writes the same again.
        if is_best {
            self.save(&self.run.best_path())?;
        }
        self.save(&self.run.last_path())?;
        self.run.append_metrics(&record)?;
        self.run.draw_curves(&self.position.history)?;
        self.run.draw_confusion(&test.confusion)?;
        observer.epoch(&record);
        Ok(())
    }

    fn finish(&self, test: Evaluation) -> Result<Outcome> {
        self.run.draw_confusion(&test.confusion)?;
        let text = serde_json::to_string(&self.config);
        let text = text.map_err(|e| Error::Mismatch(format!("the run's settings: {e}")))?;
        let metadata = Metadata::from([
            ("format".to_owned(), "pt".to_owned()),
            ("striate.run".to_owned(), text),
        ]);
        let weights = self.run.weights_path();
        let dict = match &self.ema {
            Some(ema) => ema.state_dict(),
            None => state_dict(self.model),
        };
        file::write(&weights, &to_bytes(&dict, &metadata)?)?;
        let seconds: f64 = self.position.history.iter().map(|r| r.seconds).sum();
        let images = self.train.samples() as f64 * self.position.history.len() as f64;
        Ok(Outcome::Finished(Summary {
            test,
            seconds,
            images_per_second: images / seconds.max(1e-9),
            run: self.run.path().to_owned(),
            weights,
        }))
    }

    fn interrupted(&self) -> Result<Outcome> {
        let checkpoint = self.run.last_path();
        self.save(&checkpoint)?;
        Ok(Outcome::Interrupted {
            epoch: self.position.epoch,
            step: self.step(),
            checkpoint,
        })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let header = Header {
            version: VERSION,
            config: self.config.train.clone(),
            data: self.described.clone(),
            position: self.position.clone(),
        };
        file::write(
            path,
            &checkpoint::encode(self.model, &self.optimizer, self.ema.as_ref(), &header)?,
        )
    }
}

/// Brings a model into the state in which it is trained.
fn prepare(model: &dyn Module, config: &TrainConfig) -> Result<()> {
    if set_checkpointing(model, config.checkpoint_activations) == 0 && config.checkpoint_activations
    {
        let detail = "the model has no part that can compute its activations again";
        return Err(Error::config("checkpoint activations", detail));
    }
    let parameters = named_parameters(model);
    for pattern in &config.freeze {
        if freeze(model, pattern) == 0 {
            let paths = parameters.iter().flat_map(|(name, _)| {
                let ends = name.match_indices('.').map(|(end, _)| &name[..end]);
                ends.chain([name.as_str()])
            });
            let near = nearest(pattern, paths);
            let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
            let detail = format!("no parameter lies below {pattern:?}{near}");
            return Err(Error::config("freeze", detail));
        }
    }
    if !parameters.iter().any(|(_, p)| p.trainable()) {
        return Err(Error::config("freeze", "nothing is left to train"));
    }
    Ok(())
}

/// The average that the settings ask for.
fn average(model: &dyn Module, config: &TrainConfig) -> Result<Option<Ema>> {
    config.ema.map(|decay| Ema::new(model, decay)).transpose()
}

fn steps_per_epoch(train: &Loader, config: &TrainConfig) -> u64 {
    train.batches().div_ceil(config.accumulate) as u64
}

fn loaders(data: &Data, config: &TrainConfig) -> Result<(Loader, Loader)> {
    config.check()?;
    if data.train.classes() != data.test.classes() {
        let detail = "the data to train on and to test with have different classes";
        return Err(Error::Mismatch(detail.to_owned()));
    }
    let make = |set: &Arc<dyn Dataset>, transform: &Arc<dyn Transform>, order| {
        Loader::new(
            Arc::clone(set),
            Arc::clone(transform),
            config.batch_size,
            order,
            config.seed,
        )
    };
    let train = make(&data.train, &data.train_transform, Order::Shuffled)?;
    let test = make(&data.test, &data.test_transform, Order::Sequential)?;
    if train.input() != test.input() {
        let (a, b) = (train.input(), test.input());
        return Err(Error::Mismatch(format!(
            "images to train on are {a:?}, to test with {b:?}"
        )));
    }
    if config.epochs.checked_mul(train.batches() as u64).is_none() {
        return Err(Error::config("epochs", "more steps than can be counted"));
    }
    Ok((train, test))
}

/// Words that change when the samples, their labels or what is done to them do.
fn describe(train: &Loader, test: &Loader) -> Result<String> {
    let one = |loader: &Loader| -> Result<String> {
        let data = loader.data();
        // FNV-1a over the labels, so that a file that came or went in the middle shows.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for index in 0..data.len() {
            let label = data.label(index)? as u64;
            hash = (hash ^ label).wrapping_mul(0x0100_0000_01b3);
        }
        let (len, [c, h, w]) = (data.len(), loader.input());
        let transform = loader.transform();
        Ok(format!(
            "{len} samples ({hash:016x}) as {c}x{h}x{w} by {transform:?}"
        ))
    };
    Ok(format!("{}; held out {}", one(train)?, one(test)?))
}
