//! A convolution: a layer that keeps its weights.

use protocol::{Case, Loaded, Mode, Result};
use striate::Tensor;
use striate::layers::{
    Conv2dConfig, ConvTranspose2dConfig, Module, StateDict, VarBuilder, named_parameters,
};

use crate::run::{Forward, Training};

/// The layer of a case and its input.
pub fn load(case: &Case, mode: Mode) -> Result<Box<dyn Loaded>> {
    let layer = layer(case)?;
    // What comes from outside, an image of a few channels, is as it came: row-major.
    let x = Tensor::from_vec(case.input(), case.input_shape())?;
    let x = if case.ci < 8 { x } else { x.channels_last()? };
    let x = if mode == Mode::FwdBwd {
        x.requires_grad(true)?
    } else {
        x
    };
    let mut leaves = vec![x.clone()];
    leaves.extend(
        named_parameters(layer.as_ref())
            .into_iter()
            .map(|(_, p)| p.tensor()),
    );
    let run = move || Ok(vec![layer.forward(&x)?]);
    Ok(match mode {
        Mode::Fwd => Box::new(Forward::new(run)),
        Mode::FwdBwd => Box::new(Training::new(leaves, run)?),
    })
}

fn layer(case: &Case) -> Result<Box<dyn Module>> {
    let &Case {
        ci,
        co,
        k,
        s,
        p,
        d,
        g,
        ..
    } = case;
    let mut weights = StateDict::new();
    weights.insert(
        "weight",
        Tensor::from_vec(case.weight(), case.weight_shape())?,
    );
    weights.insert("bias", Tensor::from_vec(case.bias(), [co])?);
    let weights = VarBuilder::from_state_dict(weights);
    Ok(if case.transposed() {
        let config = ConvTranspose2dConfig::new(ci, co, k);
        let config = config.stride(s).padding(p).dilation(d).groups(g);
        Box::new(config.build(&weights)?)
    } else {
        let config = Conv2dConfig::new(ci, co, k);
        let config = config.stride(s).padding(p).dilation(d).groups(g);
        Box::new(config.build(&weights)?)
    })
}
