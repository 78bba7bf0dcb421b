//! A network by name, with weights from a file.

use protocol::{LEARNING_RATE, Loaded, MOMENTUM, Mode, Network, Result};
use striate::layers::{
    Loading, Module, VarBuilder, load_state_dict, named_parameters, set_training, weights,
};
use striate::models::{self, Options};
use striate::train::loss::cross_entropy;
use striate::train::optim::{Optimizer, OptimizerConfig, SgdConfig};
use striate::{Gradients, Tensor};

use crate::run::Forward;

/// The network of a case, in evaluation or with what trains it.
pub fn load(case: &Network, mode: Mode) -> Result<Box<dyn Loaded>> {
    if mode == Mode::FwdBwd {
        return Ok(Box::new(Step::new(case)?));
    }
    let net = build(case)?;
    set_training(&net, false);
    let x = Tensor::from_vec(case.input(), case.shape)?;
    Ok(Box::new(Forward::new(move || Ok(vec![net.forward(&x)?]))))
}

fn build(case: &Network) -> Result<Box<dyn Module>> {
    let net = models::build(&case.network, &Options::default(), &VarBuilder::zeros())?;
    let weights = weights::load(&case.weights)?.state_dict;
    load_state_dict(&net, &weights, Loading::Strict)?;
    Ok(net)
}

/// A step of training on one batch.
struct Step {
    case: Network,
    x: Tensor,
    labels: Tensor,
    net: Box<dyn Module>,
    optimizer: Optimizer,
}

impl Step {
    fn new(case: &Network) -> Result<Self> {
        let (net, optimizer) = Self::begin(case)?;
        Ok(Self {
            x: Tensor::from_vec(case.input(), case.shape)?,
            labels: Tensor::from_vec(case.labels(), [case.shape[0]])?,
            case: case.clone(),
            net,
            optimizer,
        })
    }

    fn begin(case: &Network) -> Result<(Box<dyn Module>, Optimizer)> {
        let net = build(case)?;
        set_training(&net, true);
        let config = SgdConfig {
            momentum: MOMENTUM,
            ..SgdConfig::default()
        };
        let optimizer = Optimizer::new(&net, OptimizerConfig::Sgd(config))?;
        Ok((net, optimizer))
    }

    /// The loss before the step, and the gradients.
    fn step(&mut self) -> Result<(f32, Gradients)> {
        let loss = cross_entropy(&self.net.forward(&self.x)?, &self.labels, 0.0)?;
        let gradients = loss.backward()?;
        self.optimizer.step(&gradients, LEARNING_RATE)?;
        Ok((loss.item()?, gradients))
    }
}

impl Loaded for Step {
    fn run(&mut self) -> Result<()> {
        self.step()?;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        (self.net, self.optimizer) = Self::begin(&self.case)?;
        let mut parameters = named_parameters(&self.net);
        parameters.sort_by(|a, b| a.0.cmp(&b.0));
        // A gradient is that of the tensor that the parameter was.
        let leaves: Vec<Tensor> = parameters.iter().map(|(_, p)| p.tensor()).collect();
        let (first, gradients) = self.step()?;
        let of = |leaf: &Tensor| Ok(gradients.get(leaf).ok_or("no gradient")?.to_vec()?);
        let mut parts = vec![vec![first, self.step()?.0, self.step()?.0]];
        parts.extend(leaves.iter().map(of).collect::<Result<Vec<_>>>()?);
        Ok(parts)
    }
}
