//! Blocks that train as several convolutions: folded, they compute the same.

use striate_layers::*;
use striate_tensor::{DType, Philox, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize], seed: u64) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(seed))
}

fn close(got: &Tensor, expected: &Tensor, tolerance: f64, place: &str) -> Result<()> {
    assert_eq!(got.shape(), expected.shape(), "{place}");
    let wide = |t: &Tensor| t.to_dtype(DType::F64)?.to_vec::<f64>();
    for (i, (g, e)) in wide(got)?.iter().zip(wide(expected)?).enumerate() {
        assert!(
            (g - e).abs() <= tolerance * (1.0 + e.abs()),
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// Gives every parameter and statistic a value of its own, so that no branch is nothing.
fn settle(layer: &dyn Layer) -> Result<()> {
    for (i, (name, p)) in named_parameters(layer).into_iter().enumerate() {
        let noise = randn(&p.shape(), i as u64)?.mul_scalar(0.3)?;
        let start = if name.ends_with("weight") && p.shape().len() == 1 {
            1.0
        } else {
            0.0
        };
        p.set(&noise.add_scalar(start)?)?;
    }
    for (i, (name, b)) in named_buffers(layer).into_iter().enumerate() {
        let noise = randn(&b.shape(), 100 + i as u64)?;
        if name.ends_with("running_var") {
            b.set(&noise.square()?.add_scalar(0.5)?)?;
        } else if name.ends_with("running_mean") {
            b.set(&noise)?;
        }
    }
    Ok(())
}

/// Checks in single and double precision that the block in evaluation is its fold, and the fold small.
fn check<B: Module>(
    place: &str,
    build: impl Fn(&VarBuilder) -> Result<B>,
    fold: impl Fn(&B) -> Result<Box<dyn Module>>,
    channels: usize,
) -> Result<()> {
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
        let block = build(&vb().dtype(dtype))?;
        settle(&block)?;
        set_training(&block, false);
        let x = randn(&[2, channels, 8, 7], 5)?
            .add_scalar(0.5)?
            .to_dtype(dtype)?;
        let folded = fold(&block)?;
        close(&folded.forward(&x)?, &block.forward(&x)?, tolerance, place)?;
        assert!(
            parameter_count(&folded) < parameter_count(&block),
            "{place}"
        );
    }
    Ok(())
}

#[test]
fn a_folded_repvgg_equals_its_branches() -> Result<()> {
    for (i, o, stride, groups) in [(6, 6, 1, 1), (6, 6, 1, 3), (6, 9, 2, 3), (8, 8, 2, 1)] {
        let config = RepVggConfig::new(i, o).stride(stride).groups(groups);
        let fold = |b: &RepVgg| -> Result<Box<dyn Module>> {
            let net = Sequential::new().push(b.fold()?).push(Activation::Relu);
            Ok(Box::new(net))
        };
        check(&format!("{config:?}"), |vb| config.build(vb), fold, i)?;
    }
    Ok(())
}

#[test]
fn a_folded_cross_equals_its_branches() -> Result<()> {
    for (i, o, k, stride, groups) in [(6, 5, 3, 1, 1), (6, 9, 5, 2, 3), (4, 4, 1, 1, 4)] {
        let config = AcBlockConfig::new(i, o)
            .kernel(k)
            .stride(stride)
            .groups(groups);
        let fold = |b: &AcBlock| -> Result<Box<dyn Module>> { Ok(Box::new(b.fold()?)) };
        check(&format!("{config:?}"), |vb| config.build(vb), fold, i)?;
    }
    Ok(())
}

#[test]
fn a_folded_diverse_branch_block_equals_its_branches() -> Result<()> {
    for (i, o, k, stride, groups, internal) in [
        (6, 4, 3, 1, 1, None),
        (6, 9, 5, 2, 3, None),
        (4, 4, 3, 1, 4, None),
        (6, 6, 3, 2, 2, Some(10)),
        (5, 5, 1, 1, 1, Some(3)),
    ] {
        let mut config = DiverseBranchBlockConfig::new(i, o);
        config = config.kernel(k).stride(stride).groups(groups);
        config.internal_channels = internal;
        let fold = |b: &DiverseBranchBlock| -> Result<Box<dyn Module>> { Ok(Box::new(b.fold()?)) };
        check(&format!("{config:?}"), |vb| config.build(vb), fold, i)?;
    }
    Ok(())
}

#[test]
fn folding_leaves_nothing_to_learn_from_the_branches() -> Result<()> {
    let block = RepVggConfig::new(3, 3).build(&vb())?;
    let folded = block.fold()?;
    let x = randn(&[1, 3, 4, 4], 1)?;
    let grads = folded.forward(&x)?.sum_all()?.backward()?;
    assert!(grads.get(&folded.weight().tensor()).is_some());
    for (name, p) in named_parameters(&block) {
        assert!(grads.get(&p.tensor()).is_none(), "{name}");
    }
    Ok(())
}

/// The diverse branch block restated from its definition, pixel by pixel, in training.
#[test]
fn a_diverse_branch_block_in_training_is_its_definition() -> Result<()> {
    let block = DiverseBranchBlockConfig::new(3, 4).build(&vb().dtype(DType::F64))?;
    settle(&block)?;
    let x = randn(&[2, 3, 5, 6], 9)?.to_dtype(DType::F64)?;
    let before = state_dict(&block);
    let y = block.forward(&x)?;
    let get = |name: &str| before.get(name).cloned().expect(name);
    let taps = |x: &Tensor, name: &str, extra: Option<&Tensor>, padding: usize| {
        let mut weight = get(name);
        if let Some(extra) = extra {
            weight = weight.add(extra)?;
        }
        let options = striate_tensor::Conv2dOptions::default().padding([padding; 2]);
        x.conv2d(&weight, None, options)
    };
    let norm = |z: &Tensor, name: &str| {
        let [weight, bias] = ["weight", "bias"].map(|n| get(&format!("{name}.{n}")));
        z.batch_norm_train(Some(&weight), Some(&bias), 1e-5)
    };
    // The border is what the updated running statistics make of 0.
    let padded = |z: &Tensor, name: &str| {
        let (inside, stats) = norm(z, name)?;
        let [n, c, h, w] = inside.dims4()?;
        let count = stats.count as f64;
        let wide = |t: &Tensor| t.to_vec::<f64>();
        let [weight, bias] = ["weight", "bias"].map(|n| get(&format!("{name}.{n}")));
        let [mean, var] = ["running_mean", "running_var"].map(|n| get(&format!("{name}.{n}")));
        let (weight, bias, mean, var) = (wide(&weight)?, wide(&bias)?, wide(&mean)?, wide(&var)?);
        let (new_mean, new_var) = (wide(&stats.mean)?, wide(&stats.variance)?);
        let inside = wide(&inside)?;
        let mut out = Vec::new();
        for i in 0..n * c {
            let ch = i % c;
            let mean = 0.9 * mean[ch] + 0.1 * new_mean[ch];
            let var = 0.9 * var[ch] + 0.1 * new_var[ch] * count / (count - 1.0);
            let border = bias[ch] - mean * weight[ch] / (var + 1e-5).sqrt();
            for row in 0..h + 2 {
                for column in 0..w + 2 {
                    let within = (1..=h).contains(&row) && (1..=w).contains(&column);
                    out.push(if within {
                        inside[(i * h + row - 1) * w + column - 1]
                    } else {
                        border
                    });
                }
            }
        }
        Tensor::from_vec(out, [n, c, h + 2, w + 2])
    };
    let identity = Tensor::eye(3, DType::F64)?.reshape([3, 3, 1, 1])?;
    let origin = norm(
        &taps(&x, "dbb_origin.conv.weight", None, 1)?,
        "dbb_origin.bn",
    )?
    .0;
    let small = norm(&taps(&x, "dbb_1x1.conv.weight", None, 0)?, "dbb_1x1.bn")?.0;
    let mixed = padded(&taps(&x, "dbb_avg.conv.weight", None, 0)?, "dbb_avg.bn.bn")?;
    let window = striate_tensor::PoolOptions::new(3).stride(1);
    let mean = mixed.avg_pool2d(window, striate_tensor::Divisor::IncludePad)?;
    let mean = norm(&mean, "dbb_avg.avgbn")?.0;
    let first = taps(&x, "dbb_1x1_kxk.idconv1.weight", Some(&identity), 0)?;
    let first = padded(&first, "dbb_1x1_kxk.bn1.bn")?;
    let deep = norm(
        &taps(&first, "dbb_1x1_kxk.conv2.weight", None, 0)?,
        "dbb_1x1_kxk.bn2",
    )?
    .0;
    let expected = origin.add(&small)?.add(&mean)?.add(&deep)?;
    close(&y, &expected, 1e-12, "training")
}

#[test]
fn the_official_names_of_repvgg_are_translated() -> Result<()> {
    let block = RepVggConfig::new(2, 2).build(&vb())?;
    let mut official = StateDict::new();
    for (name, tensor) in state_dict(&block).iter() {
        let name = name
            .replace("conv_kxk", "rbr_dense")
            .replace("conv_1x1", "rbr_1x1")
            .replace("identity", "rbr_identity");
        official.insert(name, tensor.clone());
    }
    let own = repvgg_key_maps::official().apply(official)?;
    load_state_dict(&block, &own, Loading::Strict).map(|_| ())
}
