//! Ghost bottleneck: two ghost modules around a strided depthwise convolution and a gate, and a
//! shortcut.
//!
//! ```text
//! h = ghost1(x)                        mid channels, ReLU
//! h = bn_dw(conv_dw(h))                if the stride is more than 1; no activation
//! h = se(h)                            if se_ratio > 0; hard sigmoid
//! y = ghost2(h) + shortcut(x)          no activation after ghost2, none after the sum
//! ```
//!
//! Paper: as [`GhostModule`]. Departures: none.
//! Parameters: those of the modules, `d*d*mid + 2*mid` with a stride, `2*mid*R + R + mid` with a gate
//! of width `R`, and `d*d*C + 2*C + C*O + 2*O` if the shortcut is not the identity.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::ghost::{GhostModule, GhostModuleConfig};
use crate::util::{invalid, odd};
use crate::{
    Activation, Conv2dConfig, ConvNormAct, ConvNormActConfig, Gate, Layer, Module, SqueezeExcite,
    SqueezeExciteConfig, VarBuilder, Visitor, make_divisible,
};

/// How to build a [`GhostBottleneck`].
#[derive(Clone, Debug)]
pub struct GhostBottleneckConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels between the two ghost modules.
    pub mid_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the depthwise kernel between the modules and in the shortcut, odd.
    pub dw_kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Width of the gate as a part of the channels between the modules; 0 for no gate.
    pub se_ratio: f64,
}

impl GhostBottleneckConfig {
    /// Kernel 3, stride 1, no gate.
    #[must_use]
    pub fn new(in_channels: usize, mid_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            mid_channels,
            out_channels,
            dw_kernel: 3,
            stride: 1,
            se_ratio: 0.0,
        }
    }

    /// Sets the size of the depthwise kernel.
    #[must_use]
    pub fn dw_kernel(mut self, kernel: usize) -> Self {
        self.dw_kernel = kernel;
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the width of the gate, rounded to a multiple of 4; 0 for no gate.
    #[must_use]
    pub fn se_ratio(mut self, ratio: f64) -> Self {
        self.se_ratio = ratio;
        self
    }

    /// Builds the block under the released code's names: `ghost1`, `conv_dw`, `bn_dw`, `se`, `ghost2`,
    /// `shortcut`.
    ///
    /// # Errors
    /// A number is 0, the kernel is even, or the gate's part is no number from 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<GhostBottleneck> {
        const LAYER: &str = "GhostBottleneck";
        let check = || {
            odd(LAYER, "dw_kernel", self.dw_kernel)?;
            if !(self.se_ratio >= 0.0 && self.se_ratio.is_finite()) {
                let rule = "it must be a number from 0";
                return Err(invalid(LAYER, "se_ratio", self.se_ratio, rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let [i, m, o] = [self.in_channels, self.mid_channels, self.out_channels];
        let plain = |conv, names: [&str; 2], vb: &VarBuilder| {
            let config = ConvNormActConfig::new(conv).act(Activation::Identity);
            config.names(names[0], names[1]).build(vb)
        };
        let depthwise = |channels| {
            Conv2dConfig::new(channels, channels, self.dw_kernel)
                .stride(self.stride)
                .same_padding()
                .groups(channels)
        };
        let ghost1 = GhostModuleConfig::new(i, m).build(&(vb / "ghost1"))?;
        let strided = (self.stride != 1).then(|| plain(depthwise(m), ["conv_dw", "bn_dw"], vb));
        let gate = (self.se_ratio > 0.0).then(|| {
            let width = make_divisible(m as f64 * self.se_ratio, 4, 0.9)?;
            SqueezeExciteConfig::new(m)
                .rd_channels(width)
                .gate(Gate::HardSigmoid)
                .names("conv_reduce", "conv_expand")
                .build(&(vb / "se"))
        });
        let ghost2 = GhostModuleConfig::new(m, o)
            .act(Activation::Identity)
            .build(&(vb / "ghost2"))?;
        let shortcut = (self.stride != 1 || i != o).then(|| -> Result<_> {
            let vb = vb / "shortcut";
            Ok([
                plain(depthwise(i), ["0", "1"], &vb)?,
                plain(Conv2dConfig::new(i, o, 1), ["2", "3"], &vb)?,
            ])
        });
        Ok(GhostBottleneck {
            path: Arc::clone(vb.path()),
            ghost1,
            strided: strided.transpose()?,
            gate: gate.transpose()?,
            ghost2,
            shortcut: shortcut.transpose()?,
        })
    }
}

/// The block of GhostNet. Its gate emits its factors.
#[derive(Debug)]
pub struct GhostBottleneck {
    path: Arc<str>,
    ghost1: GhostModule,
    strided: Option<ConvNormAct>,
    gate: Option<SqueezeExcite>,
    ghost2: GhostModule,
    shortcut: Option<[ConvNormAct; 2]>,
}

impl Layer for GhostBottleneck {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("ghost1", &self.ghost1);
        if let Some(strided) = &self.strided {
            v.child("", strided);
        }
        if let Some(gate) = &self.gate {
            v.child("se", gate);
        }
        v.child("ghost2", &self.ghost2);
        for layer in self.shortcut.iter().flatten() {
            v.child("shortcut", layer);
        }
    }
}

impl Module for GhostBottleneck {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let mut h = self.ghost1.forward(x)?;
            if let Some(strided) = &self.strided {
                h = strided.forward(&h)?;
            }
            if let Some(gate) = &self.gate {
                h = gate.forward(&h)?;
            }
            let h = self.ghost2.forward(&h)?;
            match &self.shortcut {
                // The sum is part of the shortcut's last step.
                Some([depthwise, pointwise]) => {
                    let shortcut = depthwise.forward(x)?;
                    pointwise.forward_onto(&h, Activation::Identity, &shortcut)
                }
                None => h.add(x),
            }
        })
    }
}
