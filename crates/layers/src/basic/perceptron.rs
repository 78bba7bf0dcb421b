//! Two linear maps with a ReLU between them: what most attention computes its logits with.

use striate_tensor::{Result, Tensor};

use crate::{Conv2dConfig, Layer, LinearConfig, Module, VarBuilder, Visitor};

/// `W2 relu(W1 x + b1) + b2`
#[derive(Debug)]
pub(crate) struct Perceptron {
    names: [&'static str; 2],
    layers: [Box<dyn Module>; 2],
}

impl Perceptron {
    /// `channels -> width -> channels` at every pixel of an image, as 1x1 convolutions of these names.
    pub(crate) fn pointwise(
        [channels, width]: [usize; 2],
        bias: bool,
        names: [&'static str; 2],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let map = |i, o, name: &str| -> Result<Box<dyn Module>> {
            let conv = Conv2dConfig::new(i, o, 1).bias(bias);
            Ok(Box::new(conv.build(&(vb / name))?))
        };
        Ok(Self {
            names,
            layers: [
                map(channels, width, names[0])?,
                map(width, channels, names[1])?,
            ],
        })
    }

    /// `channels -> width -> channels` of rows, as linear layers of these names.
    pub(crate) fn linear(
        [channels, width]: [usize; 2],
        names: [&'static str; 2],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let map = |i, o, name: &str| -> Result<Box<dyn Module>> {
            let linear = LinearConfig::new(i, o).build(&(vb / name))?;
            Ok(Box::new(linear))
        };
        Ok(Self {
            names,
            layers: [
                map(channels, width, names[0])?,
                map(width, channels, names[1])?,
            ],
        })
    }
}

impl Layer for Perceptron {
    fn visit(&self, v: &mut dyn Visitor) {
        for (name, layer) in self.names.iter().zip(&self.layers) {
            v.child(name, layer);
        }
    }
}

impl Module for Perceptron {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [reduce, expand] = &self.layers;
        expand.forward(&reduce.forward(x)?.relu()?)
    }
}
