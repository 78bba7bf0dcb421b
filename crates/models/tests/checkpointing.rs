//! Networks whose stages compute their activations again. One test, alone in its process: memory is counted for all of it.

use striate_layers::{Module, VarBuilder, named_parameters, set_checkpointing, state_dict};
use striate_models::{Options, build};
use striate_tensor::{DType, Philox, Result, Tensor, manual_seed, memory};

/// A training step: what the network is then, its gradients and the bytes in use after the forward pass and at most.
struct Step {
    numbers: Vec<(String, Vec<f32>)>,
    kept: usize,
    peak: usize,
}

fn step(name: &str, x: &Tensor, again: bool) -> Result<Step> {
    let options = Options::default().in_channels(x.shape()[1]).classes(5);
    let net = build(name, &options, &VarBuilder::seeded(1))?;
    let stages = set_checkpointing(&net, again);
    assert!(stages >= 3, "{name}: {stages} stages");
    // Weights are packed when they are first used.
    manual_seed(3);
    net.forward(x)?.sum_all()?.backward()?;
    manual_seed(4);
    let before = memory::stats().current;
    memory::reset_peak();
    let y = net.forward(x)?;
    let kept = memory::stats().current - before;
    let grads = y.square()?.sum_all()?.backward()?;
    let peak = memory::stats().peak - before;
    let mut numbers = Vec::new();
    for (name, p) in named_parameters(&net) {
        let grad = grads
            .get(&p.tensor())
            .map_or(Ok(Vec::new()), Tensor::to_vec::<f32>)?;
        numbers.push((name, grad));
    }
    for (name, tensor) in state_dict(&net) {
        numbers.push((name, tensor.to_dtype(DType::F32)?.to_vec::<f32>()?));
    }
    Ok(Step {
        numbers,
        kept,
        peak,
    })
}

#[test]
fn stages_keep_little_and_change_no_number() -> Result<()> {
    for (name, shape) in [
        ("seresnet_small", [8, 1, 32, 32]),
        ("sknet_cifar", [2, 3, 32, 32]),
        ("resnet50", [2, 3, 96, 96]),
        ("efficientnet_b0", [2, 3, 96, 96]),
    ] {
        let x = Tensor::randn(shape, &mut Philox::new(7))?;
        let (plain, again) = (step(name, &x, false)?, step(name, &x, true)?);
        assert_eq!(plain.numbers.len(), again.numbers.len());
        for (a, b) in plain.numbers.iter().zip(&again.numbers) {
            assert!(a == b, "{name}: {}", a.0);
        }
        assert!(2 * again.kept < plain.kept, "{name}: {}", again.kept);
        assert!(again.peak < plain.peak, "{name}: {}", again.peak);
    }
    Ok(())
}
