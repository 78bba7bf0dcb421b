//! Networks by name.

use std::sync::LazyLock;

use striate_layers::{Module, VarBuilder, nearest};
use striate_tensor::{Error, Result};

use crate::Attention;

/// The network that `striate train` takes unless told otherwise.
pub const DEFAULT: &str = "seresnet_small";

/// What a network gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A score for each class, `[N, classes]`.
    Classification,
    /// A score for each class and pixel, `[N, classes, H, W]`.
    Segmentation,
}

/// A network in the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModelInfo {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// Whose names its weights have.
    pub origin: &'static str,
    /// What it gives.
    pub task: Task,
    /// Channels, height and width of the images it is meant for.
    pub input: [usize; 3],
    /// The shortest side that an image may have: below it a map would vanish.
    pub smallest: usize,
    /// What its sides must be multiples of: 1 for any.
    pub multiple_of: usize,
    /// Classes it has unless told otherwise.
    pub classes: usize,
    /// Whether [`Options::attention`] applies.
    pub takes_attention: bool,
    /// What its weights for ImageNet expect of a picture; none where there is no custom.
    pub normalization: Option<Normalization>,
    build: fn(&Options, &Self, &VarBuilder) -> Result<Box<dyn Module>>,
}

/// The mean and the deviation of red, green and blue, from 0 (black) to 1, that a picture is normalised with. Before that its short
/// side is made 256/224 of the input's, and the centre cut out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub std: [f32; 3],
}

impl Normalization {
    /// That of torchvision, and of most networks since.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    /// From -1 to 1: Inception's, and that of weights from TensorFlow. torchvision's GoogLeNet and Inception v3 expect it too, behind
    /// `transform_input`, which is not a part of the networks here.
    pub const INCEPTION: Self = Self {
        mean: [0.5; 3],
        std: [0.5; 3],
    };
}

/// What a network is built for. Fields that are not set keep the network's own choice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of classes.
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

    /// Channels of the images and number of classes.
    fn sizes(&self, info: &ModelInfo) -> [usize; 2] {
        [
            self.in_channels.unwrap_or(info.input[0]),
            self.classes.unwrap_or(info.classes),
        ]
    }
}

/// A network for ImageNet: its name, whose names its weights have, the side of its images and of the smallest that it
/// takes, how it is built, what it is.
macro_rules! imagenet {
    ($name:literal, $origin:literal, $config:expr, $description:literal) => {
        imagenet!($name, $origin, 224, 1, $config, $description)
    };
    ($name:literal, $origin:literal, $side:literal, $smallest:literal, $config:expr, $description:literal) => {
        $crate::registry::ModelInfo {
            name: $name,
            description: $description,
            origin: $origin,
            task: $crate::registry::Task::Classification,
            input: [3, $side, $side],
            smallest: $smallest,
            multiple_of: 1,
            classes: 1000,
            takes_attention: false,
            normalization: Some($crate::registry::Normalization::IMAGENET),
            build: |options, info, vb| {
                let [channels, classes] = options.sizes(info);
                let config = $config.in_channels(channels).classes(classes);
                Ok(Box::new(config.build(vb)?))
            },
        }
    };
}

/// A network for ImageNet whose images are normalised as Inception's.
macro_rules! inception {
    ($($network:tt)*) => {
        $crate::registry::ModelInfo {
            normalization: Some($crate::registry::Normalization::INCEPTION),
            ..imagenet!($($network)*)
        }
    };
}

mod attention_nets;
mod dense;
mod mobile;
mod plain;
mod residual;
mod small;

static MODELS: LazyLock<Vec<ModelInfo>> = LazyLock::new(|| {
    [
        small::MODELS,
        residual::MODELS,
        attention_nets::MODELS,
        plain::MODELS,
        mobile::MODELS,
        dense::MODELS,
    ]
    .concat()
});

/// Every network there is.
#[must_use]
pub fn list() -> &'static [ModelInfo] {
    &MODELS
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
    if options.classes == Some(0) {
        let text = format!("{name} needs at least one class; its configuration builds it without");
        return Err(Error::msg(text));
    }
    (model.build)(options, model, vb)
}
