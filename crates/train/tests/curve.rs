//! Twenty training steps give PyTorch's losses and final weights, from the same start and the same batches, at every level.

use std::path::Path;

use striate_layers::{
    Activation, BatchNormConfig, Conv2dConfig, GlobalAvgPool, LinearConfig, MaxPool2d, Module,
    Sequential, StateDict, VarBuilder, state_dict,
};
use striate_tensor::{Level, PoolOptions, Result, Tensor, with_level};
use striate_testkit::case::{CaseFile, CaseTensor, Data};
use striate_testkit::tolerance;
use striate_train::loss::cross_entropy;
use striate_train::optim::{AdamWConfig, Optimizer, OptimizerConfig, SgdConfig};

const RTOL: f64 = 2e-5;

fn tensor(case: &CaseTensor) -> Result<Tensor> {
    match &case.data {
        Data::F32(v) => Tensor::from_slice(v, case.shape.as_slice()),
        Data::I64(v) => Tensor::from_slice(v, case.shape.as_slice()),
        Data::U8(v) => Tensor::from_slice(v, case.shape.as_slice()),
    }
}

fn network(case: &CaseFile) -> Result<impl Module> {
    let start = case.group("param.").chain(case.group("buffer."));
    let start = start.map(|(name, t)| Ok((name.to_owned(), tensor(t)?)));
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

fn optimizer(case: &CaseFile) -> (OptimizerConfig, f64) {
    let number = |key: &str| case.config[key].as_f64().expect("a number");
    let config = match case.name.as_str() {
        "sgd" => OptimizerConfig::Sgd(SgdConfig {
            momentum: number("momentum"),
            nesterov: case.config["nesterov"].as_bool().expect("a flag"),
            weight_decay: number("weight_decay"),
            ..SgdConfig::default()
        }),
        "adamw" => OptimizerConfig::AdamW(AdamWConfig {
            betas: [0, 1].map(|i| case.config["betas"][i].as_f64().expect("a number")),
            eps: number("eps"),
            weight_decay: number("weight_decay"),
            ..AdamWConfig::default()
        }),
        other => panic!("no optimizer {other}"),
    };
    (config, number("lr"))
}

fn assert_close(name: &str, y: &[f32], expected: &CaseTensor) {
    let expected = expected.as_f32().expect("f32");
    let comparison = tolerance::compare(y, expected, RTOL);
    assert!(comparison.passes(), "{name}: {comparison:?}");
}

fn replay(file: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden/cases/curve")
        .join(file);
    let case = CaseFile::read(&path).expect("the case is committed");
    let net = network(&case)?;
    let (config, rate) = optimizer(&case);
    let mut optimizer = Optimizer::new(&net, config).expect("the case's settings");
    let images = tensor(&case.tensors["input.0"])?;
    let labels = tensor(&case.tensors["input.1"])?;
    let mut losses = Vec::new();
    for step in 0..images.shape()[0] {
        let loss = cross_entropy(
            &net.forward(&images.select(0, step)?)?,
            &labels.select(0, step)?,
            0.0,
        )?;
        losses.push(loss.item::<f32>()?);
        optimizer.step(&loss.backward()?, rate).expect("a step");
    }
    assert_close("losses", &losses, &case.tensors["output.0"]);
    let after = state_dict(&net);
    assert_eq!(after.len(), case.group("after.").count());
    for (name, expected) in case.group("after.") {
        let tensor = after.get(name).expect("the network has the case's names");
        match &expected.data {
            Data::I64(count) => assert_eq!(&tensor.to_vec::<i64>()?, count, "{name}"),
            _ => assert_close(name, &tensor.to_vec::<f32>()?, expected),
        }
    }
    Ok(())
}

fn replay_at_every_level(file: &str) {
    for level in Level::available() {
        eprintln!("{}", level.name());
        with_level(level, || replay(file)).expect("every step succeeds");
    }
}

#[test]
fn sgd() {
    replay_at_every_level("curve-sgd.safetensors");
}

#[test]
fn adamw() {
    replay_at_every_level("curve-adamw.safetensors");
}
