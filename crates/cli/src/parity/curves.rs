//! Cases of loss curves: the training steps of a small network, whose losses and final state are compared.

use serde_json::Value;
use striate::layers::{
    Activation, BatchNormConfig, Conv2dConfig, GlobalAvgPool, LinearConfig, MaxPool2d, Module,
    Sequential, StateDict, VarBuilder, state_dict,
};
use striate::train::loss::cross_entropy;
use striate::train::optim::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig};
use striate::{PoolOptions, Result, Tensor};
use striate_testkit::CaseFile;

use super::{Computed, tensor};

/// Takes the steps of the case.
pub(super) fn run(case: &CaseFile) -> std::result::Result<Computed, String> {
    let text = |e: striate::Error| e.to_string();
    let network = network(case).map_err(text)?;
    let (config, rate) = optimizer(case)?;
    let mut optimizer = Optimizer::new(&network, config).map_err(|e| e.to_string())?;
    let input = |name: &str| match case.tensors.get(name) {
        Some(values) => tensor(values).map_err(text),
        None => Err(format!("the case lacks {name}")),
    };
    let (images, labels) = (input("input.0")?, input("input.1")?);
    let mut losses = Vec::new();
    for step in 0..images.dim(0).map_err(text)? {
        let loss = loss(&network, &images, &labels, step).map_err(text)?;
        losses.push(loss.item::<f32>().map_err(text)?);
        let grads = loss.backward().map_err(text)?;
        optimizer.step(&grads, rate).map_err(|e| e.to_string())?;
    }
    let mut computed = Computed::new();
    let steps = losses.len();
    computed.insert(
        "output.0".to_owned(),
        Tensor::from_vec(losses, steps).map_err(text)?,
    );
    for (name, value) in state_dict(&network).iter() {
        computed.insert(format!("after.{name}"), value.clone());
    }
    Ok(computed)
}

fn loss(network: &dyn Module, images: &Tensor, labels: &Tensor, step: usize) -> Result<Tensor> {
    let logits = network.forward(&images.select(0, step)?)?;
    cross_entropy(&logits, &labels.select(0, step)?, 0.0)
}

/// The network of every curve, with the state the case starts from.
fn network(case: &CaseFile) -> Result<impl Module> {
    let start = case.group("param.").chain(case.group("buffer."));
    let start = start.map(|(name, value)| Ok((name.to_owned(), tensor(value)?)));
    let vb = VarBuilder::from_state_dict(start.collect::<Result<StateDict>>()?);
    let conv = |i, o| Conv2dConfig::new(i, o, 3).padding(1).bias(false);
    Ok(Sequential::new()
        .push_named("conv1", conv(1, 8).build(&(&vb / "conv1"))?)
        .push_named("bn1", BatchNormConfig::new(8).build_2d(&(&vb / "bn1"))?)
        .push_named("relu1", Activation::Relu)
        .push_named("pool1", MaxPool2d::new(PoolOptions::new(2)))
        .push_named("conv2", conv(8, 16).build(&(&vb / "conv2"))?)
        .push_named("bn2", BatchNormConfig::new(16).build_2d(&(&vb / "bn2"))?)
        .push_named("relu2", Activation::Relu)
        .push_named("mean", GlobalAvgPool)
        .push_named("fc", LinearConfig::new(16, 10).build(&(&vb / "fc"))?))
}

/// The optimizer that the case is named after, and its rate.
fn optimizer(case: &CaseFile) -> std::result::Result<(OptimizerConfig, f64), String> {
    let read = |value: &Value, name: &str| {
        value
            .as_f64()
            .ok_or_else(|| format!("attribute \"{name}\" is {value}, not a number"))
    };
    let number = |name: &str| read(&case.config[name], name);
    let config = match case.name.as_str() {
        "sgd" => OptimizerConfig::Sgd(SgdConfig {
            momentum: number("momentum")?,
            nesterov: case.config["nesterov"] == true,
            weight_decay: number("weight_decay")?,
            ..SgdConfig::default()
        }),
        "adamw" => {
            let beta = |i: usize| read(&case.config["betas"][i], "betas");
            OptimizerConfig::AdamW(AdamWConfig {
                betas: [beta(0)?, beta(1)?],
                eps: number("eps")?,
                weight_decay: number("weight_decay")?,
                ..AdamWConfig::default()
            })
        }
        other => return Err(format!("no optimizer is called \"{other}\" here")),
    };
    Ok((config, number("lr")?))
}
