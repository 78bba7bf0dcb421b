//! A module of the catalogue.

use protocol::{Loaded, Mode, Plugin, Result};
use striate::Tensor;
use striate::layers::catalog;
use striate::layers::{VarBuilder, named_parameters, set_training};

use crate::run::{Forward, Training, laid_out};

/// The module with its parameters, in evaluation or in training.
pub fn load(case: &Plugin, mode: Mode) -> Result<Box<dyn Loaded>> {
    let entry = catalog::find(&case.module)?;
    let module = entry.build(&case.config, &VarBuilder::seeded(0))?;
    set_training(&module, mode == Mode::FwdBwd);
    let mut parameters = named_parameters(&module);
    parameters.sort_by(|a, b| a.0.cmp(&b.0));
    for (place, (name, parameter)) in parameters.iter().enumerate() {
        let shape = parameter.shape().to_vec();
        let numbers = Plugin::parameter(place, name, &shape);
        parameter.set(&Tensor::from_vec(numbers, shape.as_slice())?)?;
    }
    let inputs: Vec<Tensor> = case
        .inputs()
        .into_iter()
        .map(laid_out)
        .collect::<Result<_>>()?;
    let leaf = |x: &Tensor| x.requires_grad(mode == Mode::FwdBwd);
    let inputs: Vec<Tensor> = inputs.iter().map(leaf).collect::<striate::Result<_>>()?;
    let mut leaves = inputs.clone();
    leaves.extend(parameters.iter().map(|(_, p)| p.tensor()));
    let run = move || Ok(module.run(&inputs)?);
    Ok(match mode {
        Mode::Fwd => Box::new(Forward::new(run)),
        Mode::FwdBwd => Box::new(Training::new(leaves, run)?),
    })
}
