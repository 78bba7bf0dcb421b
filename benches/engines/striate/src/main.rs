//! striate as an application uses it: a layer that keeps its weights, called on tensors.
//!
//! `--peak` measures the machine instead: see [`peak`].

mod peak;

use protocol::{Case, Loaded, Mode, Result};
use striate::layers::{
    Conv2dConfig, ConvTranspose2dConfig, Module, StateDict, VarBuilder, named_parameters,
};
use striate::{Tensor, no_grad};

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--peak") {
        return peak::serve();
    }
    striate::kernels::parallel::set_threads(protocol::threads())?;
    Ok(protocol::serve(load)?)
}

fn load(case: &Case, mode: Mode) -> Result<Box<dyn Loaded>> {
    let layer = layer(case)?;
    // What comes from outside, an image of a few channels, is as it came: row-major.
    let x = Tensor::from_vec(case.input(), case.input_shape())?;
    let x = if case.ci < 8 { x } else { x.channels_last()? };
    Ok(match mode {
        Mode::Fwd => Box::new(Forward { layer, x, y: None }),
        Mode::FwdBwd => {
            let y = no_grad(|| layer.forward(&x))?;
            let gradient = Tensor::from_vec(case.output_gradient(y.numel()), y.shape())?;
            let gradient = if y.is_channels_last() {
                gradient.channels_last()?
            } else {
                gradient
            };
            Box::new(Training {
                layer,
                x: x.requires_grad(true)?,
                gradient,
                found: Vec::new(),
            })
        }
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
        Box::new(
            config
                .stride(s)
                .padding(p)
                .dilation(d)
                .groups(g)
                .build(&weights)?,
        )
    } else {
        let config = Conv2dConfig::new(ci, co, k);
        Box::new(
            config
                .stride(s)
                .padding(p)
                .dilation(d)
                .groups(g)
                .build(&weights)?,
        )
    })
}

struct Forward {
    layer: Box<dyn Module>,
    x: Tensor,
    y: Option<Tensor>,
}

impl Loaded for Forward {
    fn run(&mut self) -> Result<()> {
        self.y = Some(no_grad(|| self.layer.forward(&self.x))?);
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let y = self.y.as_ref().ok_or("nothing ran")?;
        Ok(vec![y.to_vec()?])
    }
}

struct Training {
    layer: Box<dyn Module>,
    x: Tensor,
    gradient: Tensor,
    /// The gradients of the input, the weights and the bias.
    found: Vec<Tensor>,
}

impl Loaded for Training {
    fn run(&mut self) -> Result<()> {
        let gradients = self.layer.forward(&self.x)?.backward_with(&self.gradient)?;
        let parameters = named_parameters(self.layer.as_ref());
        let leaves = [self.x.clone()].into_iter();
        let leaves = leaves.chain(parameters.into_iter().map(|(_, p)| p.tensor()));
        let found = leaves.map(|leaf| {
            gradients
                .get(&leaf)
                .cloned()
                .ok_or("a leaf has no gradient")
        });
        self.found = found.collect::<std::result::Result<_, _>>()?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let parts = self.found.iter().map(Tensor::to_vec);
        Ok(parts.collect::<striate::Result<_>>()?)
    }
}
