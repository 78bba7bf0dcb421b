//! The network in front of a transformer's grid: what it sees, as a few numbers.

use striate_tensor::{PoolOptions, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{
    Activation, Conv2dConfig, Init, LinearConfig, MaxPool2d, Module, Sequential, VarBuilder,
};

/// A small convolutional network: twice a convolution without padding, maximum over 2x2, ReLU, then linear layers with a ReLU
/// between them. The defaults are those of PyTorch's tutorial.
#[derive(Clone, Debug)]
pub struct Localization {
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows and columns of the input, which decide the features of the first linear layer.
    pub in_size: [usize; 2],
    /// Channels of the two convolutions.
    pub channels: [usize; 2],
    /// Their kernels.
    pub kernels: [usize; 2],
    /// Features between the two linear layers.
    pub hidden: usize,
}

impl Localization {
    pub(super) fn new(in_channels: usize, in_size: [usize; 2]) -> Self {
        Self {
            in_channels,
            in_size,
            channels: [8, 10],
            kernels: [7, 5],
            hidden: 32,
        }
    }

    /// The features behind the convolutions.
    fn features(&self, layer: &'static str) -> Result<usize> {
        for (field, values) in [
            ("loc_channels", self.channels),
            ("loc_kernels", self.kernels),
        ] {
            values
                .into_iter()
                .try_for_each(|v| at_least_one(layer, field, v))?;
        }
        let mut size = self.in_size;
        for kernel in self.kernels {
            for side in &mut size {
                *side = (*side + 1).saturating_sub(kernel) / 2;
            }
        }
        if size.contains(&0) {
            let rule = format!(
                "kernels of {:?} with poolings leave nothing of it",
                self.kernels
            );
            return Err(invalid(layer, "in_size", self.in_size, rule));
        }
        Ok(self.channels[1] * size[0] * size[1])
    }

    /// The two halves, `localization` and `fc_loc`: a network that says `start`, whatever it sees, until it has learned.
    pub(super) fn build(
        &self,
        layer: &'static str,
        start: &Tensor,
        vb: &VarBuilder,
    ) -> Result<[Box<dyn Module>; 2]> {
        let features = self.features(layer).map_err(|e| e.at(vb.path()))?;
        let mut convs = Sequential::new();
        let channels = [self.in_channels, self.channels[0], self.channels[1]];
        for (i, at) in [0, 3].into_iter().enumerate() {
            let conv = Conv2dConfig::new(channels[i], channels[i + 1], self.kernels[i]);
            convs = convs
                .push(conv.build(&(vb / "localization" / at))?)
                .push(MaxPool2d::new(PoolOptions::new(2)))
                .push(Activation::Relu);
        }
        let fc_loc = head(features, self.hidden, start, &(vb / "fc_loc"))?;
        Ok([Box::new(convs), Box::new(fc_loc)])
    }
}

/// Linear layers `0` and `2` with a ReLU between them that say `start` until they have learned.
pub(super) fn head(
    features: usize,
    hidden: usize,
    start: &Tensor,
    vb: &VarBuilder,
) -> Result<Sequential> {
    let last = LinearConfig::new(hidden, start.numel()).init(Init::ZEROS);
    Ok(Sequential::new()
        .push(LinearConfig::new(features, hidden).build(&(vb / 0))?)
        .push(Activation::Relu)
        .push(last.build_from_bias(start, &(vb / 2))?))
}
