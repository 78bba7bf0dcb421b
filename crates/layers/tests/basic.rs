//! The plain layers: names, initial values, training and evaluation, errors.

use std::sync::Arc;

use striate_layers::*;
use striate_tensor::{
    Conv2dOptions, DType, Error, Philox, Pool3dOptions, Result, Tensor, manual_seed, no_grad,
};

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(1))
}

fn names(layer: &dyn Layer) -> Vec<String> {
    state_dict(layer).names().map(str::to_owned).collect()
}

#[test]
fn names_and_counts_are_pytorchs() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let conv = Conv2dConfig::new(64, 64, 3)
        .groups(8)
        .build(&(&vb / "conv"))?;
    assert_eq!(names(&conv), ["weight", "bias"]);
    assert_eq!(conv.weight().shape(), [64, 8, 3, 3]);
    assert_eq!(parameter_count(&conv), 4608 + 64);
    let transposed = ConvTranspose2dConfig::new(64, 32, 4)
        .groups(8)
        .build(&(&vb / "up"))?;
    assert_eq!(names(&transposed), ["weight", "bias"]);
    assert_eq!(transposed.weight().shape(), [64, 4, 4, 4]);
    assert_eq!(parameter_count(&transposed), 4096 + 32);
    let norm = BatchNormConfig::new(5).build_2d(&vb)?;
    let expected = [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ];
    assert_eq!(names(&norm), expected);
    assert_eq!(parameter_count(&norm), 10);
    let net = Sequential::new()
        .push(conv)
        .push(Activation::Relu)
        .push_named("norm", norm);
    assert_eq!(named_parameters(&net)[0].0, "0.weight");
    assert_eq!(named_parameters(&net)[2].0, "norm.weight");
    assert_eq!(named_buffers(&net)[0].0, "norm.running_mean");
    Ok(())
}

#[test]
fn values_depend_on_seed_and_path_alone() -> Result<()> {
    let build = |seed: u64, path: &str| -> Result<Vec<f32>> {
        let vb = VarBuilder::seeded(seed) / path;
        LinearConfig::new(4, 3)
            .build(&vb)?
            .weight()
            .tensor()
            .to_vec()
    };
    assert_eq!(build(0, "a")?, build(0, "a")?);
    assert_ne!(build(0, "a")?, build(0, "b")?);
    assert_ne!(build(0, "a")?, build(1, "a")?);
    assert!(
        build(0, "a")?.iter().all(|w| w.abs() <= 0.5),
        "fan_in 4 bounds weights by 1/2"
    );
    Ok(())
}

#[test]
fn batch_norm_trains_and_evaluates() -> Result<()> {
    let norm = BatchNormConfig::new(1).build_1d(&VarBuilder::seeded(0))?;
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [3, 1])?;
    let y = norm.forward(&x)?.to_vec::<f32>()?;
    for (y, e) in y.iter().zip([-1.069_041f32, -0.267_260, 1.336_302]) {
        assert!((y - e).abs() < 2e-6, "{y} is not {e}");
    }
    let dict = state_dict(&norm);
    let buffer = |name: &str| dict.get(name).ok_or_else(|| Error::msg(name));
    assert!((buffer("running_mean")?.to_vec::<f32>()?[0] - 0.233_333).abs() < 1e-6);
    assert!((buffer("running_var")?.to_vec::<f32>()?[0] - 1.133_333).abs() < 1e-6);
    assert_eq!(buffer("num_batches_tracked")?.item::<i64>()?, 1);
    let one = Tensor::from_vec(vec![1.0f32], [1, 1])?;
    let error = norm
        .forward(&one)
        .expect_err("one value a channel")
        .to_string();
    assert!(error.contains("[1, 1]"), "{error}");
    set_training(&norm, false);
    let y = norm.forward(&one)?.to_vec::<f32>()?[0];
    assert!(
        (y - (1.0 - 0.233_333) / (1.133_333f32 + 1e-5).sqrt()).abs() < 1e-5,
        "{y}"
    );
    assert_eq!(norm.forward(&x)?.shape(), [3, 1]);
    assert_eq!(
        state_dict(&norm)
            .get("num_batches_tracked")
            .and_then(|t| t.item::<i64>().ok()),
        Some(1)
    );
    Ok(())
}

#[test]
fn one_pass_equals_one_layer_after_the_other() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let x = randn(&[3, 9, 5, 6])?;
    for act in [Activation::Identity, Activation::Relu, Activation::Silu] {
        let build = || -> Result<_> {
            let conv = Conv2dConfig::new(9, 12, 3).padding(1).build(&(&vb / 0))?;
            Ok((conv, BatchNormConfig::new(12).build_2d(&(&vb / 1))?))
        };
        let (conv, norm) = build()?;
        let (fused_conv, fused_norm) = build()?;
        let fused = Sequential::new()
            .push(fused_conv)
            .push(fused_norm)
            .push(act);
        for training in [true, false] {
            set_training(&norm, training);
            set_training(&fused, training);
            let apart = act.forward(&norm.forward(&conv.forward(&x)?)?)?;
            let (values, apart) = (fused.forward(&x)?, apart.to_vec::<f32>()?);
            let inference = no_grad(|| fused.forward(&x))?;
            assert!(values.tracks_grad() && !inference.tracks_grad());
            for y in [values, inference] {
                for (y, apart) in y.to_vec::<f32>()?.iter().zip(&apart) {
                    assert!((y - apart).abs() < 1e-5, "{act:?}: {y} is not {apart}");
                }
            }
            // The second pass in training has moved the running statistics once more.
            let (from, to) = (state_dict(&fused), &norm);
            for (name, buffer) in named_buffers(to) {
                let fused = from
                    .get(&format!("1.{name}"))
                    .ok_or_else(|| Error::msg(&name))?;
                buffer.set(fused)?;
            }
        }
    }
    Ok(())
}

#[test]
fn convolutions_in_a_row_equal_one_after_the_other() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let brick = |layers: Sequential, conv: Conv2dConfig, act| -> Result<Sequential> {
        let at = layers.len();
        let norm = BatchNormConfig::new(conv.out_channels).build_2d(&(&vb / at))?;
        let layers = layers.push(conv.build(&(&vb / (at + 1)))?).push(norm);
        Ok(if act == Activation::Identity {
            layers
        } else {
            layers.push(act)
        })
    };
    // The wide map is more than a cache holds.
    let x = randn(&[2, 12, 60, 60])?;
    for (stride, empty_slot) in [(1, false), (1, true), (2, true)] {
        let parts = [
            (Conv2dConfig::new(12, 40, 1), Activation::Relu6),
            (
                Conv2dConfig::new(40, 40, 3)
                    .padding(1)
                    .stride(stride)
                    .groups(40),
                Activation::Hardswish,
            ),
            (Conv2dConfig::new(40, 12, 1), Activation::Identity),
        ];
        let mut together = Sequential::new();
        let mut apart = x.clone();
        for (i, (conv, act)) in parts.into_iter().enumerate() {
            if i == 2 && empty_slot {
                together = together.push_named("", Slot::new(Place::Conv3x3, 40, &vb));
            }
            let alone = brick(Sequential::new(), conv.clone(), act)?;
            // The same weights, whatever their names.
            let before = together.len();
            together = brick(together, conv, act)?;
            let from = state_dict(&alone);
            let to = named_parameters(&together);
            for (name, parameter) in to.into_iter().filter(|(name, _)| {
                let at = name
                    .split('.')
                    .next()
                    .and_then(|at| at.parse::<usize>().ok());
                at.is_some_and(|at| at >= before)
            }) {
                let (at, rest) = name.split_once('.').ok_or_else(|| Error::msg(&name))?;
                let at = at.parse::<usize>().map_err(|e| Error::msg(e.to_string()))? - before;
                let value = from.get(&format!("{at}.{rest}"));
                parameter.set(value.ok_or_else(|| Error::msg(&name))?)?;
            }
            set_training(&alone, false);
            apart = no_grad(|| alone.forward(&apart))?;
        }
        set_training(&together, false);
        let y = no_grad(|| together.forward(&x))?;
        assert_eq!(y.to_vec::<f32>()?, apart.to_vec::<f32>()?);
        let residual = randn(y.shape())?;
        let onto = no_grad(|| together.forward_onto(&residual, Activation::Relu, &x))?;
        for ((onto, y), residual) in onto
            .to_vec::<f32>()?
            .iter()
            .zip(y.to_vec::<f32>()?)
            .zip(residual.to_vec::<f32>()?)
        {
            assert_eq!(*onto, (y + residual).max(0.0));
        }
        let tracked = together.forward(&x)?;
        assert!(tracked.tracks_grad());
        for (tracked, y) in tracked.to_vec::<f32>()?.iter().zip(y.to_vec::<f32>()?) {
            assert!((tracked - y).abs() < 1e-4, "{tracked} is not {y}");
        }
    }
    Ok(())
}

#[test]
fn parameters_keep_their_identity() -> Result<()> {
    let linear = LinearConfig::new(2, 1)
        .bias(false)
        .build(&VarBuilder::seeded(0))?;
    let weight = linear.weight();
    let loss = linear
        .forward(&Tensor::ones([1, 2], DType::F32)?)?
        .sum_all()?;
    let before = weight.tensor().to_vec::<f32>()?;
    weight.update(|w| w.fill(0.0))?;
    assert_eq!(weight.tensor().to_vec::<f32>()?, [0.0, 0.0]);
    let grads = loss.backward()?;
    let grad = grads
        .get(&weight.tensor())
        .expect("found by the updated parameter");
    assert_eq!(grad.to_vec::<f32>()?, [1.0, 1.0]);
    weight.set(&Tensor::from_vec(before.clone(), [1, 2])?)?;
    assert!(grads.get(&weight.tensor()).is_some(), "also after a set");
    assert!(
        weight.set(&Tensor::zeros([2, 1], DType::F32)?).is_err(),
        "another shape"
    );
    weight.set_trainable(false);
    assert!(
        !linear
            .forward(&Tensor::ones([1, 2], DType::F32)?)?
            .tracks_grad(),
        "frozen"
    );
    Ok(())
}

#[test]
fn loading_is_all_or_nothing_when_strict() -> Result<()> {
    let build = |seed: u64| {
        let vb = VarBuilder::seeded(seed);
        let fc = LinearConfig::new(6, 4).build(&(&vb / "fc"))?;
        let bn = BatchNormConfig::new(4).build_2d(&(&vb / "bn"))?;
        Ok::<_, Error>(Sequential::new().push_named("fc", fc).push_named("bn", bn))
    };
    let (source, target) = (build(1)?, build(2)?);
    let values = |net: &Sequential| {
        state_dict(net)
            .get("fc.weight")
            .and_then(|t| t.to_vec::<f32>().ok())
    };
    let (old, new) = (values(&target), values(&source));
    assert_ne!(old, new);

    let mut broken = StateDict::new();
    for (name, tensor) in state_dict(&source) {
        match name.as_str() {
            "bn.running_mean" => broken.insert("bn.runing_mean", tensor),
            "bn.weight" => broken.insert(name, Tensor::ones([5], DType::F32)?),
            "bn.num_batches_tracked" => {}
            _ => broken.insert(name, tensor),
        }
    }
    let error = load_state_dict(&target, &broken, Loading::Strict)
        .expect_err("three mistakes")
        .to_string();
    for part in [
        "bn.running_mean (nearest: bn.runing_mean)",
        "bn.weight (expected [4], got [5])",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(
        !error.contains("num_batches_tracked"),
        "counters are optional: {error}"
    );
    assert_eq!(values(&target), old, "nothing changed");

    let report = load_state_dict(&target, &broken, Loading::Lenient)?;
    assert_eq!(values(&target), new, "what fits is loaded");
    assert_eq!(
        (
            report.missing.len(),
            report.unexpected.len(),
            report.mis_shaped.len(),
            report.loaded.len()
        ),
        (1, 1, 1, 4)
    );
    let report = load_state_dict(&target, &state_dict(&source), Loading::Strict)?;
    assert!(report.is_complete() && report.loaded.len() == 7, "{report}");
    Ok(())
}

#[test]
fn what_kernels_made_of_old_weights_is_not_used_for_new_ones() -> Result<()> {
    let build = |seed| Conv2dConfig::new(12, 12, 3).build(&VarBuilder::seeded(seed));
    let (conv, other) = (build(0)?, build(1)?);
    let x = Tensor::randn([1, 12, 9, 9], &mut Philox::new(2))?;
    let run = |layer: &Conv2d| layer.forward(&x)?.to_vec::<f32>();
    let (old, expected) = (run(&conv)?, run(&other)?);
    load_state_dict(&conv, &state_dict(&other), Loading::Strict)?;
    assert_eq!(run(&conv)?, expected);
    load_state_dict(&other, &state_dict(&build(0)?), Loading::Strict)?;
    assert_eq!(run(&other)?, old);
    assert_eq!(run(&conv)?, expected, "weights were shared");
    Ok(())
}

#[test]
fn linear_and_pointwise_weights_are_interchangeable() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let linear = LinearConfig::new(6, 4).build(&vb)?;
    let conv = Conv2dConfig::new(6, 4, 1).build(&(&vb / "other"))?;
    load_state_dict(&conv, &state_dict(&linear), Loading::Strict)?;
    assert_eq!(
        conv.weight().tensor().to_vec::<f32>()?,
        linear.weight().tensor().to_vec::<f32>()?
    );
    load_state_dict(&linear, &state_dict(&conv), Loading::Strict)?;
    let transposed = StateDict::from_iter([
        ("weight".to_owned(), Tensor::zeros([6, 4], DType::F32)?),
        ("bias".to_owned(), Tensor::zeros([4], DType::F32)?),
    ]);
    assert!(
        load_state_dict(&linear, &transposed, Loading::Strict).is_err(),
        "a transpose is not a reshape"
    );
    let rebuilt = LinearConfig::new(6, 4).build(&VarBuilder::from_state_dict(state_dict(&conv)))?;
    assert_eq!(rebuilt.weight().shape(), [4, 6]);
    let missing = LinearConfig::new(6, 4).build(&VarBuilder::from_state_dict(StateDict::new()));
    assert!(missing.is_err(), "nothing to build from");
    Ok(())
}

#[test]
fn a_transposed_convolution_enlarges_as_pytorchs_does() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let build = |config: ConvTranspose2dConfig| config.build(&(&vb / "up"));
    let up = build(ConvTranspose2dConfig::new(8, 6, 4).stride(2).padding(1))?;
    let y = up.forward(&randn(&[2, 8, 5, 7])?)?;
    assert_eq!(y.shape(), [2, 6, 10, 14]);
    // The fan that PyTorch counts is the second dimension's: 6 * 4 * 4.
    let bound = 1.0 / 96f32.sqrt();
    let weights = up.weight().tensor().to_vec::<f32>()?;
    assert!(weights.iter().all(|w| w.abs() <= bound));
    assert!(weights.iter().any(|w| w.abs() > 0.9 * bound));
    let (net, total) = (summary(&up, &[1, 8, 5, 7])?, 35 * 8 * 96);
    assert_eq!(net.multiply_adds, total);
    let odd = ConvTranspose2dConfig::new(8, 8, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .groups(8);
    let y = build(odd.bias(false))?.forward(&randn(&[1, 8, 5, 7])?)?;
    assert_eq!(y.shape(), [1, 8, 10, 14]);
    Ok(())
}

#[test]
fn dropout_acts_in_training_only() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let x = Tensor::ones([64, 32], DType::F32)?;
    for layer in [
        Box::new(Dropout::new(0.25, &vb)?) as Box<dyn Module>,
        Box::new(DropPath::new(0.25, &vb)?),
    ] {
        manual_seed(3);
        let y = layer.forward(&x)?.to_vec::<f32>()?;
        assert!(y.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        let kept = y.iter().filter(|&&v| v != 0.0).count() as f64 / y.len() as f64;
        assert!((0.5..0.95).contains(&kept), "{kept} were kept");
        set_training(&layer, false);
        assert_eq!(layer.forward(&x)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
    }
    assert!(Dropout::new(1.5, &vb).is_err() && DropPath::new(f64::NAN, &vb).is_err());
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_with_the_path() -> Result<()> {
    let vb = VarBuilder::seeded(0) / "layer3" / 1 / "conv2";
    let bad = [
        Conv2dConfig::new(0, 4, 3),
        Conv2dConfig::new(4, 0, 3),
        Conv2dConfig::new(4, 4, 0),
        Conv2dConfig::new(4, 4, 3).stride([1, 0]),
        Conv2dConfig::new(4, 4, 3).dilation(0),
        Conv2dConfig::new(4, 4, 3).groups(0),
        Conv2dConfig::new(4, 6, 3).groups(4),
        Conv2dConfig::new(6, 4, 3).groups(4),
    ];
    for config in bad {
        let error = config
            .build(&vb)
            .expect_err("not a convolution")
            .to_string();
        assert!(error.starts_with("layer3.1.conv2: Conv2d"), "{error}");
    }
    let bad = [
        ConvTranspose2dConfig::new(0, 4, 3),
        ConvTranspose2dConfig::new(4, 6, 3).groups(4),
        ConvTranspose2dConfig::new(4, 4, 3)
            .stride(2)
            .output_padding([0, 2]),
    ];
    for config in bad {
        let error = config
            .build(&vb)
            .expect_err("not a transposed convolution")
            .to_string();
        assert!(
            error.starts_with("layer3.1.conv2: ConvTranspose2d"),
            "{error}"
        );
    }
    assert!(
        LinearConfig::new(0, 1).build(&vb).is_err() && LinearConfig::new(1, 0).build(&vb).is_err()
    );
    assert!(BatchNormConfig::new(0).build_2d(&vb).is_err());
    assert!(BatchNormConfig::new(1).momentum(1.5).build_2d(&vb).is_err());
    assert!(BatchNormConfig::new(1).eps(-1.0).build_2d(&vb).is_err());
    assert!(
        GroupNormConfig::new(3, 4).build(&vb).is_err()
            && GroupNormConfig::new(0, 4).build(&vb).is_err()
    );
    assert!(LayerNormConfig::new(()).build(&vb).is_err());
    assert!(Activation::parse("swishy").is_err());

    let conv = Conv2dConfig::new(4, 4, 3).build(&vb)?;
    for shape in [&[1, 5, 8, 8][..], &[1, 4, 2, 2], &[4, 8, 8]] {
        let error = conv
            .forward(&randn(shape)?)
            .expect_err("it does not fit")
            .to_string();
        assert!(error.starts_with("layer3.1.conv2: conv2d"), "{error}");
    }
    let norm = BatchNormConfig::new(4).build_2d(&vb)?;
    assert!(
        norm.forward(&randn(&[2, 4])?).is_err(),
        "a 2-d norm takes maps"
    );
    assert!(
        norm.forward(&randn(&[2, 5, 3, 3])?).is_err(),
        "other channels"
    );
    Ok(())
}

#[test]
fn sequences_and_volumes() -> Result<()> {
    let vb = VarBuilder::seeded(1) / "stem";
    let conv = Conv1dConfig::new(6, 4, 3)
        .stride(2)
        .padding([2, 0])
        .groups(2)
        .build(&vb)?;
    assert_eq!(parameter_count(&conv), 4 * 3 * 3 + 4);
    assert_eq!(conv.forward(&randn(&[2, 6, 9])?)?.shape(), [2, 4, 5]);
    let conv = Conv3dConfig::new(6, 8, [1, 3, 2])
        .dilation([1, 2, 1])
        .bias(false)
        .build(&vb)?;
    assert_eq!(parameter_count(&conv), 8 * 6 * 6);
    let x = randn(&[2, 6, 3, 5, 4])?;
    assert_eq!(conv.forward(&x)?.shape(), [2, 8, 3, 1, 3]);
    assert!(Conv1dConfig::new(6, 4, 0).build(&vb).is_err());
    assert!(Conv1dConfig::new(6, 4, 1).groups(4).build(&vb).is_err());
    assert!(Conv3dConfig::new(6, 4, [1, 0, 1]).build(&vb).is_err());
    let wrong = Conv3dConfig::new(6, 0, 1).build(&vb);
    let error = wrong.expect_err("no channels").to_string();
    assert!(error.starts_with("stem: Conv3d"), "{error}");

    let norm = BatchNormConfig::new(6).build_3d(&vb)?;
    let y = norm.forward(&x)?;
    let mean = y.mean(&[0, 2, 3, 4], false)?.to_vec::<f32>()?;
    let square = y.square()?.mean(&[0, 2, 3, 4], false)?.to_vec::<f32>()?;
    for (mean, square) in mean.into_iter().zip(square) {
        assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-4);
    }
    assert!(norm.forward(&x.select(2, 0)?).is_err(), "no volume");

    let pool = MaxPool3d::new(Pool3dOptions::new([1, 2, 2]));
    assert_eq!(pool.forward(&x)?.shape(), [2, 6, 3, 2, 2]);
    let pool = AdaptiveAvgPool1d::new(3);
    assert_eq!(pool.forward(&randn(&[1, 2, 7])?)?.shape(), [1, 2, 3]);
    Ok(())
}

#[test]
fn a_learned_slope_is_a_leaky_rectifier() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let x = Tensor::from_vec(
        vec![-2.0f32, 3.0, f32::NEG_INFINITY, f32::INFINITY, -4.0, 0.0],
        [1, 3, 1, 2],
    )?;
    let shared = PReluConfig::new(1).build(&vb)?.forward(&x)?;
    assert_eq!(
        shared.to_vec::<f32>()?,
        x.leaky_relu(0.25)?.to_vec::<f32>()?
    );
    let own = PReluConfig::new(3).build(&vb)?;
    let (_, slopes) = &named_parameters(&own)[0];
    slopes.set(&Tensor::from_vec(vec![0.5f32, 0.25, -1.0], 3)?)?;
    let inf = f32::INFINITY;
    assert_eq!(
        own.forward(&x)?.to_vec::<f32>()?,
        [-1.0, 3.0, -inf, inf, 4.0, 0.0]
    );
    let y = own.forward(&x)?.clamp(-9.0, 9.0)?.sum_all()?;
    let grads = y.backward()?;
    let slope_grads = grads.get(&slopes.tensor()).expect("a gradient");
    assert_eq!(slope_grads.to_vec::<f32>()?[2], -4.0);
    assert!(
        own.forward(&x.narrow(1, 0, 1)?).is_err(),
        "two slopes too many"
    );
    assert!(PReluConfig::new(0).build(&vb).is_err());
    Ok(())
}

#[test]
fn activations_that_no_kernel_stores_with_follow_it() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let x = Tensor::from_vec(vec![-4.0f32, -1.0, 0.5, 4.0], [1, 1, 2, 2])?;
    let keras = Activation::parse("keras_hardsigmoid")?;
    assert_eq!(keras.forward(&x)?.to_vec::<f32>()?, [0.0, 0.3, 0.6, 1.0]);
    let elu = Activation::parse("elu")?.forward(&x)?.to_vec::<f32>()?;
    assert!((elu[1] - ((-1.0f32).exp() - 1.0)).abs() < 1e-6, "{elu:?}");
    let conv = || Conv2dConfig::new(1, 8, 3).padding(1);
    for act in [keras, Activation::Elu(0.5)] {
        let layer = ConvNormActConfig::new(conv()).act(act).build(&vb)?;
        set_training(&layer, false);
        let (fused, recorded) = (no_grad(|| layer.forward(&x))?, layer.forward(&x)?);
        for (a, b) in fused.to_vec::<f32>()?.iter().zip(recorded.to_vec::<f32>()?) {
            assert!((a - b).abs() < 1e-6, "{act:?}: {a} {b}");
        }
    }
    Ok(())
}

#[test]
fn parallel_layers_are_joined_in_order() -> Result<()> {
    let x = Tensor::from_vec(vec![-1.0f32, 2.0], [1, 1, 1, 2])?;
    let both = Parallel::new()
        .push("a", Activation::Relu)
        .push("", Activation::Identity);
    assert_eq!(both.forward(&x)?.to_vec::<f32>()?, [0.0, 2.0, -1.0, 2.0]);
    assert!(Parallel::new().forward(&x).is_err());
    Ok(())
}

#[test]
fn a_folded_convolution_equals_it_and_its_norm() -> Result<()> {
    let vb = VarBuilder::seeded(3);
    let config = ConvNormActConfig::new(Conv2dConfig::new(3, 9, 3)).conv_bias(true);
    let layer = config.names("0", "1").build(&vb)?;
    let x = Tensor::randn([2, 3, 6, 5], &mut Philox::new(1))?.add_scalar(0.5)?;
    layer.forward(&x)?;
    set_training(&layer, false);
    let [weight, bias] = layer.folded()?;
    let folded = x.conv2d(&weight, Some(&bias), Conv2dOptions::default())?;
    let (folded, whole) = (
        folded.relu()?.to_vec::<f32>()?,
        layer.forward(&x)?.to_vec::<f32>()?,
    );
    for (a, b) in folded.iter().zip(&whole) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    let names: Vec<_> = named_parameters(&layer)
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["0.weight", "0.bias", "1.weight", "1.bias"]);
    Ok(())
}

#[test]
fn boxed_layers_run_in_one_pass_as_bare_ones_do() -> Result<()> {
    let vb = VarBuilder::seeded(0);
    let conv = || Conv2dConfig::new(8, 8, 3).padding(1).build(&(&vb / "conv"));
    let norm = || BatchNormConfig::new(8).build_2d(&(&vb / "norm"));
    let (bare, boxed, shared) = (
        Sequential::new()
            .push(conv()?)
            .push(norm()?)
            .push(Activation::Relu),
        Sequential::new()
            .push(Box::new(conv()?))
            .push(Box::new(norm()?) as Box<dyn Module>)
            .push(Box::new(Activation::Relu)),
        Sequential::new()
            .push(Arc::new(conv()?))
            .push(Arc::new(norm()?) as Arc<dyn Module>)
            .push(Arc::new(Activation::Relu)),
    );
    let x = randn(&[2, 8, 6, 6])?;
    let one_by_one = norm()?.forward(&conv()?.forward(&x)?)?.relu()?;
    let bits = |y: &Tensor| -> Result<Vec<f32>> { y.to_vec() };
    for layers in [&bare, &boxed, &shared] {
        let y = layers.forward(&x)?;
        assert_eq!(bits(&y)?, bits(&bare.forward(&x)?)?);
        assert_eq!(y.graph().nodes.len(), bare.forward(&x)?.graph().nodes.len());
        assert!(y.graph().nodes.len() < one_by_one.graph().nodes.len());
    }
    Ok(())
}
