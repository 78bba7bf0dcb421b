//! What squeeze-and-excitation, selective kernels and CBAM promise, on numbers worked by hand and
//! as properties.

#[path = "support/values.rs"]
mod values;

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{DType, Error, Result, Tensor, no_grad};
use values::{close, load, randn, vb};

/// Channel 0 is 1, 2, 3, 4 and channel 1 is 0, 0, 0, 8.
fn two_channels() -> Result<Tensor> {
    Tensor::from_vec(
        vec![1.0f32, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 8.0],
        [1, 2, 2, 2],
    )
}

#[test]
fn squeeze_excitation_by_hand() -> Result<()> {
    let config = SqueezeExciteConfig::new(2).reduction(2).bias(false);
    let x = two_channels()?;
    let gate = |config: &SqueezeExciteConfig, w1: &[f32]| {
        let se = config.build(&vb())?;
        load(&se, &[("fc1.weight", w1), ("fc2.weight", &[1.0, -2.0])])?;
        let (y, probes) = probe::record(|| se.forward(&x));
        Ok::<_, Error>((y?, probes[0].tensor.clone()))
    };
    let (y, s) = gate(&config, &[1.0, -1.0])?;
    close(&s, &[0.622_459, 0.268_941], "sigmoid")?;
    close(
        &y,
        &[
            0.622_459, 1.244_919, 1.867_378, 2.489_837, 0.0, 0.0, 0.0, 2.151_531,
        ],
        "output",
    )?;
    let (_, s) = gate(&config.clone().gate(Gate::Tanh), &[1.0, -1.0])?;
    close(&s, &[0.462_117, -0.761_594], "tanh")?;
    let (_, s) = gate(&config.clone().gate(Gate::Relu), &[1.0, -1.0])?;
    close(&s, &[0.5, 0.0], "relu")?;
    let (_, s) = gate(&config.clone().squeeze(Squeeze::Max), &[1.0, -1.0])?;
    close(&s, &[0.5, 0.5], "maxima 4 and 8")?;
    let (_, s) = gate(&config, &[-1.0, 2.0])?;
    close(&s, &[0.817_574, 0.047_426], "other weights")
}

#[test]
fn selection_by_hand() -> Result<()> {
    let branch = |values: [f32; 2]| Tensor::from_vec(values.to_vec(), [1, 2, 1, 1]);
    let branches = [branch([1.0, 2.0])?, branch([3.0, -1.0])?];
    let logits = Tensor::from_vec(vec![0.0f32, 1.0, 3f32.ln(), 1.0], [1, 4])?;
    let path = "sk".into();
    let (y, probes) = probe::record(|| select(&path, &branches, &logits));
    close(&y?, &[2.5, 0.5], "selected")?;
    assert_eq!(
        (probes[0].kind, probes[0].tensor.shape()),
        (ProbeKind::BranchWeights, &[1, 2, 2][..])
    );
    close(&probes[0].tensor, &[0.25, 0.5, 0.75, 0.5], "weights")?;
    close(&fuse(&branches)?, &[4.0, 1.0], "fused")?;
    assert!(fuse(&[]).is_err() && select(&path, &[], &logits).is_err());
    assert!(
        fuse(&[branches[0].clone(), randn(&[1, 2, 2, 1])?]).is_err(),
        "branches of two sizes"
    );
    Ok(())
}

#[test]
fn channel_gate_by_hand() -> Result<()> {
    let gate = ChannelGateConfig::new(2).reduction(2).build(&vb())?;
    load(
        &gate,
        &[
            ("mlp.1.weight", &[1.0, -0.5]),
            ("mlp.1.bias", &[0.0]),
            ("mlp.3.weight", &[0.5, -1.0]),
            ("mlp.3.bias", &[0.0, 0.0]),
        ],
    )?;
    close(
        &gate.gate(&two_channels()?)?,
        &[0.679_179, 0.182_426],
        "gate",
    )
}

#[test]
fn gates_stay_in_their_range() -> Result<()> {
    let x = randn(&[4, 8, 5, 5])?.mul_scalar(30.0)?;
    for (gate, low, high) in [
        (Gate::Sigmoid, 0.0, 1.0),
        (Gate::Tanh, -1.0, 1.0),
        (Gate::Relu, 0.0, f32::INFINITY),
        (Gate::HardSigmoid, 0.0, 1.0),
    ] {
        let se = SqueezeExciteConfig::new(8)
            .reduction(2)
            .gate(gate)
            .build(&vb())?;
        let (_, probes) = probe::record(|| se.forward(&x));
        let values = probes[0].tensor.to_vec::<f32>()?;
        assert!(
            values.iter().all(|v| (low..=high).contains(v)),
            "{gate:?}: {values:?}"
        );
    }
    Ok(())
}

#[test]
fn a_probe_sees_the_gate_and_changes_nothing() -> Result<()> {
    let vb = vb() / "layer3" / 5 / "se";
    let se = SqueezeExciteConfig::new(6).reduction(3).build(&vb)?;
    let x = randn(&[3, 6, 4, 5])?;
    let plain = se.forward(&x)?.to_vec::<f32>()?;
    let (probed, probes) = probe::record(|| se.forward(&x));
    assert_eq!(
        probed?.to_vec::<f32>()?,
        plain,
        "the output is the same, bit for bit"
    );
    assert_eq!(probes.len(), 1);
    assert_eq!(
        (&*probes[0].path, probes[0].tensor.shape()),
        ("layer3.5.se", &[3, 6][..])
    );
    let by_gate = x.mul(&probes[0].tensor.reshape([3, 6, 1, 1])?)?;
    assert_eq!(
        by_gate.to_vec::<f32>()?,
        plain,
        "the gate is the one used, bit for bit"
    );
    let outside = probe::record(|| ()).1;
    assert!(
        outside.is_empty() && !probe::is_recording(),
        "a recording ends"
    );

    let mut statistics = GateStatistics::new(3);
    statistics.add(&probes, &[0, 2, 0])?;
    let gates = statistics.get("SE_4_6")?;
    assert_eq!(gates, statistics.get("layer3.5.se")?);
    let g = probes[0].tensor.to_vec::<f32>()?;
    let first = gates.by_class[0].as_ref().expect("two samples");
    assert!(
        (first[1] - f64::from(g[1] + g[13]) / 2.0).abs() < 1e-7,
        "the mean of samples 0 and 2"
    );
    assert_eq!((gates.by_class[1].as_ref(), gates.samples), (None, 3));
    let mean = f64::from(g[1] + g[7] + g[13]) / 3.0;
    let var = [g[1], g[7], g[13]]
        .iter()
        .map(|&v| (f64::from(v) - mean).powi(2))
        .sum::<f64>()
        / 3.0;
    assert!((gates.mean[1] - mean).abs() < 1e-7 && (gates.std[1] - var.sqrt()).abs() < 1e-6);
    let error = statistics
        .get("layer3.4.se")
        .expect_err("not there")
        .to_string();
    assert!(error.contains("layer3.5.se"), "{error}");
    assert!(
        statistics.add(&probes, &[0, 3, 0]).is_err(),
        "a label that is no class"
    );
    assert!(statistics.add(&probes, &[0, 1]).is_err(), "a label too few");
    Ok(())
}

#[test]
fn branch_weights_sum_to_one() -> Result<()> {
    let sk = SkConvConfig::new(8, 8)
        .branches(3)
        .groups(4)
        .min_dim(4)
        .build(&vb())?;
    let (_, probes) = probe::record(|| sk.forward(&randn(&[4, 8, 6, 5])?));
    let weights = &probes[0].tensor;
    assert_eq!(weights.shape(), [4, 3, 8]);
    let sums = weights.sum(&[1], false)?.to_vec::<f32>()?;
    assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6), "{sums:?}");
    Ok(())
}

#[test]
fn one_branch_is_selected_whole() -> Result<()> {
    let vb = vb();
    let sk = SkConvConfig::new(4, 6)
        .branches(1)
        .groups(2)
        .min_dim(2)
        .build(&vb)?;
    let conv = Conv2dConfig::new(4, 6, 3).padding(1).groups(2);
    let branch = ConvNormActConfig::new(conv).build(&(&vb / "paths" / 0))?;
    set_training(&sk, false);
    set_training(&branch, false);
    let x = randn(&[2, 4, 5, 7])?;
    assert_eq!(
        sk.forward(&x)?.to_vec::<f32>()?,
        branch.forward(&x)?.to_vec::<f32>()?
    );
    Ok(())
}

#[test]
fn a_sample_does_not_depend_on_its_batch() -> Result<()> {
    let x = randn(&[2, 8, 5, 6])?;
    let modules: [Box<dyn Module>; 3] = [
        Box::new(SkConvConfig::new(8, 8).groups(2).min_dim(4).build(&vb())?),
        Box::new(SqueezeExciteConfig::new(8).reduction(2).build(&vb())?),
        Box::new(CbamConfig::new(8).reduction(2).build(&vb())?),
    ];
    for module in modules {
        set_training(&module, false);
        let both = no_grad(|| module.forward(&x))?.narrow(0, 0, 1)?;
        let one = no_grad(|| module.forward(&x.narrow(0, 0, 1)?))?;
        assert_eq!(one.shape(), both.shape());
        close(&one, &both.to_vec::<f32>()?, &format!("{module:?}"))?;
    }
    Ok(())
}

#[test]
fn training_a_fused_norm_needs_more_than_one_sample() -> Result<()> {
    let sk = SkConvConfig::new(8, 8)
        .groups(2)
        .min_dim(4)
        .build(&(vb() / "sk"))?;
    let x = randn(&[1, 8, 5, 6])?;
    let error = sk.forward(&x).expect_err("one value a channel").to_string();
    assert!(error.starts_with("sk.attn.bn"), "{error}");
    set_training(&sk, false);
    sk.forward(&x).map(|_| ())
}

#[test]
fn arrangements_of_cbam_agree_with_their_gates() -> Result<()> {
    let (vb, x) = (vb(), randn(&[2, 6, 5, 4])?);
    let build = |arrangement| {
        let cbam = CbamConfig::new(6)
            .reduction(3)
            .kernel(3)
            .arrangement(arrangement)
            .build(&vb)?;
        set_training(&cbam, false);
        cbam.forward(&x)?.to_vec::<f32>()
    };
    let channel = ChannelGateConfig::new(6)
        .reduction(3)
        .build(&(&vb / "ChannelGate"))?;
    let spatial = SpatialGateConfig::new()
        .kernel(3)
        .build(&(&vb / "SpatialGate"))?;
    set_training(&spatial, false);
    let (by_channel, by_place) = (channel.forward(&x)?, spatial.forward(&x)?);
    assert_eq!(
        build(Arrangement::ChannelOnly)?,
        by_channel.to_vec::<f32>()?
    );
    assert_eq!(build(Arrangement::SpatialOnly)?, by_place.to_vec::<f32>()?);
    assert_eq!(
        build(Arrangement::ChannelThenSpatial)?,
        spatial.forward(&by_channel)?.to_vec::<f32>()?
    );
    assert_eq!(
        build(Arrangement::SpatialThenChannel)?,
        channel.forward(&by_place)?.to_vec::<f32>()?
    );
    let product = x.mul(&channel.gate(&x)?)?.mul(&spatial.gate(&x)?)?;
    assert_eq!(build(Arrangement::Parallel)?, product.to_vec::<f32>()?);
    Ok(())
}

#[test]
fn a_spatial_gate_that_starts_at_zero_halves() -> Result<()> {
    let mut config = CbamConfig::new(6)
        .reduction(3)
        .arrangement(Arrangement::SpatialOnly);
    config.spatial = config.spatial.zero_bn(true);
    let (x, gate) = (randn(&[2, 6, 5, 4])?, config.build(&vb())?);
    for training in [true, false] {
        set_training(&gate, training);
        let half = x.mul_scalar(0.5)?.to_vec::<f32>()?;
        assert_eq!(gate.forward(&x)?.to_vec::<f32>()?, half);
    }
    Ok(())
}

#[test]
fn cbam_translates_between_its_dialects() -> Result<()> {
    let official = CbamConfig::new(8).reduction(4).build(&vb())?;
    let timm = CbamTimmConfig::new(8)
        .reduction(4)
        .mlp_bias(true)
        .build(&(vb() / "other"))?;
    let renamed = cbam_key_maps::to_timm().apply(state_dict(&official))?;
    load_state_dict(&timm, &renamed, Loading::Strict)?;
    set_training(&official, false);
    set_training(&timm, false);
    let x = randn(&[2, 8, 7, 6])?;
    let expected = official.forward(&x)?.to_vec::<f32>()?;
    close(&timm.forward(&x)?, &expected, "the same function")?;
    let back = cbam_key_maps::from_timm().apply(state_dict(&timm))?;
    load_state_dict(&official, &back, Loading::Strict)?;
    assert_eq!(official.forward(&x)?.to_vec::<f32>()?, expected, "and back");
    Ok(())
}

/// A state dict of tensors with these names and shapes, all different.
fn dict(entries: &[(&str, &[usize])]) -> Result<StateDict> {
    let tensor = |(i, (name, shape)): (usize, &(&str, &[usize]))| {
        Ok((
            (*name).to_owned(),
            Tensor::full(*shape, i as f64 / 8.0, DType::F32)?,
        ))
    };
    entries.iter().enumerate().map(tensor).collect()
}

#[test]
fn squeeze_excitation_reads_other_dialects() -> Result<()> {
    let se = |bias| {
        SqueezeExciteConfig::new(8)
            .reduction(4)
            .bias(bias)
            .build(&vb())
    };
    let linear: &[(&str, &[usize])] = &[("fc.0.weight", &[2, 8]), ("fc.2.weight", &[8, 2])];
    let report = load_state_dict(
        &se(false)?,
        &se_key_maps::sequential().apply(dict(linear)?)?,
        Loading::Strict,
    )?;
    assert_eq!(report.loaded, ["fc1.weight", "fc2.weight"]);
    let caffe: &[(&str, &[usize])] = &[
        ("conv3_2_1x1_down.weight", &[1]),
        ("conv3_2_1x1_up.bias", &[1]),
        ("conv1.weight", &[1]),
    ];
    let names: Vec<_> = se_key_maps::caffe()
        .apply(dict(caffe)?)?
        .names()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        names,
        [
            "layer2.1.se.fc1.weight",
            "layer2.1.se.fc2.bias",
            "conv1.weight"
        ]
    );
    let legacy: &[(&str, &[usize])] = &[("layer1.0.se_module.fc1.weight", &[1])];
    assert!(
        se_key_maps::cadene()
            .apply(dict(legacy)?)?
            .get("layer1.0.se.fc1.weight")
            .is_some()
    );
    Ok(())
}

#[test]
fn selective_kernels_read_other_dialects() -> Result<()> {
    let norm = |prefix: &str| {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|t| (format!("{prefix}.{t}"), vec![4]))
    };
    let listing = |conv: &str, bn: &str| {
        let mut names = Vec::new();
        for m in 0..2 {
            let k = 3 + 2 * m;
            names.push((format!("convs.{m}.{conv}.weight"), vec![4, 2, k, k]));
            names.push((format!("convs.{m}.{conv}.bias"), vec![4]));
            names.extend(norm(&format!("convs.{m}.{bn}")));
            names.push((format!("fcs.{m}.weight"), vec![4, 2]));
            names.push((format!("fcs.{m}.bias"), vec![4]));
        }
        names.push(("fc.weight".into(), vec![2, 4]));
        names.push(("fc.bias".into(), vec![2]));
        let names: Vec<(&str, &[usize])> = names
            .iter()
            .map(|(n, s)| (n.as_str(), s.as_slice()))
            .collect();
        dict(&names)
    };
    let config = SkConvConfig::new(4, 4)
        .groups(2)
        .reduction(2)
        .min_dim(1)
        .kernels(Kernels::Plain);
    let sk = config
        .fc_bn_act(false, false)
        .fc_bias(true)
        .conv_bias(true)
        .build(&vb())?;
    for (map, dict) in [
        (sk_key_maps::sequential(), listing("0", "1")?),
        (sk_key_maps::xmu(), listing("conv", "bn")?),
    ] {
        let second = dict.get("fcs.1.bias").expect("listed").to_vec::<f32>()?;
        load_state_dict(&sk, &map.apply(dict)?, Loading::Strict)?;
        let select = state_dict(&sk)
            .get("attn.fc_select.bias")
            .expect("its own")
            .to_vec::<f32>()?;
        assert_eq!(select[4..], second, "branch by branch");
    }
    let caffe: &[(&str, &[usize])] = &[
        ("conv2_1/3x3g32.weight", &[1]),
        ("conv2_1/3x3g32d2/bn.weight", &[1]),
        ("conv4_3/B_fc1.weight", &[1]),
        ("conv4_3/B_fc1/bn.bias", &[1]),
        ("conv4_3/B_fc2.weight", &[1]),
    ];
    let names: Vec<_> = sk_key_maps::caffe()
        .apply(dict(caffe)?)?
        .names()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        names,
        [
            "layer1.0.conv2.paths.0.conv.weight",
            "layer1.0.conv2.paths.1.bn.weight",
            "layer3.2.conv2.attn.fc_reduce.weight",
            "layer3.2.conv2.attn.bn.bias",
            "layer3.2.conv2.attn.fc_select.weight",
        ]
    );
    Ok(())
}

#[test]
fn custom_kernels_are_checked() -> Result<()> {
    let build = |list: Vec<(usize, usize)>| {
        SkConvConfig::new(4, 4)
            .groups(2)
            .min_dim(2)
            .kernels(Kernels::Custom(list))
            .build(&vb())
    };
    let sk = build(vec![(3, 1), (5, 2), (3, 4)])?;
    assert_eq!(sk.forward(&randn(&[2, 4, 6, 7])?)?.shape(), [2, 4, 6, 7]);
    for bad in [vec![], vec![(4, 1)], vec![(1, 1)], vec![(3, 0)]] {
        assert!(build(bad.clone()).is_err(), "{bad:?}");
    }
    let mut short = SkConvConfig::new(4, 4).groups(2);
    short.kernels = Kernels::Custom(vec![(3, 1)]);
    assert!(short.build(&vb()).is_err(), "one kernel for two branches");
    Ok(())
}

#[test]
fn no_squeeze_gates_every_pixel() -> Result<()> {
    let config = SqueezeExciteConfig::new(4).reduction(2);
    let se = config.build_no_squeeze(&vb())?;
    let x = randn(&[2, 4, 3, 5])?;
    let (y, probes) = probe::record(|| se.forward(&x));
    assert_eq!(
        (probes[0].kind, probes[0].tensor.shape()),
        (ProbeKind::FullGate, &[2, 4, 3, 5][..])
    );
    assert_eq!(
        y?.to_vec::<f32>()?,
        x.mul(&probes[0].tensor)?.to_vec::<f32>()?
    );
    assert!(
        config
            .squeeze(Squeeze::Avg)
            .build_no_squeeze(&vb())
            .is_err()
    );
    Ok(())
}
