//! What modules over sequences promise.

use striate_layers::*;
use striate_tensor::{Philox, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn config(kernel: usize) -> TcnConfig {
    TcnConfig::new(2, [16, 16]).kernel(kernel).dropout(0.0)
}

#[test]
fn the_past_is_seen_as_far_as_told() -> Result<()> {
    assert_eq!(TcnConfig::new(1, [25; 8]).kernel(7).receptive_field(), 3061);
    for kernel in [1, 2, 3] {
        let config = config(kernel);
        let (len, seen) = (20, config.receptive_field());
        assert_eq!(seen, 1 + 6 * (kernel - 1));
        let net = config.build(&vb())?;
        let x = Tensor::randn([1, 2, len], &mut Philox::new(1))?.requires_grad(true)?;
        let last = net.forward(&x)?.narrow(2, 15, 1)?;
        let grads = last.square()?.sum_all()?.backward()?;
        let grad = grads.get(&x).expect("a gradient").abs()?;
        let reached = grad.sum(&[0, 1], false)?.to_vec::<f32>()?;
        assert!(reached[16..].iter().all(|g| *g == 0.0), "the future");
        assert!(
            reached[..16 - seen].iter().all(|g| *g == 0.0),
            "too far back"
        );
        assert!(reached[15] > 0.0 && reached[16 - seen] > 0.0, "{reached:?}");
    }
    Ok(())
}

#[test]
fn weights_have_a_length_and_a_direction() -> Result<()> {
    let net = config(3).build(&vb())?;
    let x = Tensor::randn([2, 2, 9], &mut Philox::new(1))?;
    let y = net.forward(&x)?.to_vec::<f32>()?;
    let parameters = named_parameters(&net);
    let get = |name: &str| &parameters.iter().find(|p| p.0 == name).expect(name).1;
    // Lengths start as those of the directions, whose own lengths do not matter.
    for conv in ["network.0.conv1", "network.1.conv2"] {
        let direction = get(&format!("{conv}.weight_v"));
        let lengths = direction.tensor().square()?.sum(&[1, 2], true)?.sqrt()?;
        let start = get(&format!("{conv}.weight_g")).tensor();
        assert_eq!(start.to_vec::<f32>()?, lengths.to_vec::<f32>()?);
        direction.set(&direction.tensor().detach().mul_scalar(4.0)?)?;
    }
    assert_eq!(net.forward(&x)?.to_vec::<f32>()?, y);
    let length = get("network.0.conv1.weight_g");
    length.set(&length.tensor().detach().mul_scalar(0.5)?)?;
    assert_ne!(net.forward(&x)?.to_vec::<f32>()?, y);
    Ok(())
}

#[test]
fn other_names_are_understood() -> Result<()> {
    let net = config(3).build(&vb())?;
    for parametrized in [false, true] {
        let mut foreign = StateDict::new();
        for (name, tensor) in state_dict(&net) {
            // Convolutions are there twice: as 0 and 4 of `net` too.
            for (conv, position) in [("conv1", "net.0"), ("conv2", "net.4")] {
                if name.contains(conv) {
                    foreign.insert(name.replace(conv, position), tensor.clone());
                }
            }
            let new = if parametrized {
                name.replace("weight_g", "parametrizations.weight.original0")
                    .replace("weight_v", "parametrizations.weight.original1")
            } else {
                name
            };
            foreign.insert(new, tensor);
        }
        let map = if parametrized {
            tcn_key_maps::parametrizations()
        } else {
            tcn_key_maps::locuslab()
        };
        let dict = map.apply(foreign)?;
        let loaded = config(3).build(&VarBuilder::from_state_dict(dict))?;
        let x = Tensor::randn([2, 2, 9], &mut Philox::new(1))?;
        assert_eq!(
            loaded.forward(&x)?.to_vec::<f32>()?,
            net.forward(&x)?.to_vec::<f32>()?
        );
    }
    Ok(())
}

#[test]
fn what_reaches_too_far_is_refused() -> Result<()> {
    let error = TcnConfig::new(1, [1; 70]).build(&(vb() / "tcn"));
    let error = error.expect_err("2^70 inputs").to_string();
    assert!(error.starts_with("tcn: Tcn"), "{error}");
    let net = config(2).build(&vb())?;
    assert!(
        net.forward(&Tensor::randn([1, 3, 5], &mut Philox::new(1))?)
            .is_err()
    );
    assert!(
        net.forward(&Tensor::randn([1, 2, 5, 5], &mut Philox::new(1))?)
            .is_err()
    );
    Ok(())
}
