//! Networks for inference alone.

use std::thread;

use striate_layers::{Layer, Mode, Module, VarBuilder, Visitor, module::named_parameters};
use striate_models::{Inference, Options, ResNetConfig, build};
use striate_tensor::autograd::is_grad_enabled;
use striate_tensor::{Philox, Result, Tensor, no_grad};

fn image(batch: usize, seed: u64) -> Result<Tensor> {
    Tensor::randn([batch, 3, 64, 64], &mut Philox::new(seed))
}

#[test]
fn two_threads_share_a_network_and_get_the_same_bits() -> Result<()> {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let net = build(
        "seresnet18",
        &Options::default().classes(10),
        &VarBuilder::seeded(0),
    )?;
    let net = Inference::new(net, &[1, 3, 64, 64])?;
    is_shared(&net);
    // One that has been packed for, and one that has not.
    let images = [image(1, 1)?, image(3, 2)?];
    let run = || -> Result<Vec<Vec<f32>>> {
        let runs = images.iter().cycle().take(8);
        runs.map(|x| net.run(x)?.to_vec()).collect()
    };
    let [first, second] = thread::scope(|s| {
        let threads = [s.spawn(run), s.spawn(run)];
        threads.map(|t| t.join().expect("no thread panics"))
    });
    let alone = run()?;
    assert!(alone[0].iter().all(|v| v.is_finite()) && alone[0] != alone[1][..10]);
    assert!(first? == alone && second? == alone);
    Ok(())
}

#[test]
fn a_network_for_inference_is_frozen_and_in_evaluation() -> Result<()> {
    let config = ResNetConfig::resnet18().classes(10);
    let net = config.build(&VarBuilder::seeded(0))?;
    let before = net.forward(&image(2, 1)?)?;
    assert!(before.tracks_grad());
    let net = net.for_inference(&[2, 3, 64, 64])?;
    let y = net.run(&image(2, 1)?)?;
    assert!(!y.tracks_grad());
    assert_ne!(
        y.to_vec::<f32>()?,
        before.to_vec::<f32>()?,
        "batch statistics are gone"
    );
    assert!(net.run(&image(2, 1)?.narrow(1, 0, 2)?).is_err());
    let net = net.into_inner();
    assert!(named_parameters(&net).iter().all(|(_, p)| !p.trainable()));
    assert!(!net.forward(&image(2, 1)?)?.tracks_grad());
    Ok(())
}

/// Gives something else when nobody asks for gradients.
#[derive(Debug, Default)]
struct Moody {
    mode: Mode,
    wrong: f64,
}

impl Layer for Moody {
    fn visit(&self, v: &mut dyn Visitor) {
        v.mode(&self.mode);
    }
}

impl Module for Moody {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let factor = if is_grad_enabled() {
            1.0
        } else {
            1.0 + self.wrong
        };
        x.mul_scalar(if self.mode.training() { 0.0 } else { factor })
    }
}

#[test]
fn a_network_that_computes_something_else_is_refused() -> Result<()> {
    let new = |wrong| {
        let mode = Mode::new();
        Inference::new(Moody { mode, wrong }, &[2, 3])
    };
    new(1e-5)?;
    for wrong in [1e-3, f64::NAN] {
        let error = new(wrong).expect_err("it departs").to_string();
        assert!(error.contains("one after the other"), "{error}");
    }
    let error = no_grad(|| new(0.0)).expect_err("nothing to compare with");
    assert!(error.to_string().contains("no_grad"), "{error}");
    let net = ResNetConfig::resnet18().build(&VarBuilder::seeded(0))?;
    assert!(net.for_inference(&[1, 4, 64, 64]).is_err());
    Ok(())
}
