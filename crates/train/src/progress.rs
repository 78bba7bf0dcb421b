//! What a run tells while it goes on, and the progress bar that shows it.

use indicatif::{ProgressBar, ProgressStyle};

use crate::history::EpochRecord;
use crate::schedule::Length;

/// The extent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long it is.
    pub length: Length,
    /// How many steps are done already.
    pub step: u64,
}

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// Steps done since the start of the run.
    pub step: u64,
    /// The rate of this step.
    pub learning_rate: f64,
    /// The loss of this step's batch.
    pub loss: f64,
    /// The mean loss of the epoch so far.
    pub mean_loss: f64,
    /// The share of the epoch's samples so far that were classified rightly.
    pub accuracy: f64,
    /// Samples trained on in a second, in this epoch.
    pub images_per_second: f64,
}

/// Is told what happens. `()` ignores it.
pub trait Observer {
    /// The run starts or continues.
    fn start(&mut self, _plan: &Plan) {}

    /// A step is done.
    fn step(&mut self, _report: &StepReport) {}

    /// An epoch is done and tested.
    fn epoch(&mut self, _record: &EpochRecord) {}

    /// No more will come.
    fn finish(&mut self) {}
}

impl Observer for () {}

/// A progress bar on standard error, and a line for each epoch. Without a terminal there are only the lines.
#[derive(Debug, Default)]
pub struct Bar {
    bar: Option<ProgressBar>,
    epochs: u64,
}

impl Bar {
    /// A bar that appears when the run starts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Observer for Bar {
    fn start(&mut self, plan: &Plan) {
        let bar = ProgressBar::new(plan.length.steps());
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}  {eta} left");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        // The speed of a resumed run is that of its own steps.
        bar.set_position(plan.step);
        bar.reset_eta();
        self.epochs = plan.length.epochs;
        self.bar = Some(bar);
    }

    fn step(&mut self, report: &StepReport) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {}/{}", report.epoch, self.epochs));
            bar.set_message(step_text(report));
            bar.set_position(report.step);
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let text = epoch_text(record, self.epochs);
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn step_text(report: &StepReport) -> String {
    format!(
        "loss {:.4}  {:.2} %  {:.0} images/s",
        report.mean_loss,
        100.0 * report.accuracy,
        report.images_per_second
    )
}

fn epoch_text(record: &EpochRecord, epochs: u64) -> String {
    format!(
        "epoch {:>width$}/{epochs}  train: loss {:.4}, {:.2} %  held out: loss {:.4}, {:.2} %  {:.1} s",
        record.epoch,
        record.train_loss,
        100.0 * record.train_accuracy,
        record.test_loss,
        100.0 * record.test_accuracy,
        record.seconds,
        width = epochs.to_string().len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_follows_the_steps() {
        let mut bar = Bar::new();
        let length = Length {
            epochs: 3,
            steps_per_epoch: 10,
        };
        bar.start(&Plan { length, step: 12 });
        let report = StepReport {
            epoch: 2,
            step: 13,
            learning_rate: 0.1,
            loss: 0.7,
            mean_loss: 0.51234,
            accuracy: 0.9876,
            images_per_second: 1234.4,
        };
        bar.step(&report);
        let shown = bar.bar.as_ref().unwrap();
        assert_eq!((shown.position(), shown.length()), (13, Some(30)));
        assert_eq!(shown.prefix(), "epoch 2/3");
        assert_eq!(shown.message(), "loss 0.5123  98.76 %  1234 images/s");
        bar.finish();
        assert!(bar.bar.is_none());
    }

    #[test]
    fn an_epoch_is_one_line() {
        let record = EpochRecord {
            epoch: 2,
            step: 20,
            learning_rate: 0.1,
            train_loss: 0.5,
            train_accuracy: 0.75,
            test_loss: 0.25,
            test_accuracy: 0.985,
            test_top5: 1.0,
            seconds: 3.21,
            images_per_second: 1000.0,
        };
        assert_eq!(
            epoch_text(&record, 10),
            "epoch  2/10  train: loss 0.5000, 75.00 %  held out: loss 0.2500, 98.50 %  3.2 s"
        );
    }
}
