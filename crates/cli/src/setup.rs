//! What a run was asked for, beside how it is trained: the `setup` of its `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use striate::layers::{Loading, Module, VarBuilder, load_state_dict, set_training};
use striate::train::checkpoint::load_weights;
use striate::train::run::{RunConfig, RunFolder};

use crate::failure::Failure;
use crate::network::Network;
use crate::output::note;
use crate::source::Source;
use crate::task::{Task, View};

/// All that is needed to build the same network and data again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setup {
    #[serde(flatten)]
    pub(crate) network: Network,
    /// `digits`, or the absolute path of a folder.
    pub(crate) data: String,
    /// Height and width of the pictures of a folder.
    pub(crate) side: usize,
    /// How many pictures of each part are used, if not all.
    pub(crate) limit: Option<usize>,
    /// The SIMD level the run was started at.
    pub(crate) level: String,
    /// What the network expects of a picture.
    pub(crate) view: View,
}

impl Setup {
    /// The setup of a run.
    pub(crate) fn of(run: &RunFolder, config: &RunConfig) -> Result<Self, Failure> {
        serde_json::from_value(config.setup.clone()).map_err(|e| {
            let path = run.config_path();
            Failure::work(format!("{}: setup: {e}", path.display()))
        })
    }

    /// Reads the data again, from `data` if the folder was moved.
    pub(crate) fn task(&self, data: Option<&str>) -> Result<Task, Failure> {
        let source = Source::detect(data.unwrap_or(&self.data))?;
        Task::new(&source, self.side, self.limit)
    }
}

/// A run with its trained network, in evaluation mode.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) network: Box<dyn Module>,
    pub(crate) setup: Setup,
    pub(crate) config: RunConfig,
    pub(crate) run: RunFolder,
}

impl Trained {
    /// Opens the folder of a run with its final weights, or the best so far.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(Failure::usage(format!(
                "{folder} is not the folder of a run"
            )));
        }
        let (run, config) = RunFolder::open(folder)?;
        let setup = Setup::of(&run, &config)?;
        let (channels, classes) = (setup.view.channels, config.classes.len());
        let network = setup
            .network
            .build(channels, classes, &VarBuilder::seeded(0))?;
        let weights = [run.weights_path(), run.best_path()]
            .into_iter()
            .find(|p| p.exists());
        let weights = weights.ok_or_else(|| {
            let folder = folder.display();
            Failure::work(format!(
                "{folder} has no weights yet: its first epoch is not finished"
            ))
        })?;
        if weights != run.weights_path() {
            note(format!(
                "the run is not finished: using {}",
                weights.display()
            ));
        }
        let read = load_weights(&weights)?;
        load_state_dict(&network, &read.state_dict, Loading::Strict)
            .map_err(|e| Failure::work(format!("{}: {e}", weights.display())))?;
        set_training(&network, false);
        Ok(Self {
            network,
            setup,
            config,
            run,
        })
    }
}
