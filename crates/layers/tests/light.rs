//! What convolutions with less arithmetic promise, on numbers worked by hand, as properties and in
//! whole networks.

use striate_layers::*;
use striate_tensor::{Conv2dOptions, DType, Philox, Result, Tensor, no_grad};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &Tensor, expected: &Tensor, tolerance: f32) -> Result<()> {
    assert_eq!(got.shape(), expected.shape());
    let (got, expected) = (got.to_vec::<f32>()?, expected.to_vec::<f32>()?);
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        assert!(
            (g - e).abs() <= tolerance * (1.0 + e.abs()),
            "element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// The parameter of that name.
fn parameter(layer: &dyn Layer, name: &str) -> Parameter {
    let mut all = named_parameters(layer).into_iter();
    all.find(|(n, _)| n == name).expect(name).1
}

#[test]
fn a_ghost_module_by_hand() -> Result<()> {
    let ghost = GhostModuleConfig::new(1, 2).build(&vb())?;
    set_training(&ghost, false);
    parameter(&ghost, "primary_conv.0.weight").set(&Tensor::full(
        [1, 1, 1, 1],
        2.0,
        DType::F32,
    )?)?;
    parameter(&ghost, "cheap_operation.0.weight").set(&Tensor::ones([1, 1, 3, 3], DType::F32)?)?;
    let x = Tensor::from_vec(vec![1.0f32, -1.0, 2.0, 3.0], [1, 1, 2, 2])?;
    let expected = vec![2.0f32, 0.0, 4.0, 6.0, 11.9999, 11.9999, 11.9999, 11.9999];
    let expected = Tensor::from_vec(expected, [1, 2, 2, 2])?;
    close(&ghost.forward(&x)?, &expected, 1e-5)
}

#[test]
fn a_ghost_module_cuts_off_what_is_too_much() -> Result<()> {
    let x = randn(&[2, 4, 5, 5])?;
    let wide = GhostModuleConfig::new(4, 6).build(&vb())?;
    let cut = GhostModuleConfig::new(4, 5).build(&vb())?;
    let loaded = load_state_dict(&cut, &state_dict(&wide), Loading::Strict)?;
    assert!(loaded.missing.is_empty(), "{loaded:?}");
    close(&cut.forward(&x)?, &wide.forward(&x)?.narrow(1, 0, 5)?, 0.0)
}

#[test]
fn a_separable_kernel_equals_its_square() -> Result<()> {
    let (u, v) = ([1.0f32, 4.0, 6.0, 4.0, 1.0], [-1.0f32, -2.0, 0.0, 2.0, 1.0]);
    let square: Vec<f32> = u.iter().flat_map(|a| v.map(|b| a * b)).collect();
    let square = Tensor::from_vec(square, [5, 5])?;
    let parts = RankOne::of(&square)?.exact(1e-6)?;
    // A filter for each of three channels.
    let conv = RowColConvConfig::new(3, 3).kernel(5).groups(3).bias(false);
    let conv = conv.build(&vb())?;
    let taps = |values: &[f64], shape: [usize; 4]| {
        let one: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        Tensor::from_vec(one.repeat(3), shape)
    };
    parameter(&conv, "conv_col.weight").set(&taps(&parts.column, [3, 1, 5, 1])?)?;
    parameter(&conv, "conv_row.weight").set(&taps(&parts.row, [3, 1, 1, 5])?)?;
    let x = randn(&[2, 3, 7, 6])?;
    let whole = square.reshape([1, 1, 5, 5])?.expand([3, 1, 5, 5])?;
    let options = Conv2dOptions::default().padding([2, 2]).groups(3);
    close(&conv.forward(&x)?, &x.conv2d(&whole, None, options)?, 1e-5)
}

#[test]
fn the_nearest_separable_kernel_has_the_greatest_singular_value() -> Result<()> {
    // Singular values 3 and 1: the rest is 1 of sqrt(10).
    let kernel = Tensor::from_vec(vec![2.0f64, 1.0, 1.0, 2.0], [2, 2])?;
    let parts = RankOne::of(&kernel)?;
    assert!((parts.residual - 0.1f64.sqrt()).abs() < 1e-12, "{parts:?}");
    for c in &parts.column {
        for r in &parts.row {
            assert!((c * r - 1.5).abs() < 1e-12, "{parts:?}");
        }
    }
    let error = parts.exact(1e-6).expect_err("rank 2").to_string();
    assert!(error.contains("3.16"), "{error}");
    // Wider than high, higher than wide, and of zeros.
    for (shape, values) in [([1, 3], [1.0f64, -2.0, 3.0]), ([3, 1], [1.0, -2.0, 3.0])] {
        let parts = RankOne::of(&Tensor::from_slice(&values, shape)?)?.exact(1e-12)?;
        assert_eq!([parts.column.len(), parts.row.len()], shape);
    }
    assert_eq!(
        RankOne::of(&Tensor::zeros([3, 3], DType::F64)?)?.residual,
        0.0
    );
    assert!(RankOne::of(&Tensor::full([2, 2], f64::NAN, DType::F64)?).is_err());
    assert!(RankOne::of(&Tensor::zeros([2, 2, 2], DType::F64)?).is_err());
    Ok(())
}

#[test]
fn a_partial_convolution_leaves_the_other_channels() -> Result<()> {
    let x = randn(&[2, 10, 5, 6])?;
    let y = PartialConvConfig::new(10).build(&vb())?.forward(&x)?;
    close(&y.narrow(1, 2, 8)?, &x.narrow(1, 2, 8)?, 0.0)?;
    assert_ne!(
        y.narrow(1, 0, 2)?.to_vec::<f32>()?,
        x.narrow(1, 0, 2)?.to_vec::<f32>()?
    );
    Ok(())
}

#[test]
fn a_mixed_convolution_of_one_size_is_a_convolution() -> Result<()> {
    let x = randn(&[1, 4, 5, 6])?;
    let mixed = MixConvConfig::new(4, 4).kernels([3]).build(&vb())?;
    let weight = parameter(&mixed, "0.weight").tensor();
    let options = Conv2dOptions::default().padding([1, 1]).groups(4);
    close(&mixed.forward(&x)?, &x.conv2d(&weight, None, options)?, 0.0)
}

#[test]
fn an_inverted_residual_adds_its_input_where_shapes_stay() -> Result<()> {
    let x = randn(&[2, 4, 6, 6])?;
    for (out, stride, adds) in [(4, 1, true), (4, 2, false), (5, 1, false)] {
        let block = InvertedResidualConfig::new(4, out).stride(stride);
        let block = block.build(&vb())?;
        // With the last scale 0 nothing but the input is left.
        parameter(&block, "conv.3.weight").set(&Tensor::zeros([out], DType::F32)?)?;
        let y = block.forward(&x)?;
        let expected = if adds { x.clone() } else { y.zeros_like()? };
        close(&y, &expected, 0.0)?;
    }
    Ok(())
}

#[test]
fn recorded_and_fused_evaluation_agree() -> Result<()> {
    let x = randn(&[2, 8, 7, 6])?;
    let ghost = GhostBottleneckConfig::new(8, 12, 10)
        .stride(2)
        .se_ratio(0.25);
    let modules: [Box<dyn Module>; 3] = [
        Box::new(ghost.build(&vb())?),
        Box::new(InvertedResidualConfig::new(8, 8).build(&vb())?),
        Box::new(DepthwiseSeparableConfig::new(8, 6).build(&vb())?),
    ];
    for module in modules {
        module.forward(&x)?;
        set_training(&module, false);
        close(&no_grad(|| module.forward(&x))?, &module.forward(&x)?, 1e-5)?;
    }
    Ok(())
}

/// A convolution without a bias and its batch norm.
fn conv_bn(inputs: usize, outputs: usize, kernel: usize) -> usize {
    inputs * outputs * kernel * kernel + 2 * outputs
}

#[test]
fn mobilenet_v1_has_the_published_count() -> Result<()> {
    let mut widths = vec![32, 64, 128, 128, 256, 256];
    widths.extend([512; 6]);
    widths.extend([1024; 2]);
    let mut sum = conv_bn(3, 32, 3) + 1024 * 1000 + 1000;
    for pair in widths.windows(2) {
        sum += parameter_count(&DepthwiseSeparableConfig::new(pair[0], pair[1]).build(&vb())?);
    }
    assert_eq!(sum, 4_231_976);
    Ok(())
}

#[test]
fn mobilenet_v2_has_the_published_count() -> Result<()> {
    let mut sum = conv_bn(3, 32, 3) + conv_bn(320, 1280, 1) + 1280 * 1000 + 1000;
    let mut channels = 32;
    for (t, c, n, s) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..n {
            let block = InvertedResidualConfig::new(channels, c).expand_ratio(t);
            let block = block.stride(if i == 0 { s } else { 1 }).build(&vb())?;
            sum += parameter_count(&block);
            channels = c;
        }
    }
    assert_eq!(sum, 3_504_872);
    Ok(())
}

#[test]
fn ghostnet_has_the_published_count() -> Result<()> {
    let mut sum = conv_bn(3, 16, 3) + conv_bn(160, 960, 1);
    sum += 960 * 1280 + 1280 + 1280 * 1000 + 1000;
    let mut channels = 16;
    for (dw, mid, out, se, stride) in [
        (3, 16, 16, 0.0, 1),
        (3, 48, 24, 0.0, 2),
        (3, 72, 24, 0.0, 1),
        (5, 72, 40, 0.25, 2),
        (5, 120, 40, 0.25, 1),
        (3, 240, 80, 0.0, 2),
        (3, 200, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 184, 80, 0.0, 1),
        (3, 480, 112, 0.25, 1),
        (3, 672, 112, 0.25, 1),
        (5, 672, 160, 0.25, 2),
        (5, 960, 160, 0.0, 1),
        (5, 960, 160, 0.25, 1),
        (5, 960, 160, 0.0, 1),
        (5, 960, 160, 0.25, 1),
    ] {
        let block = GhostBottleneckConfig::new(channels, mid, out);
        let block = block.dw_kernel(dw).se_ratio(se).stride(stride);
        sum += parameter_count(&block.build(&vb())?);
        channels = out;
    }
    assert_eq!(sum, 5_182_508);
    Ok(())
}

#[test]
fn other_names_are_translated() -> Result<()> {
    let names = |dict: &StateDict| dict.names().map(str::to_owned).collect::<Vec<_>>();
    // timm's names of a block that widens and of the first one.
    let wide = InvertedResidualConfig::new(4, 4).build(&vb())?;
    let first = InvertedResidualConfig::new(4, 4)
        .expand_ratio(1)
        .build(&vb())?;
    let renamed = |layer: &dyn Layer, back: &[(&str, &str)]| -> Result<StateDict> {
        let mut dict = StateDict::new();
        for (name, tensor) in state_dict(layer).iter() {
            let (own, leaf) = name.rsplit_once('.').expect("a leaf");
            let (_, other) = back.iter().find(|(n, _)| *n == own).expect(own);
            dict.insert(format!("blocks.2.0.{other}.{leaf}"), tensor.clone());
        }
        Ok(dict)
    };
    let wide_names = [
        ("conv.0.0", "conv_pw"),
        ("conv.0.1", "bn1"),
        ("conv.1.0", "conv_dw"),
        ("conv.1.1", "bn2"),
        ("conv.2", "conv_pwl"),
        ("conv.3", "bn3"),
    ];
    let first_names = [
        ("conv.0.0", "conv_dw"),
        ("conv.0.1", "bn1"),
        ("conv.1", "conv_pw"),
        ("conv.2", "bn2"),
    ];
    let dwsep = DepthwiseSeparableConfig::new(4, 4).build(&vb())?;
    let dwsep_names = [
        ("conv_dw", "0"),
        ("bn1", "1"),
        ("conv_pw", "3"),
        ("bn2", "4"),
    ];
    for (layer, map, back) in [
        (
            &wide as &dyn Layer,
            invres_key_maps::timm(),
            &wide_names[..],
        ),
        (&first, invres_key_maps::timm_first(), &first_names[..]),
        (&dwsep, dwsep_key_maps::sequential(), &dwsep_names[..]),
    ] {
        let own = state_dict(layer);
        let translated = map.apply(renamed(layer, back)?)?;
        let expected: Vec<_> = names(&own)
            .iter()
            .map(|n| format!("blocks.2.0.{n}"))
            .collect();
        assert_eq!(names(&translated), expected);
    }
    Ok(())
}
