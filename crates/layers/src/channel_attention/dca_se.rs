//! Squeeze-and-excitation that also sees what the block before it attended to.
//!
//! ```text
//! z = mean_hw(x)
//! q = relu(layer_norm(P p))                 p: from the block before; P only where the widths differ
//! a = relu(layer_norm(v0 z + v1 q + b))     a = z in the first block of a network
//! s = sigmoid(W2 relu(W1 a + b1) + b2)
//! y = x * s,  and s * z for the next block
//! ```
//!
//! Paper: Ma, Guo, Tang, Yang, Wang, Fu, *DCANet: Learning Connected Attentions for Convolutional
//! Neural Networks*, ICME 2021, arXiv:2007.05099. Departures: none from the released code.
//! Parameters: `2*C*R + R + C` of the perceptron, `3 + 2*C` of the connection, `P*C + 3*C` of the
//! projection from `P` channels.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::basic::Perceptron;
use crate::util::{invalid, reduced_channels};
use crate::{
    Conv2d, Conv2dConfig, Layer, LayerNorm, LayerNormConfig, Linear, LinearConfig, Module,
    Rounding, VarBuilder, Visitor, probe,
};

const LAYER: &str = "DcaSe";

/// How to build a [`DcaSe`].
#[derive(Clone, Debug)]
pub struct DcaSeConfig {
    /// Width of what the block before hands on.
    pub previous_channels: usize,
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels the bottleneck has.
    pub reduction: usize,
    /// Whether there is a block before. The first block of a network has the weights of the connection
    /// too, as in the released code, and does not use them.
    pub connected: bool,
}

impl DcaSeConfig {
    /// Reduction 16, connected.
    #[must_use]
    pub fn new(previous_channels: usize, channels: usize) -> Self {
        Self {
            previous_channels,
            channels,
            reduction: 16,
            connected: true,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Says whether there is a block before.
    #[must_use]
    pub fn connected(mut self, connected: bool) -> Self {
        self.connected = connected;
        self
    }

    /// Builds the module: `fc.0`, `fc.2`, `att_fc.0`, `att_fc.1` where the widths differ, `conv.0` and
    /// `conv.1`, as in the released code.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be.
    pub fn build(&self, vb: &VarBuilder) -> Result<DcaSe> {
        let (p, c) = (self.previous_channels, self.channels);
        let width = reduced_channels(LAYER, c, self.reduction, Rounding::Floor)
            .map_err(|e| e.at(vb.path()))?;
        let norm = |vb: VarBuilder| LayerNormConfig::new([c]).build(&vb);
        let project = || -> Result<_> {
            Ok((
                LinearConfig::new(p, c).build(&(vb / "att_fc" / 0))?,
                norm(vb / "att_fc" / 1)?,
            ))
        };
        Ok(DcaSe {
            path: Arc::clone(vb.path()),
            connected: self.connected,
            fc: Perceptron::linear([c, width], ["0", "2"], &(vb / "fc"))?,
            project: (p != c).then(project).transpose()?,
            join: Conv2dConfig::new(2, 1, 1).build(&(vb / "conv" / 0))?,
            join_norm: norm(vb / "conv" / 1)?,
        })
    }
}

/// Connected squeeze-and-excitation. Emits its gate as
/// [`ChannelGate`](crate::probe::ProbeKind::ChannelGate).
#[derive(Debug)]
pub struct DcaSe {
    path: Arc<str>,
    connected: bool,
    fc: Perceptron,
    project: Option<(Linear, LayerNorm)>,
    join: Conv2d,
    join_norm: LayerNorm,
}

impl Layer for DcaSe {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("fc", &self.fc);
        if let Some((linear, norm)) = &self.project {
            v.child("att_fc.0", linear);
            v.child("att_fc.1", norm);
        }
        v.child("conv.0", &self.join);
        v.child("conv.1", &self.join_norm);
    }
}

impl DcaSe {
    /// The attended map, and what the next block wants to know.
    ///
    /// # Shapes
    /// `[N, C, H, W]`, and `[N, P]` of the block before, to `[N, C, H, W]` and `[N, C]`.
    ///
    /// # Errors
    /// The shapes do not fit, or something of a block before is missing or there is no such block.
    pub fn forward(&self, x: &Tensor, previous: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        scope(&self.path, || {
            let [n, c, _, _] = x.dims_array(LAYER)?;
            if previous.is_some() != self.connected {
                let rule =
                    "a connected block takes what the one before hands on, and only such a block";
                return Err(invalid(LAYER, "connected", self.connected, rule));
            }
            let means = x.mean(&[2, 3], false)?;
            let attended = match previous {
                Some(previous) => self.connect(&means, previous)?,
                None => means.clone(),
            };
            let gate = self.fc.forward(&attended)?.sigmoid()?;
            let factors = gate.reshape([n, c, 1, 1])?;
            probe::emit_channels(&self.path, &factors)?;
            Ok((x.mul(&factors)?, means.mul(&gate)?))
        })
    }

    fn connect(&self, means: &Tensor, previous: &Tensor) -> Result<Tensor> {
        let [n, c] = means.dims_array(LAYER)?;
        let previous = match &self.project {
            Some((linear, norm)) => norm.forward(&linear.forward(previous)?)?.relu()?,
            None => previous.clone(),
        };
        let both = Tensor::stack(&[means, &previous], 1)?.reshape([n, 2, 1, c])?;
        let joined = self.join.forward(&both)?.reshape([n, c])?;
        self.join_norm.forward(&joined)?.relu()
    }
}
