//! What modules promise in which every place sees every other.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{Conv2dOptions, Error, Philox, Result, Tensor};

const FORMS: [Affinity; 4] = [
    Affinity::Gaussian,
    Affinity::Embedded,
    Affinity::Dot,
    Affinity::Concat,
];

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &Tensor, expected: &[f32], place: &str) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len(), "{place}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= 2e-6 * (1.0 + e.abs()),
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

/// Draws every parameter anew, so that nothing starts as nothing.
fn stir(layer: &dyn Layer) -> Result<()> {
    let mut rng = Philox::new(3);
    for (_, p) in named_parameters(layer) {
        p.set(&Tensor::randn(p.shape(), &mut rng)?)?;
    }
    Ok(())
}

#[test]
fn non_local_by_hand() -> Result<()> {
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [1, 1, 3])?;
    let expected = [
        [2.575_21, 2.850_937, 2.947_975],
        [2.575_21, 2.850_937, 2.947_975],
        [4.666_667, 9.333_333, 14.0],
        [0.0, 0.333_333, 1.333_333],
    ];
    for (form, expected) in FORMS.into_iter().zip(expected) {
        let config = NonLocalConfig::new(1, 1).affinity(form).bn_layer(false);
        let block = config.build(&vb())?;
        for (name, p) in named_parameters(&block) {
            let values: &[f32] = match (name.as_str(), p.numel()) {
                ("concat_project.0.weight", _) => &[1.0, -1.0],
                (name, _) if name.ends_with("bias") => &[0.0],
                _ => &[1.0],
            };
            p.set(&Tensor::from_slice(values, p.shape())?)?;
        }
        close(
            &block.forward(&x)?.sub(&x)?,
            &expected,
            &format!("{form:?}"),
        )?;
    }
    Ok(())
}

#[test]
fn they_start_as_the_identity() -> Result<()> {
    let same = |block: &dyn Module, shape: &[usize], factor: f64| {
        let x = randn(shape)?;
        let (y, x) = (block.forward(&x)?, x.mul_scalar(factor)?);
        assert_eq!(y.to_vec::<f32>()?, x.to_vec::<f32>()?, "{block:?}");
        Ok::<_, Error>(())
    };
    for (dims, shape) in [
        (1, &[2, 8, 9][..]),
        (2, &[2, 8, 4, 5]),
        (3, &[2, 8, 2, 3, 4]),
    ] {
        for form in FORMS {
            for norm in [false, true] {
                let config = NonLocalConfig::new(dims, 8).affinity(form).bn_layer(norm);
                let block = config.sub_sample(true).build(&vb())?;
                same(&block, shape, 1.0)?;
                evaluating(&block, || same(&block, shape, 1.0))?;
            }
        }
    }
    same(&CrissCrossConfig::new(8).build(&vb())?, &[2, 8, 4, 5], 1.0)?;
    same(&DanetConfig::new(8).build(&vb())?, &[2, 8, 4, 5], 2.0)
}

#[test]
fn concatenation_equals_its_factored_form() -> Result<()> {
    let (n, c, r, h, w) = (2, 6, 3, 3, 4);
    let config = NonLocalConfig::new(2, c).affinity(Affinity::Concat);
    let block = config.bn_layer(false).build(&vb())?;
    stir(&block)?;
    let x = randn(&[n, c, h, w])?;
    let y = block.forward(&x)?;
    let weight = |name: &str| -> Result<Tensor> {
        let all = named_parameters(&block);
        let found = all.iter().find(|p| p.0 == name);
        Ok(found.ok_or_else(|| Error::msg(name))?.1.tensor())
    };
    let embed = |name: &str| {
        let bias = weight(&format!("{name}.bias"))?;
        x.conv2d(
            &weight(&format!("{name}.weight"))?,
            Some(&bias),
            Conv2dOptions::default(),
        )?
        .reshape([n, r, h * w])
    };
    let (theta, phi, g) = (embed("theta")?, embed("phi")?, embed("g")?);
    let pair = [n, r, h * w, h * w];
    let pairs = Tensor::cat(
        &[
            &theta.unsqueeze(3)?.expand(pair)?,
            &phi.unsqueeze(2)?.expand(pair)?,
        ],
        1,
    )?;
    let f = pairs.conv2d(
        &weight("concat_project.0.weight")?,
        None,
        Conv2dOptions::default(),
    )?;
    let f = f
        .relu()?
        .reshape([n, h * w, h * w])?
        .mul_scalar(1.0 / (h * w) as f64)?;
    let gathered = f
        .matmul(&g.transpose(1, 2)?)?
        .transpose(1, 2)?
        .reshape([n, r, h, w])?;
    let (back, bias) = (weight("W.weight")?, weight("W.bias")?);
    let expected = gathered
        .conv2d(&back, Some(&bias), Conv2dOptions::default())?
        .add(&x)?;
    let difference = y.sub(&expected)?.abs()?.to_vec::<f32>()?;
    let scale = expected
        .abs()?
        .to_vec::<f32>()?
        .into_iter()
        .fold(0.0, f32::max);
    assert!(
        difference.iter().all(|d| *d <= 1e-5 * scale),
        "{difference:?}"
    );
    Ok(())
}

#[test]
fn what_the_middle_gathers_sums_to_one() -> Result<()> {
    let record = |block: &dyn Module, shape: &[usize]| {
        let x = randn(shape)?;
        let plain = block.forward(&x)?.to_vec::<f32>()?;
        let (y, probes) = probe::record(|| block.forward(&x));
        assert_eq!(y?.to_vec::<f32>()?, plain, "a probe changes nothing");
        Ok::<_, Error>(probes)
    };
    for form in [Affinity::Gaussian, Affinity::Embedded] {
        let config = NonLocalConfig::new(3, 6).affinity(form).sub_sample(true);
        let probes = record(&config.build(&vb())?, &[2, 6, 2, 4, 6])?;
        assert_eq!(probes[0].kind, ProbeKind::SpatialMap);
        assert_eq!(probes[0].tensor.shape(), [2, 1, 4, 3]);
        close(
            &probes[0].tensor.sum(&[1, 2, 3], false)?,
            &[1.0; 2],
            "weights",
        )?;
    }
    let probes = record(&DanetConfig::new(8).build(&vb())?, &[2, 8, 3, 4])?;
    close(
        &probes[0].tensor.sum(&[1, 2, 3], false)?,
        &[1.0; 2],
        "danet",
    )?;
    let config = DoubleAttentionConfig::new(8).c_n(3).c_m(4);
    let probes = record(&config.build(&vb())?, &[2, 8, 3, 4])?;
    assert_eq!(probes[0].tensor.shape(), [2, 3, 3, 4]);
    close(&probes[0].tensor.sum(&[1], false)?, &[1.0; 24], "features")
}

#[test]
fn a_cross_reaches_its_row_and_column_and_two_reach_everything() -> Result<()> {
    for (recurrence, everything) in [(1, false), (2, true)] {
        let config = CrissCrossConfig::new(8).recurrence(recurrence);
        let block = config.build(&vb())?;
        stir(&block)?;
        let x = randn(&[1, 8, 4, 5])?.mul_scalar(0.1)?.requires_grad(true)?;
        let corner = block.forward(&x)?.narrow(2, 0, 1)?.narrow(3, 0, 1)?;
        let grads = corner.sum_all()?.backward()?;
        let grad = grads.get(&x).ok_or_else(|| Error::msg("no gradient"))?;
        let reached = grad.abs()?.sum(&[0, 1], false)?.to_vec::<f32>()?;
        for (i, reached) in reached.into_iter().enumerate() {
            let crossed = i / 5 == 0 || i % 5 == 0;
            assert_eq!(reached > 0.0, crossed || everything, "place {i}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    for dims in [0, 4] {
        let error = NonLocalConfig::new(dims, 8).build(&(vb() / "nl"));
        let error = error.expect_err("no such dimensions").to_string();
        assert!(error.starts_with("nl: NonLocal"), "{error}");
    }
    let small = NonLocalConfig::new(2, 8).sub_sample(true).build(&vb())?;
    for shape in [&[1, 8, 1, 5][..], &[1, 8, 5, 1], &[1, 6, 4, 4], &[1, 8, 4]] {
        let error = small.forward(&randn(shape)?).expect_err("it does not fit");
        assert!(error.to_string().contains("NonLocal"), "{error}");
    }
    let flat = NonLocalConfig::new(3, 8).sub_sample(true).build(&vb())?;
    assert!(flat.forward(&randn(&[1, 8, 1, 2, 2])?).is_ok());
    Ok(())
}

/// The state dict under other names, which `map` must undo.
fn translated(
    layer: &dyn Layer,
    names: &[(&str, &str)],
    map: &KeyMap,
    fresh: &dyn Layer,
) -> Result<()> {
    stir(layer)?;
    let foreign: StateDict = state_dict(layer)
        .into_iter()
        .map(|(name, tensor)| {
            let rename = names.iter().find(|(ours, _)| name.starts_with(ours));
            let rename = rename.map(|(ours, theirs)| [theirs, &name[ours.len()..]].concat());
            (rename.unwrap_or(name), tensor)
        })
        .collect();
    load_state_dict(fresh, &map.apply(foreign)?, Loading::Strict)?;
    for ((name, a), (_, b)) in named_parameters(layer)
        .into_iter()
        .zip(named_parameters(fresh))
    {
        assert_eq!(
            a.tensor().to_vec::<f32>()?,
            b.tensor().to_vec::<f32>()?,
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn other_names_are_understood() -> Result<()> {
    let check = |config: &NonLocalConfig, names: &[(&str, &str)], map: KeyMap| -> Result<()> {
        let fresh = config.build(&VarBuilder::seeded(9))?;
        translated(&config.build(&vb())?, names, &map, &fresh)
    };
    let plain = NonLocalConfig::new(2, 8);
    let concat = plain.clone().affinity(Affinity::Concat);
    let mmcv = [
        ("g.0", "g.0.conv"),
        ("phi.0", "phi.0.conv"),
        ("theta", "theta.conv"),
        ("concat_project.0", "concat_project.conv"),
        ("W.0", "conv_out.conv"),
        ("W.1", "conv_out.bn"),
    ];
    check(&concat.sub_sample(true), &mmcv, nonlocal_key_maps::mmcv())?;
    let mmcv = [
        ("g", "g.conv"),
        ("phi", "phi.conv"),
        ("theta", "theta.conv"),
        ("W", "conv_out.conv"),
    ];
    let map = nonlocal_key_maps::mmcv_without_norm();
    check(&plain.clone().bn_layer(false), &mmcv, map)?;
    let timm = [("theta", "t"), ("phi", "p"), ("W.0", "z"), ("W.1", "norm")];
    check(&plain, &timm, nonlocal_key_maps::timm())?;
    let paper = [
        ("theta", "_theta"),
        ("phi", "_phi"),
        ("g", "_g"),
        ("W.0", "_out"),
        ("W.1", "_bn"),
    ];
    check(&plain, &paper, nonlocal_key_maps::video_nonlocal_net())?;
    let mmseg = [
        ("sa.gamma", "pam.gamma.scale"),
        ("sc.gamma", "cam.gamma.scale"),
        ("sa.query_conv", "pam.query_project"),
        ("sa.key_conv", "pam.key_project"),
        ("sa.value_conv", "pam.value_project"),
    ];
    let danet = DanetConfig::new(8);
    let fresh = danet.build(&VarBuilder::seeded(9))?;
    translated(
        &danet.build(&vb())?,
        &mmseg,
        &danet_key_maps::mmseg(),
        &fresh,
    )?;
    let mmseg = [
        ("gamma", "cca.gamma.scale"),
        ("query_conv", "cca.query_conv"),
        ("key_conv", "cca.key_conv"),
        ("value_conv", "cca.value_conv"),
    ];
    let ccnet = CrissCrossConfig::new(8);
    let fresh = ccnet.build(&VarBuilder::seeded(9))?;
    translated(
        &ccnet.build(&vb())?,
        &mmseg,
        &ccnet_key_maps::mmseg(),
        &fresh,
    )
}
