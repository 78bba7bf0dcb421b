//! What convolutions with weights that depend on the input promise, and those that are one convolution in the end.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{Conv2dOptions, DType, Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize], seed: u64) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(seed))
}

fn close(got: &Tensor, expected: &Tensor, place: &str) -> Result<()> {
    assert_eq!(got.shape(), expected.shape(), "{place}");
    let scale = expected
        .to_vec::<f32>()?
        .iter()
        .fold(1f32, |m, v| m.max(v.abs()));
    let pairs = got
        .to_vec::<f32>()?
        .into_iter()
        .zip(expected.to_vec::<f32>()?);
    for (i, (got, expected)) in pairs.enumerate() {
        let error = (got - expected).abs();
        assert!(
            error <= 5e-6 * scale,
            "{place}: element {i} is {got}, not {expected}"
        );
    }
    Ok(())
}

fn numbers(got: &Tensor, expected: &[f32], place: &str) -> Result<()> {
    close(got, &Tensor::from_slice(expected, got.shape())?, place)
}

/// Gives every parameter random values.
fn scramble(layer: &dyn Layer) -> Result<()> {
    for (i, (_, p)) in named_parameters(layer).into_iter().enumerate() {
        p.set(&randn(&p.shape(), 100 + i as u64)?.mul_scalar(0.5)?)?;
    }
    Ok(())
}

fn parameter(layer: &dyn Layer, name: &str) -> Tensor {
    let found = named_parameters(layer).into_iter().find(|(n, _)| n == name);
    found
        .unwrap_or_else(|| panic!("no parameter {name}"))
        .1
        .tensor()
        .detach()
}

/// The only probe of a kind.
fn probed(module: &dyn Module, x: &Tensor, kind: ProbeKind) -> Result<Tensor> {
    let (y, probes) = probe::record(|| module.forward(x));
    y?;
    let mut found = probes.into_iter().filter(|p| p.kind == kind);
    let one = found.next().expect("a probe");
    assert!(found.next().is_none(), "one probe");
    Ok(one.tensor)
}

#[test]
fn a_mixed_convolution_is_the_mixture_of_convolutions() -> Result<()> {
    let conv = Conv2dConfig::new(4, 6, 3).padding(1).stride(2);
    let layer = CondConv2dConfig::new(conv)
        .experts(3)
        .bias(true)
        .build(&vb())?;
    scramble(&layer)?;
    let x = randn(&[2, 4, 7, 5], 1)?;
    let a = layer.routing(&x)?;
    let (weight, bias) = (parameter(&layer, "weight"), parameter(&layer, "bias"));
    let options = Conv2dOptions::default().padding(1).stride(2);
    let mut sum: Option<Tensor> = None;
    for e in 0..3 {
        let weight = weight.select(0, e)?.reshape([6, 4, 3, 3])?;
        let y = x.conv2d(&weight, Some(&bias.select(0, e)?), options)?;
        let y = y.mul(&a.narrow(1, e, 1)?.reshape([2, 1, 1, 1])?)?;
        sum = Some(match sum {
            Some(sum) => sum.add(&y)?,
            None => y,
        });
    }
    close(
        &layer.forward(&x)?,
        &sum.expect("three experts"),
        "condconv",
    )?;
    close(
        &probed(&layer, &x, ProbeKind::ExpertWeights)?,
        &a,
        "what is emitted",
    )
}

#[test]
fn one_routing_serves_several_convolutions() -> Result<()> {
    let config = CondConv2dConfig::new(Conv2dConfig::new(4, 6, 1)).experts(3);
    let layer = config.build(&vb())?;
    let alone = config.build_experts(&vb())?;
    let x = randn(&[2, 4, 3, 5], 1)?;
    let routing = layer.routing(&x)?;
    let y = alone.forward(&x, &routing)?;
    assert_eq!(y.to_vec::<f32>()?, layer.forward(&x)?.to_vec::<f32>()?);
    for wrong in [routing.narrow(0, 0, 1)?, routing.narrow(1, 0, 2)?] {
        let error = alone
            .forward(&x, &wrong)
            .expect_err("another shape")
            .to_string();
        assert!(error.contains("2 images and 3 experts"), "{error}");
    }
    Ok(())
}

#[test]
fn a_temperature_moves_attention_between_uniform_and_one_hot() -> Result<()> {
    let temperature = Temperature::default();
    let config = DynamicConv2dConfig::new(Conv2dConfig::new(4, 4, 1)).temperature(&temperature);
    let layer = config.build(&vb())?;
    for (name, p) in named_parameters(&layer) {
        match name.as_str() {
            "attention.fc2.weight" => p.set(&Tensor::zeros(p.shape(), DType::F32)?)?,
            "attention.fc2.bias" => p.set(&Tensor::from_slice(&[2f32, 0.0, -1.0, 1.0], 4)?)?,
            _ => {}
        }
    }
    let x = randn(&[1, 4, 2, 3], 1)?;
    for (at, expected) in [
        (1.0, [0.643_914, 0.087_144, 0.032_059, 0.236_883]),
        (4.0, [0.349_932, 0.212_244, 0.165_296, 0.272_527]),
        (30.0, [0.262_635, 0.245_697, 0.237_642, 0.254_025]),
        (1e9, [0.25; 4]),
        (1e-3, [1.0, 0.0, 0.0, 0.0]),
    ] {
        temperature.set(at)?;
        let factors = probed(&layer, &x, ProbeKind::ExpertWeights)?;
        numbers(&factors, &expected, &format!("temperature {at}"))?;
    }
    Ok(())
}

#[test]
fn attention_over_experts_sums_to_one() -> Result<()> {
    let layer = DynamicConv2dConfig::new(Conv2dConfig::new(8, 4, 3)).build(&vb())?;
    let factors = probed(&layer, &randn(&[5, 8, 4, 4], 2)?, ProbeKind::ExpertWeights)?;
    numbers(&factors.sum(&[1], false)?, &[1.0; 5], "sums")
}

#[test]
fn temperatures_fall_in_a_line_and_are_positive() {
    let schedule = TemperatureSchedule::default();
    let expected = [
        30.0, 27.1, 24.2, 21.3, 18.4, 15.5, 12.6, 9.7, 6.8, 3.9, 1.0, 1.0,
    ];
    for (epoch, expected) in expected.into_iter().enumerate() {
        let at = schedule.at(epoch as f64);
        assert!((at - expected).abs() < 1e-12, "epoch {epoch}: {at}");
    }
    let threes: Vec<f64> = (0..13)
        .map(|e| TemperatureSchedule::by_threes().at(f64::from(e)))
        .collect();
    assert!(
        (threes[1] - 31.0).abs() < 1e-12 && (threes[10] - 4.0).abs() < 1e-12,
        "{threes:?}"
    );
    assert_eq!(threes[11..], [1.0, 1.0]);
    let never = TemperatureSchedule {
        epochs: 0.0,
        ..schedule
    };
    assert_eq!(never.at(0.0), 1.0, "at once");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Temperature::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn one_expert_and_one_tap_are_a_gated_convolution() -> Result<()> {
    let conv = Conv2dConfig::new(8, 6, 1);
    let layer = OdConv2dConfig::new(conv).kernel_num(1).build(&vb())?;
    set_training(&layer, false);
    scramble(&layer)?;
    let x = randn(&[3, 8, 4, 5], 3)?;
    let (y, probes) = probe::record(|| layer.forward(&x));
    let [channel, filter] = &probes[..] else {
        panic!("two attentions, got {}", probes.len())
    };
    let gated = x.mul(&channel.tensor.reshape([3, 8, 1, 1])?)?;
    let weight = parameter(&layer, "weight").select(0, 0)?;
    let plain = gated.conv2d(&weight, None, Conv2dOptions::default())?;
    close(
        &y?,
        &plain.mul(&filter.tensor.reshape([3, 6, 1, 1])?)?,
        "odconv",
    )
}

#[test]
fn a_batch_of_one_has_no_statistics() -> Result<()> {
    let layer = OdConv2dConfig::new(Conv2dConfig::new(8, 6, 3)).build(&(&vb() / "stage"))?;
    let x = randn(&[1, 8, 4, 5], 3)?;
    let error = layer
        .forward(&x)
        .expect_err("one value a channel")
        .to_string();
    assert!(error.contains("stage.attention.bn"), "{error}");
    set_training(&layer, false);
    assert!(layer.forward(&x).is_ok(), "in evaluation it runs");
    Ok(())
}

#[test]
fn over_parameterised_convolutions_fold() -> Result<()> {
    for (groups, d_mul, bias) in [(1, 9, true), (3, 14, false), (6, 18, true)] {
        let conv = Conv2dConfig::new(6, 12, 3)
            .padding(1)
            .stride(2)
            .groups(groups)
            .bias(bias);
        let layer = DoConv2dConfig::new(conv.clone())
            .d_mul(d_mul)
            .build(&vb())?;
        let x = randn(&[2, 6, 5, 7], 4)?;
        if d_mul == 9 {
            let w = parameter(&layer, "W").reshape([12, 6, 3, 3])?;
            close(&layer.kernel()?, &w, "it starts as the convolution with W")?;
        }
        scramble(&layer)?;
        let folded = layer.fold()?;
        assert_eq!(
            parameter_count(&folded),
            parameter_count(&conv.build(&vb())?)
        );
        close(&folded.forward(&x)?, &layer.forward(&x)?, "folded")?;
    }
    Ok(())
}

#[test]
fn an_ordinary_convolution_becomes_an_over_parameterised_one() -> Result<()> {
    let config = Conv2dConfig::new(4, 6, 3);
    let conv = config.build(&vb())?;
    let layer = DoConv2dConfig::new(config).build(&VarBuilder::seeded(1))?;
    let dict = doconv_key_maps::from_conv2d().apply(state_dict(&conv))?;
    let report = load_state_dict(&layer, &dict, Loading::Lenient)?;
    assert!(
        report.unexpected.is_empty() && report.mis_shaped.is_empty(),
        "{report}"
    );
    let x = randn(&[1, 4, 5, 6], 5)?;
    close(&layer.forward(&x)?, &conv.forward(&x)?, "the same function")
}

#[test]
fn standardised_filters_forget_scale_and_shift() -> Result<()> {
    let layer = StdConv2dConfig::new(Conv2dConfig::new(4, 6, 3))
        .eps(0.0)
        .build(&vb())?;
    let x = randn(&[1, 4, 5, 6], 6)?;
    let before = layer.forward(&x)?.detach();
    let weight = named_parameters(&layer)[0].1.clone();
    weight.set(&weight.tensor().detach().mul_scalar(3.0)?.add_scalar(0.5)?)?;
    close(&layer.forward(&x)?, &before, "scaled and shifted")?;
    let filters = layer.standardized()?.flatten(1, 3)?;
    numbers(&filters.mean(&[1], false)?, &[0.0; 6], "means")?;
    numbers(
        &filters.square()?.mean(&[1], false)?,
        &[1.0; 6],
        "variances",
    )
}

#[test]
fn constant_kernels_make_an_involution_a_box_filter() -> Result<()> {
    let layer = InvolutionConfig::new(8).kernel(3).groups(2).build(&vb())?;
    for (name, p) in named_parameters(&layer) {
        if name == "conv2.weight" {
            p.set(&Tensor::zeros(p.shape(), DType::F32)?)?;
        } else if name == "conv2.bias" {
            p.set(&Tensor::full(p.shape(), 0.5, DType::F32)?)?;
        }
    }
    let x = randn(&[2, 8, 5, 4], 7)?;
    let weight = Tensor::full([8, 1, 3, 3], 0.5, DType::F32)?;
    let expected = x.conv2d(&weight, None, Conv2dOptions::default().padding(1).groups(8))?;
    close(&layer.forward(&x)?, &expected, "box filter")?;
    let strided = InvolutionConfig::new(8).stride(2).build(&vb())?;
    let error = strided.forward(&x).expect_err("an odd height").to_string();
    assert!(
        error.contains("[5, 4]") && error.contains("stride 2"),
        "{error}"
    );
    Ok(())
}

/// Features of windows as in the definition: on the larger map.
struct Blocks {
    weight: Tensor,
    bias: Tensor,
    features: Tensor,
}

impl Blocks {
    /// Of a module with its names, in evaluation with fresh statistics.
    fn of(module: &dyn Layer, generate: &str, x: &Tensor, stride: usize) -> Result<Self> {
        let get = |name: &str| parameter(module, name);
        let options = Conv2dOptions::default()
            .padding(1)
            .stride(stride)
            .groups(x.shape()[1]);
        let f = x.conv2d(&get(&format!("{generate}.0.weight")), None, options)?;
        let scale = |name| get(&format!("{generate}.1.{name}")).reshape([1, f.shape()[1], 1, 1]);
        let f = f.mul_scalar(1.0 / (1.0f64 + 1e-5).sqrt())?;
        let f = f.mul(&scale("weight")?)?.add(&scale("bias")?)?.relu()?;
        let [n, many, h, w] = f.dims_array("f")?;
        let f = f
            .reshape([n, many / 9, 3, 3, h, w])?
            .permute(&[0, 1, 4, 2, 5, 3])?;
        Ok(Self {
            weight: get("conv.0.weight"),
            bias: get("conv.0.bias"),
            features: f.reshape([n, many / 9, 3 * h, 3 * w])?,
        })
    }

    fn convolve(&self, gate: &Tensor) -> Result<Tensor> {
        let options = Conv2dOptions::default().stride(3);
        self.features
            .mul(gate)?
            .conv2d(&self.weight, Some(&self.bias), options)
    }
}

#[test]
fn window_attention_is_as_on_the_larger_map() -> Result<()> {
    let layer = RfCbamConvConfig::new(4, 6)
        .stride(2)
        .width(5)
        .build(&vb())?;
    set_training(&layer, false);
    scramble(&layer)?;
    let x = randn(&[2, 4, 5, 6], 8)?;
    let blocks = Blocks::of(&layer, "generate", &x, 2)?;
    let get = |name: &str| parameter(&layer, name);
    let z = x
        .mean(&[2, 3], false)?
        .linear(&get("se.fc.0.weight"), None)?
        .relu()?;
    let channel = z.linear(&get("se.fc.2.weight"), None)?.sigmoid()?;
    let f = &blocks.features;
    let pooled = Tensor::cat(&[&f.amax(&[1], true)?, &f.mean(&[1], true)?], 1)?;
    let weight = get("get_weight.0.weight");
    let spatial = pooled
        .conv2d(&weight, None, Conv2dOptions::default().padding(1))?
        .sigmoid()?;
    let gate = spatial.mul(&channel.reshape([2, 4, 1, 1])?)?;
    close(&layer.forward(&x)?, &blocks.convolve(&gate)?, "rfcbamconv")?;
    close(
        &probed(&layer, &x, ProbeKind::SpatialMap)?,
        &spatial,
        "its map",
    )
}

#[test]
fn channel_attention_stands_before_the_convolution() -> Result<()> {
    let layer = CamConvConfig::new(Conv2dConfig::new(4, 6, 3).padding(1))
        .reduction(2)
        .build(&vb())?;
    scramble(&layer)?;
    let x = randn(&[2, 4, 5, 6], 9)?;
    let get = |name: &str| parameter(&layer, name);
    let matrix = |name: &str| get(name).flatten(1, 3);
    let mlp = |s: &Tensor| {
        let z = s.linear(&matrix("mlp.0.weight")?, None)?.relu()?;
        z.linear(&matrix("mlp.2.weight")?, None)
    };
    let gate = mlp(&x.amax(&[2, 3], false)?)?
        .add(&mlp(&x.mean(&[2, 3], false)?)?)?
        .sigmoid()?;
    let gated = x.mul(&gate.reshape([2, 4, 1, 1])?)?;
    let (weight, bias) = (get("conv.0.weight"), get("conv.0.bias"));
    let y = gated.conv2d(&weight, Some(&bias), Conv2dOptions::default().padding(1))?;
    close(&layer.forward(&x)?, &y, "camconv")?;
    close(
        &probed(&layer, &x, ProbeKind::ChannelGate)?,
        &gate,
        "its gate",
    )
}

/// The gates of coordinate attention on a map, `[N, C, H, W]`, in evaluation with fresh statistics.
fn coordinate_gates(module: &dyn Layer, x: &Tensor) -> Result<Tensor> {
    let get = |name: &str| parameter(module, name);
    let conv = |x: &Tensor, name: &str| {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        x.conv2d(&weight, Some(&bias), Conv2dOptions::default())
    };
    let gate = |means: &Tensor, name: &str| {
        let f = conv(means, "conv1")?.mul_scalar(1.0 / (1.0f64 + 1e-5).sqrt())?;
        let norm = |name: &str| get(name).reshape([1, f.shape()[1], 1, 1]);
        let f = f.mul(&norm("bn1.weight")?)?.add(&norm("bn1.bias")?)?;
        conv(&f.hardswish()?, name)?.sigmoid()
    };
    gate(&x.mean(&[3], true)?, "conv_h")?.mul(&gate(&x.mean(&[2], true)?, "conv_w")?)
}

#[test]
fn coordinate_attention_stands_before_the_convolution() -> Result<()> {
    let layer = CaConvConfig::new(Conv2dConfig::new(4, 6, 3).padding(1)).build(&vb())?;
    set_training(&layer, false);
    scramble(&layer)?;
    let x = randn(&[2, 4, 5, 6], 10)?;
    let gate = coordinate_gates(&layer, &x)?;
    let (weight, bias) = (
        parameter(&layer, "conv.0.weight"),
        parameter(&layer, "conv.0.bias"),
    );
    let options = Conv2dOptions::default().padding(1);
    let y = x.mul(&gate)?.conv2d(&weight, Some(&bias), options)?;
    close(&layer.forward(&x)?, &y, "caconv")?;
    close(&probed(&layer, &x, ProbeKind::FullGate)?, &gate, "its gate")
}

#[test]
fn coordinates_of_windows_are_those_of_the_larger_map() -> Result<()> {
    let layer = RfCaConvConfig::new(4, 6).stride(2).build(&vb())?;
    set_training(&layer, false);
    scramble(&layer)?;
    let x = randn(&[2, 4, 5, 6], 11)?;
    let blocks = Blocks::of(&layer, "generate", &x, 2)?;
    let gate = coordinate_gates(&layer, &blocks.features)?;
    close(&layer.forward(&x)?, &blocks.convolve(&gate)?, "rfcaconv")
}

#[test]
fn dynamic_operations_are_counted() -> Result<()> {
    let x = [2, 8, 5, 4];
    let condconv = CondConv2dConfig::new(Conv2dConfig::new(8, 6, 3).padding(1)).experts(3);
    let count = |layer: &dyn Module| summary(layer, &x).map(|s| s.multiply_adds);
    let (convolution, mixing, routing) = (2 * 6 * 20 * 72, 2 * 3 * 432, 2 * 8 * 3);
    assert_eq!(
        count(&condconv.build(&vb())?)?,
        convolution + mixing + routing
    );
    let involution = InvolutionConfig::new(8).kernel(3).groups(2).build(&vb())?;
    assert_eq!(count(&involution)?, 2 * 20 * (8 * 2 + 2 * 18 + 8 * 9));
    Ok(())
}

/// Parameters of ResNet-18 with the first convolution of every block replaced.
fn resnet18(build: impl Fn(usize, usize) -> Result<usize>) -> Result<usize> {
    let blocks = [
        (64, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        (512, 512),
    ];
    let more = |(i, o): (usize, usize)| Ok(build(i, o)? - 9 * i * o);
    blocks
        .into_iter()
        .map(more)
        .sum::<Result<usize>>()
        .map(|sum| 11_689_512 + sum)
}

#[test]
fn networks_have_the_published_sizes() -> Result<()> {
    let rfa = |i, o| Ok(parameter_count(&RfaConvConfig::new(i, o).build(&vb())?));
    assert_eq!(resnet18(rfa)?, 11_850_408);
    let rfcbam = |i, o| Ok(parameter_count(&RfCbamConvConfig::new(i, o).build(&vb())?));
    assert_eq!(resnet18(rfcbam)?, 11_884_408);
    let cam = |i, o| {
        Ok(parameter_count(
            &CamConvConfig::new(Conv2dConfig::new(i, o, 3)).build(&vb())?,
        ))
    };
    assert_eq!(resnet18(cam)?, 11_746_216);
    let ca = |i, o| {
        Ok(parameter_count(
            &CaConvConfig::new(Conv2dConfig::new(i, o, 3)).build(&vb())?,
        ))
    };
    assert_eq!(resnet18(ca)?, 11_742_208);
    let rfca = |i, o| Ok(parameter_count(&RfCaConvConfig::new(i, o).build(&vb())?));
    assert_eq!(resnet18(rfca)?, 11_887_936);
    Ok(())
}

#[test]
fn other_names_are_translated() -> Result<()> {
    let layer = DynamicConv2dConfig::new(Conv2dConfig::new(8, 4, 3)).build(&vb())?;
    let collection = KeyMap::new()
        .rename("attention.fc1", "attention.net.0")
        .rename("attention.fc2", "attention.net.2");
    let theirs = collection.apply(state_dict(&layer))?;
    let ours = dynamic_conv_key_maps::collection().apply(theirs)?;
    assert!(load_state_dict(&layer, &ours, Loading::Strict)?.is_complete());

    let config = CondConv2dConfig::new(Conv2dConfig::new(4, 6, 3)).experts(2);
    let layer = config.build(&vb())?;
    let mut theirs = StateDict::new();
    theirs.insert("attention.net.weight", randn(&[2, 4, 1, 1], 1)?);
    theirs.insert("weight", randn(&[2, 6, 4, 3, 3], 2)?);
    let ours = condconv_key_maps::collection().apply(theirs)?;
    let report = load_state_dict(&layer, &ours, Loading::Lenient)?;
    assert_eq!(report.loaded, ["weight", "routing_fn.weight"]);

    let layer = InvolutionConfig::new(8).reduce_bias(false).build(&vb())?;
    let mmcv = KeyMap::new()
        .rename("bn", "conv1.norm")
        .rename("conv1.weight", "conv1.conv.weight")
        .rename("conv1.norm", "conv1.bn")
        .rename("conv2", "conv2.conv");
    let theirs = mmcv.apply(state_dict(&layer))?;
    assert!(theirs.get("conv1.conv.weight").is_some() && theirs.get("conv1.bn.bias").is_some());
    let ours = involution_key_maps::mmcv().apply(theirs)?;
    assert!(load_state_dict(&layer, &ours, Loading::Strict)?.is_complete());
    Ok(())
}

#[test]
fn nothing_is_recorded_without_gradients() -> Result<()> {
    let layer = CondConv2dConfig::new(Conv2dConfig::new(8, 8, 3)).build(&vb())?;
    let y = no_grad(|| layer.forward(&randn(&[2, 8, 5, 5], 1)?))?;
    assert!(!y.tracks_grad());
    Ok(())
}
