//! The network that a command line names.

use clap::Args;
use serde::{Deserialize, Serialize};
use striate::layers::{Module, Place, VarBuilder};
use striate::models::{self, Attention, ModelInfo, Options, Plugin};

use crate::failure::Failure;

/// What new plug-ins are drawn from.
const GRAFT_SEED: u64 = 0;

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

    /// A plug-in to put into the blocks whose path matches, such that the network computes what it did: a pattern, a
    /// module of `striate modules` with its arguments, a place (standard, pre, post, identity, conv3x3, stage), and what
    /// its weights are named if not as the module.
    /// For example layer3.*=cbam, layer*.*=se:reduction=8@post/se2, layer3=bam@stage
    #[arg(long, value_name = "PATTERN=MODULE[@PLACE][/NAME]")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) graft: Vec<String>,
}

/// A graft as a command line writes it.
struct Graft {
    pattern: String,
    plugin: Plugin,
    place: Place,
}

impl Graft {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (pattern, rest) = text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("{text:?} is no PATTERN=MODULE, like layer3.*=cbam"))
        })?;
        let (rest, name) = match rest.rsplit_once('/') {
            Some((rest, name)) => (rest, Some(name)),
            None => (rest, None),
        };
        let (module, place) = rest.rsplit_once('@').unwrap_or((rest, "standard"));
        let plugin = Plugin::parse(module).map_err(Failure::usage)?;
        Ok(Self {
            pattern: pattern.to_owned(),
            plugin: match name {
                Some(name) => plugin.named(name),
                None => plugin,
            },
            place: self::place(place).map_err(Failure::usage)?,
        })
    }
}

/// The place of that name.
pub(crate) fn place(name: &str) -> Result<Place, String> {
    let found = Place::NAMES.iter().find(|(n, _)| *n == name);
    found.map(|(_, place)| *place).ok_or_else(|| {
        let names = Place::NAMES.map(|(name, _)| name).join(", ");
        format!("no place is called {name:?}; there are {names}")
    })
}

/// The name of a place.
pub(crate) fn place_name(place: Place) -> &'static str {
    let found = Place::NAMES.iter().find(|(_, p)| *p == place);
    found.map_or("", |(name, _)| name)
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
        for graft in &self.slots.graft {
            Graft::parse(graft)?;
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
        let built = models::build(&self.model, &options, vb)?;
        for text in &self.slots.graft {
            let graft = Graft::parse(text)?;
            models::graft(
                &built,
                &graft.pattern,
                graft.place,
                &graft.plugin,
                GRAFT_SEED,
            )
            .map_err(|e| Failure::usage(format!("--graft {text}: {e}")))?;
        }
        Ok(built)
    }

    /// How a line calls it.
    pub(crate) fn title(&self) -> String {
        let Slots { attention, graft } = &self.slots;
        let with: Vec<&str> = attention.iter().chain(graft).map(String::as_str).collect();
        if with.is_empty() {
            return self.model.clone();
        }
        format!("{} with {}", self.model, with.join(", "))
    }
}
