//! Layers that compute their activations again: the numbers are those of the layers alone.

use striate_layers::{
    Activation, BatchNormConfig, Checkpointed, Conv2dConfig, Dropout, Module, Sequential,
    SwitchableNormConfig, VarBuilder, evaluating, named_parameters, set_checkpointing,
    set_trainable, state_dict,
};
use striate_tensor::{Philox, Result, Tensor, manual_seed, no_grad};

/// Convolution, batch norm, activation, dropout.
fn block(from: usize, to: usize, vb: &VarBuilder) -> Result<Sequential> {
    let conv = Conv2dConfig::new(from, to, 3).padding(1).bias(false);
    Ok(Sequential::new()
        .push(conv.build(&(vb / 0))?)
        .push(BatchNormConfig::new(to).build_2d(&(vb / 1))?)
        .push(Activation::Relu)
        .push(Dropout::new(0.3, vb)?))
}

/// A block, a block in a pair of blocks, a switchable norm: all can be computed again, the inner block by itself too.
fn network() -> Result<Sequential> {
    let vb = VarBuilder::seeded(2);
    let inner = Checkpointed::off(block(8, 8, &(&vb / 1 / 0))?);
    let pair = Sequential::new()
        .push(inner)
        .push(block(8, 12, &(&vb / 1 / 1))?);
    let norm = SwitchableNormConfig::new(12).build(&(&vb / 2))?;
    Ok(Sequential::new()
        .push(Checkpointed::off(block(3, 8, &(&vb / 0))?))
        .push(Checkpointed::off(pair))
        .push(Checkpointed::off(norm)))
}

/// Values after two steps' worth of passes: outputs, gradients, parameters and buffers.
fn passes(net: &Sequential, input_tracks: bool) -> Result<Vec<(String, Vec<u32>)>> {
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        let values = t.to_dtype(striate_tensor::DType::F32)?.to_vec::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    manual_seed(11);
    let mut rng = Philox::new(5);
    let mut found = Vec::new();
    for pass in 0..2 {
        let x = Tensor::randn([3, 3, 10, 10], &mut rng)?.requires_grad(input_tracks)?;
        let y = net.forward(&x)?;
        found.push((format!("{pass}: output"), bits(&y)?));
        let grads = y.square()?.sum_all()?.backward()?;
        if input_tracks {
            let grad = grads.get(&x).expect("it tracks gradients");
            found.push((format!("{pass}: input"), bits(grad)?));
        }
        for (name, p) in named_parameters(net) {
            if let Some(grad) = grads.get(&p.tensor()) {
                found.push((format!("{pass}: {name}"), bits(grad)?));
            }
        }
    }
    for (name, tensor) in state_dict(net) {
        found.push((name.clone(), bits(&tensor)?));
    }
    Ok(found)
}

#[test]
fn computing_again_changes_no_number() -> Result<()> {
    for input_tracks in [true, false] {
        let plain = network()?;
        let net = network()?;
        assert_eq!(set_checkpointing(&net, true), 4);
        let (expected, found) = (passes(&plain, input_tracks)?, passes(&net, input_tracks)?);
        assert!(expected.len() > 30);
        assert_eq!(expected, found);
        let batches = state_dict(&net).get("1.0.1.num_batches_tracked").cloned();
        assert_eq!(batches.map(|b| b.item::<i64>()).transpose()?, Some(2));
    }
    Ok(())
}

#[test]
fn frozen_layers_and_evaluation_are_as_without() -> Result<()> {
    let (plain, net) = (network()?, network()?);
    set_checkpointing(&net, true);
    for network in [&plain, &net] {
        for (name, p) in named_parameters(network) {
            p.set_trainable(!name.starts_with("0."));
        }
    }
    assert_eq!(passes(&plain, false)?, passes(&net, false)?);

    let x = Tensor::randn([2, 3, 8, 8], &mut Philox::new(1))?;
    let score = |n: &Sequential| evaluating(n, || no_grad(|| n.forward(&x)));
    assert_eq!(
        score(&plain)?.to_vec::<f32>()?,
        score(&net)?.to_vec::<f32>()?
    );
    set_trainable(&net, false);
    assert!(!net.forward(&x)?.tracks_grad(), "nothing to compute again");
    Ok(())
}

#[test]
fn the_end_of_a_residual_block_is_computed_again_too() -> Result<()> {
    let vb = VarBuilder::seeded(3);
    let branch = || block(4, 4, &vb);
    let x = Tensor::randn([2, 4, 6, 6], &mut Philox::new(2))?.requires_grad(true)?;
    let gradient = |layer: &dyn Module| -> Result<_> {
        manual_seed(1);
        let y = layer.forward_onto(&x.exp()?, Activation::Relu, &x)?;
        let names = y.graph().nodes.len();
        let grads = y.square()?.sum_all()?.backward()?;
        Ok((grads.get(&x).expect("a leaf").to_vec::<f32>()?, names))
    };
    let (plain, all) = gradient(&branch()?)?;
    let (again, few) = gradient(&Checkpointed::new(branch()?))?;
    assert_eq!(plain, again);
    assert_eq!(few, 2, "the exponential and the checkpoint");
    assert!(all > few);
    Ok(())
}
