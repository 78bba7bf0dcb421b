//! Losses, optimizers, schedules, data and the training loop.
//!
//! A [`Trainer`] takes a model through [`Data`], as a [`TrainConfig`] says, and leaves a [folder](run) with what it learnt:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use striate_layers::{Flatten, LinearConfig, Sequential, VarBuilder};
//! use striate_train::augment::{Affine, Pipeline};
//! use striate_train::{Data, Outcome, TrainConfig, Trainer, data::digits, progress::Bar};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vb = VarBuilder::seeded(0);
//! let model = Sequential::new()
//!     .push(Flatten)
//!     .push(LinearConfig::new(16 * 16, 10).build(&(vb / "fc"))?);
//!
//! let (train, test) = digits::split()?;
//! let canvas = Affine::canvas([16, 16]);
//! let data = Data {
//!     train: Arc::new(train),
//!     train_transform: Arc::new(Pipeline::new().then(canvas.scale(1.5, 2.0).rotation(10.0))),
//!     test: Arc::new(test),
//!     test_transform: Arc::new(Pipeline::new().then(canvas.scale(1.7, 1.7))),
//! };
//!
//! let setup = serde_json::json!({ "model": "one layer" });
//! let folder = "runs/digits".as_ref();
//! let mut trainer = Trainer::start(&model, &data, TrainConfig::new(0.1), setup, folder)?;
//! match trainer.run(&|| false, &mut Bar::new())? {
//!     Outcome::Finished(summary) => println!("{:.2} %", 100.0 * summary.test.accuracy),
//!     Outcome::Interrupted { checkpoint, .. } => println!("stopped: {}", checkpoint.display()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A run can be stopped between any two steps, and [`Trainer::resume`] continues it: the final weights are the same, bit for bit, as without
//! the stop, on any number of threads. To write a loop of one's own, take [`Loader`], [`loss`], [`Optimizer`] and [`evaluate`](fn@evaluate).
//!
//! | to find | look in |
//! |---|---|
//! | readers of data sets | [`data`] |
//! | random changes of pictures | [`augment`] |
//! | learning rates | [`schedule`] |
//! | what a run leaves on disk | [`run`], [`checkpoint`] |

#![forbid(unsafe_code)]

pub mod augment;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod consistency;
pub mod data;
pub mod ema;
mod error;
pub mod evaluate;
mod file;
pub mod history;
pub mod loader;
pub mod loss;
pub mod metrics;
pub mod mix;
pub mod optim;
pub mod plot;
pub mod progress;
mod random;
pub mod run;
pub mod schedule;
pub mod trainer;

pub use clip::clip_norm;
pub use config::TrainConfig;
pub use consistency::{Shift, shift_consistency};
pub use ema::Ema;
pub use error::{Error, Malformed, Result};
pub use evaluate::{Evaluation, evaluate};
pub use loader::{Batch, Loader};
pub use mix::{Mixed, cutmix, mixup};
pub use optim::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig};
pub use schedule::Schedule;
pub use trainer::{Data, Outcome, Summary, Trainer};
