//! A network as a chain of named parts, cut into stages.

use std::sync::Arc;

use striate_layers::{
    Checkpointed, Layer, LinearConfig, Module, Sequential, Slot, VarBuilder, Visitor,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::plugin::Plugin;

/// A classifier whose maps can be read after every stage and whose last layer can be replaced.
///
/// Its parts have the names of the reference implementation, which may be paths: `features.0.0`.
#[derive(Debug)]
pub struct Network {
    path: Arc<str>,
    stages: Vec<Stage>,
    head: Sequential,
    classifier: Option<Classifier>,
}

/// A stretch of the network at one resolution.
#[derive(Debug)]
struct Stage {
    name: String,
    slot: Slot,
    body: Checkpointed<Plugged>,
}

/// The layers of a stage, and its slot behind them.
#[derive(Debug)]
struct Plugged {
    layers: Sequential,
    slot: Slot,
}

#[derive(Debug)]
struct Classifier {
    name: String,
    config: LinearConfig,
    layer: Box<dyn Module>,
}

impl Network {
    /// Names and channels of the stages, from the input on.
    pub fn stages(&self) -> impl Iterator<Item = (&str, usize)> {
        self.stages
            .iter()
            .map(|s| (s.name.as_str(), s.slot.channels()))
    }

    /// The map behind every stage, from the input on.
    ///
    /// # Shapes
    /// `[N, in, H, W]`; the last dimensions of the maps halve where the network strides.
    ///
    /// # Errors
    /// The input does not fit the network, or a map vanishes.
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        scope(&self.path, || {
            let mut maps = Vec::with_capacity(self.stages.len());
            for stage in &self.stages {
                let x = maps.last().unwrap_or(x);
                maps.push(stage.body.forward(x)?);
            }
            Ok(maps)
        })
    }

    /// Puts a new last layer in for so many classes, drawn from `vb`; 0 takes the last layer away, so that
    /// the network gives features `[N, C]`.
    ///
    /// # Errors
    /// Memory is out, or `vb` reads a state dict without the layer.
    pub fn replace_classifier(&mut self, classes: usize, vb: &VarBuilder) -> Result<()> {
        let Some(classifier) = &mut self.classifier else {
            return Err(striate_tensor::Error::msg(
                "the network has no last layer to replace",
            ));
        };
        classifier.config.out_features = classes;
        classifier.layer = classifier_layer(&classifier.name, &classifier.config, vb)?;
        Ok(())
    }
}

/// The last layer; none for 0 classes.
fn classifier_layer(name: &str, config: &LinearConfig, vb: &VarBuilder) -> Result<Box<dyn Module>> {
    if config.out_features == 0 {
        return Ok(Box::new(striate_layers::Identity));
    }
    Ok(Box::new(config.build(&(vb / name))?))
}

impl Layer for Plugged {
    fn visit(&self, v: &mut dyn Visitor) {
        self.layers.visit(v);
        self.slot.visit(v);
    }
}

impl Module for Plugged {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.slot.forward(&self.layers.forward(x)?)
    }

    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        self.slot.forward(&self.layers.forward_owned(x)?)
    }
}

impl Layer for Network {
    fn visit(&self, v: &mut dyn Visitor) {
        for stage in &self.stages {
            stage.body.visit(v);
        }
        self.head.visit(v);
        if let Some(classifier) = &self.classifier {
            v.child(&classifier.name, &classifier.layer);
        }
    }
}

impl Module for Network {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let x = self
                .stages
                .iter()
                .try_fold(x.clone(), |x, stage| stage.body.forward_owned(x))?;
            let x = self.head.forward(&x)?;
            match &self.classifier {
                Some(classifier) => classifier.layer.forward(&x),
                None => Ok(x),
            }
        })
    }
}

/// Puts a [`Network`] together.
#[derive(Debug)]
pub struct NetworkBuilder {
    vb: VarBuilder,
    stages: Vec<Stage>,
    layers: Sequential,
}

impl NetworkBuilder {
    /// Nothing yet; `vb` is where the network stands.
    #[must_use]
    pub fn new(vb: &VarBuilder) -> Self {
        Self {
            vb: vb.clone(),
            stages: Vec::new(),
            layers: Sequential::new(),
        }
    }

    /// Appends a layer under its name; the name does not matter where there are no weights.
    #[must_use]
    pub fn push(mut self, name: impl Into<String>, layer: impl Module + 'static) -> Self {
        self.layers = self.layers.push_named(name, layer);
        self
    }

    /// Ends a stage of that name whose last map has so many channels.
    #[must_use]
    pub fn end_stage(mut self, name: impl Into<String>, channels: usize) -> Self {
        let name = name.into();
        let slot = Slot::behind_stage(&name, channels, &self.vb);
        let layers = std::mem::take(&mut self.layers);
        let body = Checkpointed::off(Plugged {
            layers,
            slot: slot.clone(),
        });
        self.stages.push(Stage { name, slot, body });
        self
    }

    /// Puts a plug-in behind the stage that ended last; its parts are named `name` at the top of the network.
    ///
    /// # Errors
    /// It does not fit the channels, or there is no stage yet.
    pub fn plug(self, name: &str, plugin: &Plugin) -> Result<Self> {
        if let Some(stage) = self.stages.last() {
            let module = plugin
                .clone()
                .named(name)
                .build(stage.slot.channels(), &self.vb)?;
            stage.slot.fill(name, module)?;
        }
        Ok(self)
    }

    /// Ends the network without a last layer: what was pushed since the last stage is its head.
    #[must_use]
    pub fn finish(self) -> Network {
        Network {
            path: Arc::clone(self.vb.path()),
            stages: self.stages,
            head: self.layers,
            classifier: None,
        }
    }

    /// Ends the network with a linear layer from so many features to so many classes, 0 for none.
    ///
    /// # Errors
    /// Memory is out, or the state dict lacks the layer.
    pub fn classify(self, name: &str, in_features: usize, classes: usize) -> Result<Network> {
        self.classify_with(name, LinearConfig::new(in_features, classes))
    }

    /// Ends the network with this linear layer; without outputs there is none.
    ///
    /// # Errors
    /// As [`NetworkBuilder::classify`].
    pub fn classify_with(self, name: &str, config: LinearConfig) -> Result<Network> {
        let layer = classifier_layer(name, &config, &self.vb)?;
        let name = name.to_owned();
        let classifier = Some(Classifier {
            name,
            config,
            layer,
        });
        Ok(Network {
            classifier,
            ..self.finish()
        })
    }
}
