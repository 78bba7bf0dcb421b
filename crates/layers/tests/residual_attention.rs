//! What residual attention promises, on numbers worked by hand and as properties.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{Error, Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

/// A module without outer blocks whose mask is what the head makes of `relu(0 * . + 1)`: its weight everywhere.
fn with_mask(
    learning: AttentionLearning,
    mask: AttentionMask,
    weight: f64,
) -> Result<AttentionModule> {
    let config = AttentionModuleConfig::new(4, 2).blocks(0, 2, 1);
    let module = config.learning(learning).mask(mask).build(&vb())?;
    for (name, p) in named_parameters(&module) {
        let value = match &*name {
            "softmax4_blocks.3.weight" => 0.0,
            "softmax4_blocks.3.bias" => 1.0,
            "softmax4_blocks.5.weight" => weight,
            _ => continue,
        };
        p.set(&Tensor::full(p.shape(), value, p.tensor().dtype())?)?;
    }
    set_training(&module, false);
    Ok(module)
}

/// The trunk of [`with_mask`] by itself.
fn trunk() -> Result<Sequential> {
    let block = PreActBottleneckConfig::new(4, 4);
    let vb = vb() / "trunk_branches";
    let trunk = Sequential::new()
        .push(block.build(&(&vb / 0))?)
        .push(block.build(&(&vb / 1))?);
    set_training(&trunk, false);
    Ok(trunk)
}

#[test]
fn masks_at_their_limits_leave_the_trunk() -> Result<()> {
    let x = randn(&[2, 4, 9, 7])?;
    let trunk = no_grad(|| trunk()?.forward(&x))?.to_vec::<f32>()?;
    let run = |learning, weight| {
        let module = with_mask(learning, AttentionMask::Mixed, weight)?;
        no_grad(|| module.forward(&x))?.to_vec::<f32>()
    };
    assert_eq!(run(AttentionLearning::Residual, -1e3)?, trunk, "M = 0");
    assert_eq!(run(AttentionLearning::Naive, 1e3)?, trunk, "M = 1");
    let doubled: Vec<f32> = trunk.iter().map(|t| 2.0 * t).collect();
    assert_eq!(run(AttentionLearning::Residual, 1e3)?, doubled);
    assert!(
        run(AttentionLearning::Naive, -1e3)?
            .iter()
            .all(|y| *y == 0.0)
    );
    Ok(())
}

/// The mask that a module emits.
fn mask(module: &AttentionModule, x: &Tensor) -> Result<Tensor> {
    let (y, probes) = probe::record(|| module.forward(x));
    y?;
    assert_eq!((probes.len(), probes[0].kind), (1, ProbeKind::FullGate));
    Ok(probes[0].tensor.clone())
}

#[test]
fn masks_have_their_ranges() -> Result<()> {
    let x = randn(&[2, 8, 9, 7])?;
    let of = |mask_function| {
        let config = AttentionModuleConfig::new(8, 2).mask(mask_function);
        let module = config.build(&vb())?;
        set_training(&module, false);
        mask(&module, &x)
    };
    let mixed = of(AttentionMask::Mixed)?.to_vec::<f32>()?;
    assert!(mixed.iter().all(|m| (0.0..=1.0).contains(m)));
    let lengths = of(AttentionMask::Channel)?.square()?.sum(&[1], false)?;
    let lengths = lengths.to_vec::<f32>()?;
    assert!(
        lengths.iter().all(|l| (l - 1.0).abs() < 1e-5),
        "{lengths:?}"
    );
    // The logits of the spatial mask have mean 0 and variance 1 in each channel.
    let m = of(AttentionMask::Spatial)?;
    let logits = m.div(&m.neg()?.add_scalar(1.0)?)?.log()?;
    let means = logits.mean(&[2, 3], false)?.to_vec::<f32>()?;
    assert!(means.iter().all(|m| m.abs() < 1e-3), "{means:?}");
    let squares = logits.square()?.mean(&[2, 3], false)?.to_vec::<f32>()?;
    assert!(
        squares.iter().all(|s| (s - 1.0).abs() < 1e-2),
        "{squares:?}"
    );
    Ok(())
}

#[test]
fn a_mask_of_nothing_has_gradients() -> Result<()> {
    let module = with_mask(AttentionLearning::Residual, AttentionMask::Channel, 0.0)?;
    let x = randn(&[1, 4, 5, 6])?.requires_grad(true)?;
    let grads = module.forward(&x)?.sum_all()?.backward()?;
    let finite = |t: &Tensor| Ok::<_, Error>(t.to_vec::<f32>()?.iter().all(|v| v.is_finite()));
    assert!(finite(grads.get(&x).expect("the input's"))?);
    for (name, p) in named_parameters(&module) {
        if let Some(grad) = grads.get(&p.tensor()) {
            assert!(finite(grad)?, "{name}");
        }
    }
    Ok(())
}

#[test]
fn dialects_differ_in_values_and_not_in_weights() -> Result<()> {
    let x = randn(&[1, 8, 24, 20])?;
    let config = AttentionModuleConfig::new(8, 3);
    let run = |config: &AttentionModuleConfig| {
        let module = config.build(&vb())?;
        set_training(&module, false);
        let names: Vec<String> = state_dict(&module).names().map(str::to_owned).collect();
        Ok::<_, Error>((names, module.forward(&x)?.to_vec::<f32>()?))
    };
    let (names, values) = run(&config)?;
    for other in [
        config.clone().skips(AttentionSkips::Extra),
        config.clone().pool(AttentionPool::CaffeCeil),
    ] {
        let (other_names, other_values) = run(&other)?;
        assert_eq!(other_names, names);
        assert_ne!(other_values, values, "{other:?}");
    }
    Ok(())
}

#[test]
fn the_names_for_small_images_are_translated() -> Result<()> {
    let module = AttentionModuleConfig::new(4, 2).build(&vb())?;
    let mut other = StateDict::new();
    for (name, tensor) in state_dict(&module) {
        let name = name
            .replace("softmax1_blocks", "down_residual_blocks1")
            .replace("softmax2_blocks", "middle_2r_blocks")
            .replace("softmax3_blocks", "up_residual_blocks1")
            .replace("softmax4_blocks", "conv1_1_blocks");
        other.insert(name, tensor);
    }
    let unused = "down_residual_blocks1.conv4.weight".to_owned();
    other.insert(unused, randn(&[4, 4, 1, 1])?);
    let translated = attention_module_key_maps::cifar(2).apply(other)?;
    load_state_dict(&module, &translated, Loading::Strict)?;
    let small = AttentionModuleConfig::new(4, 0).build(&vb())?;
    let own = attention_module_key_maps::cifar(0).apply(state_dict(&small))?;
    load_state_dict(&small, &own, Loading::Strict).map(|_| ())
}

#[test]
fn a_shortcut_is_projected_only_where_the_shape_changes() -> Result<()> {
    let has_projection = |from, to, stride: usize| {
        let block = PreActBottleneckConfig::new(from, to).stride(stride);
        let dict = state_dict(&block.build(&vb())?);
        Ok::<_, Error>(dict.get("conv4.weight").is_some())
    };
    assert!(!has_projection(8, 8, 1)?);
    assert!(has_projection(8, 8, 2)? && has_projection(8, 16, 1)?);
    // Without its branch, a block is its shortcut.
    let block = PreActBottleneckConfig::new(8, 8).build(&vb())?;
    for (name, p) in named_parameters(&block) {
        if name == "conv3.weight" {
            p.set(&Tensor::zeros(p.shape(), p.tensor().dtype())?)?;
        }
    }
    let x = randn(&[2, 8, 5, 6])?;
    assert_eq!(block.forward(&x)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
    Ok(())
}
