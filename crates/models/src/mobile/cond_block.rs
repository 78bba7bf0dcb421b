//! A block whose convolutions are mixtures of experts that share one routing.

use std::sync::Arc;

use striate_layers::{
    Activation, BatchNorm2d, CondConv2dConfig, CondConvExperts, Conv2dConfig, Init, Layer, Linear,
    LinearConfig, Module, SqueezeExcite, VarBuilder, Visitor, norm_act,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::block::{Block, PadSame, Style};

/// `bn3(pwl(se(act(bn2(dw(act(bn1(pw(x)))))))))`, and the input where it fits; the experts of `pw`, `dw` and `pwl` are
/// mixed by `sigmoid(routing_fn(mean_hw(x)))`.
#[derive(Debug)]
pub(super) struct CondBlock {
    path: Arc<str>,
    routing_fn: Linear,
    layers: [Mixed; 3],
    gate: Option<SqueezeExcite>,
    act: Activation,
    adds_input: bool,
}

/// A mixed convolution and its batch norm.
#[derive(Debug)]
struct Mixed {
    names: [&'static str; 2],
    pad: Option<PadSame>,
    conv: CondConvExperts,
    bn: BatchNorm2d,
}

impl Mixed {
    fn forward(&self, x: &Tensor, routing: &Tensor, act: Activation) -> Result<Tensor> {
        let y = match &self.pad {
            Some(pad) => self.conv.forward(&pad.forward(x)?, routing)?,
            None => self.conv.forward(x, routing)?,
        };
        norm_act(&self.bn, act, &y)
    }
}

impl CondBlock {
    pub(super) fn build(
        block: &Block,
        experts: usize,
        style: &Style<'_>,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let mixed = |conv: Conv2dConfig, names: [&'static str; 2]| {
            let mut conv = style.init(conv.same_padding());
            let pad = style.padding(&conv);
            if pad.is_some() {
                conv = conv.padding(0);
            }
            let bn = style.batch_norm(conv.out_channels);
            let conv = CondConv2dConfig::new(conv).experts(experts);
            Ok::<_, striate_tensor::Error>(Mixed {
                names,
                pad,
                conv: conv.build_experts(&(vb / names[0]))?,
                bn: bn.build_2d(&(vb / names[1]))?,
            })
        };
        let bound = 1.0 / (block.in_channels.saturating_add(experts).max(1) as f64).sqrt();
        let routing_fn = LinearConfig::new(block.in_channels, experts)
            .init(Init::Uniform { bound })
            .bias_init(Init::ZEROS);
        let gate = block.gate.map(|width| {
            let gate = block.gate_config(style.dialect, width);
            gate.build(&(vb / "se"))
        });
        let [expand, project] = block.pointwise();
        Ok(Self {
            path: Arc::clone(vb.path()),
            routing_fn: routing_fn.build(&(vb / "routing_fn"))?,
            layers: [
                mixed(expand, ["conv_pw", "bn1"])?,
                mixed(block.depthwise(), ["conv_dw", "bn2"])?,
                mixed(project, ["conv_pwl", "bn3"])?,
            ],
            gate: gate.transpose()?,
            act: block.act,
            adds_input: block.adds_input(),
        })
    }
}

impl Layer for CondBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        for Mixed {
            names, conv, bn, ..
        } in &self.layers
        {
            v.child(names[0], conv);
            v.child(names[1], bn);
        }
        if let Some(gate) = &self.gate {
            v.child("se", gate);
        }
        v.child("routing_fn", &self.routing_fn);
    }
}

impl Module for CondBlock {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let routing = self.routing_fn.forward(&x.mean(&[2, 3], false)?)?;
            let routing = routing.sigmoid()?;
            let [expand, depthwise, project] = &self.layers;
            let mut y = expand.forward(x, &routing, self.act)?;
            y = depthwise.forward(&y, &routing, self.act)?;
            if let Some(gate) = &self.gate {
                y = gate.forward(&y)?;
            }
            let y = project.forward(&y, &routing, Activation::Identity)?;
            if self.adds_input { y.add(x) } else { Ok(y) }
        })
    }
}
