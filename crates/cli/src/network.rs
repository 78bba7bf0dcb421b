//! The network that a command line names.

use clap::Args;
use serde::{Deserialize, Serialize};
use striate::layers::{Module, VarBuilder};
use striate::models::{self, Attention, ModelInfo, Options};

use crate::failure::Failure;

/// A network by name, with what stands in its attention slots. Kept with a run.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// The network: `striate models` lists them
    #[arg(long, default_value = models::DEFAULT)]
    pub(crate) model: String,

    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) slots: Slots,
}

/// What stands in the slots of a network.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slots {
    /// What stands in the attention slots instead of the network's own choice: none, se, sk, cbam, or se at another
    /// position (se_pre, se_post, se_identity, se_conv3x3)
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attention: Option<String>,
}

impl Network {
    /// What the library tells about it.
    ///
    /// # Errors
    /// There is no such network or attention, or the network has no slot for it: wrong usage.
    pub(crate) fn info(&self) -> Result<&'static ModelInfo, Failure> {
        let info = models::find(&self.model)
            .map_err(|e| Failure::usage(format!("{e} (`striate models` lists them)")))?;
        if let Some(name) = &self.slots.attention {
            Attention::parse(name).map_err(Failure::usage)?;
            if !info.takes_attention {
                let message = format!("{} has no slot for attention", info.name);
                return Err(Failure::usage(message));
            }
        }
        Ok(info)
    }

    /// Builds it for images of `channels` and this number of classes, or the network's own.
    pub(crate) fn build(
        &self,
        channels: usize,
        classes: impl Into<Option<usize>>,
        vb: &VarBuilder,
    ) -> Result<Box<dyn Module>, Failure> {
        self.info()?;
        let mut options = Options::default().in_channels(channels);
        options.classes = classes.into();
        if let Some(name) = &self.slots.attention {
            options = options.attention(Attention::parse(name)?);
        }
        Ok(models::build(&self.model, &options, vb)?)
    }

    /// How a line calls it.
    pub(crate) fn title(&self) -> String {
        match &self.slots.attention {
            Some(attention) => format!("{} with {attention}", self.model),
            None => self.model.clone(),
        }
    }
}
