//! Networks by name.

use striate_layers::{Module, VarBuilder, nearest};
use striate_tensor::{Error, Result};

use crate::{Attention, ResNetSmallConfig, SkNetCifarConfig};

/// The network that `striate train` takes unless told otherwise.
pub const DEFAULT: &str = "seresnet_small";

/// A network in the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModelInfo {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Channels, height and width of the images it is meant for. Other sizes work as long as no
    /// map vanishes.
    pub input: [usize; 3],
    /// Whether [`Options::attention`] applies.
    pub takes_attention: bool,
    build: fn(&Options, &VarBuilder) -> Result<Box<dyn Module>>,
}

/// What a network is built for. Fields that are not set keep the network's own choice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of classes; 10 unless set.
    pub classes: Option<usize>,
    /// Channels of the images.
    pub in_channels: Option<usize>,
    /// What stands in the attention slots.
    pub attention: Option<Attention>,
}

impl Options {
    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = Some(channels);
        self
    }

    /// Sets what stands in the attention slots.
    #[must_use]
    pub fn attention(mut self, attention: Attention) -> Self {
        self.attention = Some(attention);
        self
    }
}

/// An entry for a residual network for small images.
macro_rules! resnet {
    ($name:literal, $attention:literal, $channels:literal, $config:expr, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            input: [$channels, 32, 32],
            takes_attention: true,
            build: |options, vb| {
                let config: fn(usize, usize) -> ResNetSmallConfig = $config;
                let channels = options.in_channels.unwrap_or($channels);
                let attention = match &options.attention {
                    Some(attention) => attention.clone(),
                    None => Attention::parse($attention)?,
                };
                let config = config(channels, options.classes.unwrap_or(10));
                Ok(Box::new(config.attention(attention).build(vb)?))
            },
        }
    };
}

/// An entry for the selective-kernel network for CIFAR.
macro_rules! sknet {
    ($name:literal, $dilated:literal, $description:literal) => {
        ModelInfo {
            name: $name,
            description: $description,
            input: [3, 32, 32],
            takes_attention: false,
            build: |options, vb| {
                let channels = options.in_channels.unwrap_or(3);
                let config = SkNetCifarConfig::new(channels, options.classes.unwrap_or(10));
                Ok(Box::new(config.dilated($dilated).build(vb)?))
            },
        }
    };
}

const MODELS: &[ModelInfo] = &[
    resnet!(
        "resnet_small",
        "none",
        1,
        ResNetSmallConfig::new,
        "residual network of three blocks for small images"
    ),
    resnet!(
        "seresnet_small",
        "se",
        1,
        ResNetSmallConfig::new,
        "the same with squeeze-and-excitation"
    ),
    resnet!(
        "skresnet_small",
        "sk",
        1,
        ResNetSmallConfig::new,
        "the same with selective-kernel convolutions"
    ),
    resnet!(
        "cbamresnet_small",
        "cbam",
        1,
        ResNetSmallConfig::new,
        "the same with CBAM"
    ),
    resnet!(
        "resnet20",
        "none",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 3),
        "ResNet-20 for CIFAR"
    ),
    resnet!(
        "seresnet20",
        "se",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 3),
        "ResNet-20 with squeeze-and-excitation"
    ),
    resnet!(
        "resnet56",
        "none",
        3,
        |c, k| ResNetSmallConfig::cifar(c, k, 9),
        "ResNet-56 for CIFAR"
    ),
    sknet!(
        "sknet_cifar",
        false,
        "selective-kernel network for CIFAR, kernels 3 and 5"
    ),
    sknet!(
        "sknet_cifar_dilated",
        true,
        "the same with a dilated 3x3 instead of the 5x5"
    ),
];

/// Every network there is.
#[must_use]
pub fn list() -> &'static [ModelInfo] {
    MODELS
}

/// The network of that name.
///
/// # Errors
/// There is none; the text names the nearest.
pub fn find(name: &str) -> Result<&'static ModelInfo> {
    MODELS.iter().find(|m| m.name == name).ok_or_else(|| {
        let near = nearest(name, MODELS.iter().map(|m| m.name));
        let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
        Error::msg(format!("no model is called {name:?}{near}"))
    })
}

/// Builds the network of that name.
///
/// # Errors
/// There is none of that name, an option does not apply to it, or a size does not fit.
pub fn build(name: &str, options: &Options, vb: &VarBuilder) -> Result<Box<dyn Module>> {
    let model = find(name)?;
    if options.attention.is_some() && !model.takes_attention {
        return Err(Error::msg(format!("{name} has no slot for attention")));
    }
    (model.build)(options, vb)
}
