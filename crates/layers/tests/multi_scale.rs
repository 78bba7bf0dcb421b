//! What modules with several receptive fields promise, as properties and against plain restatements.

use striate_layers::*;
use striate_tensor::{
    Conv2dOptions, DType, Interpolation, Philox, PoolOptions, Result, Tensor, no_grad,
};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &Tensor, expected: &Tensor, place: &str) -> Result<()> {
    assert_eq!(got.shape(), expected.shape(), "{place}");
    let wide = |t: &Tensor| t.to_dtype(DType::F64)?.to_vec::<f64>();
    for (i, (g, e)) in wide(got)?.iter().zip(wide(expected)?).enumerate() {
        assert!(
            (g - e).abs() <= 1e-5 * (1.0 + e.abs()),
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// The names under which a key map puts tensors of the given names.
fn renamed(map: &KeyMap, names: &[&str]) -> Result<Vec<String>> {
    let tensor = Tensor::zeros([1], DType::F32)?;
    let dict: StateDict = names
        .iter()
        .map(|n| ((*n).to_owned(), tensor.clone()))
        .collect();
    Ok(map.apply(dict)?.names().map(str::to_owned).collect())
}

#[test]
fn small_windows_repeated_equal_large_ones() -> Result<()> {
    let (spp, sppf) = (Spp::new([5, 9, 13], &vb())?, Sppf::new(5, 3, &vb())?);
    for shape in [[2, 3, 15, 11], [1, 16, 7, 20]] {
        let x = randn(&shape)?;
        let grown = spp.forward(&x)?.to_vec::<f32>()?;
        assert_eq!(sppf.forward(&x)?.to_vec::<f32>()?, grown);
        let direct = spp.forward(&x.requires_grad(true)?)?;
        assert_eq!(direct.to_vec::<f32>()?, grown, "with gradients");
    }
    Ok(())
}

#[test]
fn of_equal_values_the_first_of_each_window_gets_the_gradient() -> Result<()> {
    let x = Tensor::ones([1, 2, 6, 5], DType::F32)?.requires_grad(true)?;
    let spp = Spp::new([3, 5], &vb())?
        .forward(&x)?
        .sum_all()?
        .backward()?;
    let pool = |k: usize| {
        x.max_pool2d(PoolOptions::new(k).stride(1).padding(k / 2))?
            .sum_all()
    };
    let pools = x.sum_all()?.add(&pool(3)?)?.add(&pool(5)?)?.backward()?;
    let grad = |g: &striate_tensor::Gradients| g.get(&x).expect("a gradient").to_vec::<f32>();
    assert_eq!(grad(&spp)?, grad(&pools)?);
    Ok(())
}

#[test]
fn bins_by_hand() -> Result<()> {
    let x = Tensor::from_vec((0..16).map(|v| v as f32).collect(), [1, 1, 4, 4])?;
    let y = SppBins::new([1, 2], &vb())?.forward(&x)?;
    assert_eq!(
        (y.shape(), y.to_vec::<f32>()?),
        (&[1, 5][..], vec![15.0, 5.0, 7.0, 13.0, 15.0])
    );
    Ok(())
}

#[test]
fn the_repeated_mean_is_the_resized_one() -> Result<()> {
    let aspp = AsppV3Config::new(4)
        .out_channels(5)
        .rates([2])
        .build(&vb())?;
    set_training(&aspp, false);
    let dict = state_dict(&aspp);
    let x = randn(&[2, 4, 6, 7])?;
    let local = |i: usize| {
        let conv = Conv2dConfig::new(4, 5, [1, 3][i])
            .dilation(1 + i)
            .same_padding();
        let branch = ConvNormActConfig::new(conv).names("0", "1");
        let branch = branch.build(&(VarBuilder::from_state_dict(dict.clone()) / "convs" / i))?;
        set_training(&branch, false);
        branch.forward(&x)
    };
    let image = ConvNormActConfig::new(Conv2dConfig::new(4, 5, 1)).names("1", "2");
    let image = image.build(&(VarBuilder::from_state_dict(dict.clone()) / "convs" / 2))?;
    set_training(&image, false);
    let image = image.forward(&x.adaptive_avg_pool2d(1)?)?;
    let project = ConvNormActConfig::new(Conv2dConfig::new(15, 5, 1)).names("0", "1");
    let project = project.build(&(VarBuilder::from_state_dict(dict.clone()) / "project"))?;
    set_training(&project, false);
    let y = aspp.forward(&x)?;
    for align_corners in [false, true] {
        let up = image.interpolate([6, 7], Interpolation::Bilinear { align_corners })?;
        let all = Tensor::cat(&[&local(0)?, &local(1)?, &up], 1)?;
        close(&y, &project.forward(&all)?, "resized")?;
    }
    Ok(())
}

#[test]
fn a_rate_as_large_as_the_map_sees_its_centre_alone() -> Result<()> {
    let aspp = AsppV2Config::new(3, 4).rates([7]).build(&vb())?;
    let dict = state_dict(&aspp);
    let weight = dict
        .get("c0.weight")
        .expect("its weight")
        .narrow(2, 1, 1)?
        .narrow(3, 1, 1)?;
    let x = randn(&[1, 3, 6, 7])?;
    let centre = x.conv2d(
        &weight.contiguous()?,
        dict.get("c0.bias"),
        Conv2dOptions::default(),
    )?;
    close(&aspp.forward(&x)?, &centre, "centre")
}

#[test]
fn deep_branches_are_summed() -> Result<()> {
    let aspp = AsppV2Config::new(3, 2)
        .rates([1, 2])
        .hidden(4)
        .build(&vb())?;
    let dict = state_dict(&aspp);
    set_training(&aspp, false);
    let x = randn(&[2, 3, 5, 6])?;
    let conv = |x: &Tensor, name: String, rate: usize| {
        let tensor = |t| dict.get(&format!("{name}.{t}")).expect("its tensor");
        let padding = if tensor("weight").shape()[2] == 3 {
            rate
        } else {
            0
        };
        let options = Conv2dOptions::default().dilation(rate).padding(padding);
        x.conv2d(tensor("weight"), Some(tensor("bias")), options)
    };
    let branch = |i: usize| {
        let y = conv(&x, format!("c{i}.fc6"), i + 1)?.relu()?;
        let y = conv(&y, format!("c{i}.fc7"), 1)?.relu()?;
        conv(&y, format!("c{i}.fc8"), 1)
    };
    close(&aspp.forward(&x)?, &branch(0)?.add(&branch(1)?)?, "sum")
}

#[test]
fn training_on_one_image_is_refused_where_its_mean_is_normalised() -> Result<()> {
    let aspp = AsppV3Config::new(4).rates([1]).build(&(vb() / "aspp"))?;
    let psp = PyramidPoolingConfig::new(4).build(&(vb() / "ppm"))?;
    let x = randn(&[1, 4, 6, 6])?;
    for (module, path) in [
        (&aspp as &dyn Module, "aspp.convs.2.2"),
        (&psp, "ppm.features.0.2"),
    ] {
        let error = module
            .forward(&x)
            .expect_err("one value a channel")
            .to_string();
        assert!(error.starts_with(path), "{error}");
        set_training(module, false);
        module.forward(&x)?;
    }
    Ok(())
}

/// A convolution, its batch norm in evaluation and perhaps a ReLU, as plain operations.
fn brick(
    dict: &StateDict,
    name: &str,
    stride: usize,
    dilation: usize,
    relu: bool,
    x: &Tensor,
) -> Result<Tensor> {
    let tensor = |t: &str| {
        dict.get(&format!("{name}.{t}"))
            .ok_or_else(|| striate_tensor::Error::msg(t))
    };
    let weight = tensor("conv.weight")?;
    let [_, per_group, kh, kw] = weight.dims4()?;
    let options = Conv2dOptions::default()
        .stride(stride)
        .dilation(dilation)
        .padding([dilation * (kh / 2), dilation * (kw / 2)])
        .groups(x.shape()[1] / per_group);
    let y = x.conv2d(weight, None, options)?.batch_norm_eval(
        tensor("bn.running_mean")?,
        tensor("bn.running_var")?,
        Some(tensor("bn.weight")?),
        Some(tensor("bn.bias")?),
        1e-5,
    )?;
    if relu { y.relu() } else { Ok(y) }
}

/// A block as the paper's table has it: of each branch the strides of its convolutions and the last dilation.
fn restated(
    dict: &StateDict,
    branches: &[(&[usize], usize)],
    scale: f64,
    x: &Tensor,
) -> Result<Tensor> {
    let mut seen = Vec::new();
    for (b, (strides, dilation)) in branches.iter().enumerate() {
        let mut y = x.clone();
        for (k, &stride) in strides.iter().enumerate() {
            let last = k + 1 == strides.len();
            let dilation = if last { *dilation } else { 1 };
            y = brick(
                dict,
                &format!("branch{}.{k}", b + 1),
                stride,
                dilation,
                !last,
                &y,
            )?;
        }
        seen.push(y);
    }
    let all = Tensor::cat(&seen.iter().collect::<Vec<_>>(), 1)?;
    let linear = brick(dict, "ConvLinear", 1, 1, false, &all)?;
    let stride = branches[0].0.iter().product();
    let shortcut = match dict.get("shortcut.conv.weight") {
        Some(_) => brick(dict, "shortcut", stride, 1, false, x)?,
        None => x.clone(),
    };
    linear.mul_scalar(scale)?.add(&shortcut)?.relu()
}

#[test]
fn blocks_on_mobilenet_equal_their_tables() -> Result<()> {
    let (same, half): (&[usize], &[usize]) = (&[1, 1, 1, 1], &[1, 1, 2, 1]);
    let fine: &[(&[usize], usize)] = &[(&[1, 1], 1), (&[1, 1, 1], 3), (&[1, 1, 1], 3), (same, 5)];
    let cases = [
        (
            RfbMobileConfig::new(32, 32).build(&vb())?,
            vec![(same, 3), (same, 5)],
            0.1,
        ),
        (
            RfbMobileConfig::new(32, 20)
                .stride(2)
                .scale(1.0)
                .build(&vb())?,
            vec![(half, 3), (half, 5)],
            1.0,
        ),
        (
            RfbSMobileConfig::new(32).scale(0.5).build(&vb())?,
            fine.to_vec(),
            0.5,
        ),
    ];
    let x = randn(&[2, 32, 7, 6])?;
    for (rfb, branches, scale) in cases {
        // A step in training moves the statistics away from where they start.
        rfb.forward(&x)?;
        set_training(&rfb, false);
        let expected = restated(&state_dict(&rfb), &branches, scale, &x)?;
        close(&rfb.forward(&x)?, &expected, "recorded")?;
        close(&no_grad(|| rfb.forward(&x))?, &expected, "in one pass")?;
    }
    Ok(())
}

#[test]
fn the_scale_of_a_block_damps_its_branches() -> Result<()> {
    let x = randn(&[2, 16, 5, 4])?;
    let at = |scale: f64| {
        let rfb = RfbConfig::new(16, 8).scale(scale).build(&vb())?;
        rfb.forward(&x)
    };
    let conv = Conv2dConfig::new(16, 8, 1).init(Init::KaimingNormal);
    let shortcut = ConvNormActConfig::new(conv).build(&(vb() / "shortcut"))?;
    close(
        &at(0.0)?,
        &shortcut.forward(&x)?,
        "the shortcut alone, in training",
    )?;
    assert!(RfbConfig::new(16, 8).scale(f64::NAN).build(&vb()).is_err());
    let (none, small, large) = (at(0.0)?, at(0.1)?, at(1.0)?);
    let distance = |y: &Tensor| y.sub(&none)?.square()?.sum_all()?.item::<f32>();
    assert!(distance(&small)? < distance(&large)?);
    Ok(())
}

#[test]
fn pyramids_read_other_dialects() -> Result<()> {
    let aspp = AsppV3Config::new(4)
        .out_channels(2)
        .rates([1, 2, 3])
        .build(&vb())?;
    let native: Vec<String> = state_dict(&aspp).names().map(str::to_owned).collect();
    let tensors = [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ];
    let listed = |bricks: &[(String, String)]| -> Vec<String> {
        let brick = |(conv, bn): &(String, String)| {
            let norm = tensors
                .iter()
                .map(|t| format!("{bn}.{t}"))
                .collect::<Vec<_>>();
            [vec![format!("{conv}.weight")], norm].concat()
        };
        bricks.iter().flat_map(brick).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let mut jfzhang95: Vec<_> = (1..5)
        .map(|i| (format!("aspp{i}.atrous_conv"), format!("aspp{i}.bn")))
        .collect();
    jfzhang95.extend([
        pair("global_avg_pool.1", "global_avg_pool.2"),
        pair("conv1", "bn1"),
    ]);
    let stage = |i| {
        (
            format!("aspp.stages.c{i}.conv"),
            format!("aspp.stages.c{i}.bn"),
        )
    };
    let mut kazuto1011: Vec<_> = (0..4).map(stage).collect();
    let pool = "aspp.stages.imagepool.conv";
    kazuto1011.push((format!("{pool}.conv"), format!("{pool}.bn")));
    kazuto1011.push(pair("fc1.conv", "fc1.bn"));
    for (map, names) in [
        (aspp_key_maps::jfzhang95(), listed(&jfzhang95)),
        (aspp_key_maps::kazuto1011(), listed(&kazuto1011)),
    ] {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(renamed(&map, &names)?, native);
    }
    assert_eq!(
        renamed(
            &aspp_key_maps::caffe(),
            &[
                "fc1_voc12_c2.weight",
                "fc6_1.bias",
                "fc8_voc12_4.weight",
                "conv1_1.weight"
            ]
        )?,
        [
            "c2.weight",
            "c0.fc6.bias",
            "c3.fc8.weight",
            "conv1_1.weight"
        ]
    );
    Ok(())
}
