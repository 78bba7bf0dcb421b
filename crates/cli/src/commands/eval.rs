//! `striate eval`: how well a trained network does on its test pictures.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use striate::train::evaluate::evaluate;
use striate::train::loader::{Loader, Order};
use striate::train::metrics::ConfusionMatrix;

use crate::failure::Failure;
use crate::output::{Output, table};
use crate::setup::Trained;

/// Test a trained network on the pictures that its run held out
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  striate eval runs/digits-001
  striate eval runs/digits-001 --json")]
pub(crate) struct Eval {
    /// The folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Where the run's data is now, if it was moved
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    run: &'a PathBuf,
    test_accuracy: f64,
    test_top5: f64,
    test_loss: f64,
    test_images: u64,
    classes: Vec<Class<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    images: u64,
    recall: f64,
    precision: f64,
    mistaken_for: Option<&'a str>,
}

impl Eval {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let trained = Trained::open(&self.run)?;
        let data = trained.setup.task(self.data.as_deref())?.data;
        if data.test.classes() != trained.config.classes {
            return Err(Failure::work("the run's classes are not those of the data"));
        }
        let config = &trained.config.train;
        let loader = Loader::new(
            data.test,
            data.test_transform,
            config.batch_size,
            Order::Sequential,
            config.seed,
        )?;
        let test = evaluate(&trained.network, &loader, &|| false)?;
        let test = test.ok_or_else(|| Failure::work("the test was stopped"))?;
        let classes = classes(&test.confusion);
        let mut rows = vec![
            ["class", "images", "found", "right", "mistaken for"]
                .map(str::to_owned)
                .to_vec(),
        ];
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        rows.extend(classes.iter().map(|c| {
            let mistaken = c.mistaken_for.unwrap_or_default().to_owned();
            let [recall, precision] = [c.recall, c.precision].map(percent);
            vec![
                c.class.to_owned(),
                c.images.to_string(),
                recall,
                precision,
                mistaken,
            ]
        }));
        out.object(&Report {
            run: &self.run,
            test_accuracy: test.accuracy,
            test_top5: test.top5,
            test_loss: test.loss,
            test_images: test.confusion.total(),
            classes,
        })?;
        table(&rows).iter().try_for_each(|line| out.text(line))?;
        out.text(format!(
            "\n{:<15}{:.2} %",
            "test accuracy",
            100.0 * test.accuracy
        ))?;
        out.text(format!("{:<15}{:.2} %", "among best 5", 100.0 * test.top5))?;
        out.text(format!("{:<15}{:.4}", "test loss", test.loss))
    }
}

fn classes(confusion: &ConfusionMatrix) -> Vec<Class<'_>> {
    let names = confusion.classes();
    let class = |(truth, name): (usize, &'_ String)| {
        let wrong = (0..names.len()).filter(|&p| p != truth);
        let most = wrong.max_by_key(|&p| (confusion.count(truth, p), std::cmp::Reverse(p)));
        let mistaken = most.filter(|&p| confusion.count(truth, p) > 0);
        (truth, name.len(), mistaken)
    };
    names
        .iter()
        .enumerate()
        .map(|entry| {
            let (truth, _, mistaken) = class(entry);
            Class {
                class: &names[truth],
                images: confusion.truths(truth),
                recall: confusion.recall(truth),
                precision: confusion.precision(truth),
                mistaken_for: mistaken.map(|p| names[p].as_str()),
            }
        })
        .collect()
}
