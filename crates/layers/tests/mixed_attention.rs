//! What modules that weigh channels and places promise, on numbers worked by hand and as properties.

#[path = "support/values.rs"]
mod values;

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{Divisor, PoolOptions, Result, Tensor};
use values::{close, load, randn, vb};

/// Replaces every parameter by random numbers.
fn scramble(layer: &dyn Layer) -> Result<()> {
    for (_, p) in named_parameters(layer) {
        p.set(&p.tensor().detach().add(&randn(&p.shape())?)?)?;
    }
    Ok(())
}

#[test]
fn standing_out_by_hand() -> Result<()> {
    let simam = SimAmConfig::new().build(&(vb() / "simam"))?;
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2])?;
    close(
        &simam.forward(&x)?,
        &[0.697_934, 1.262_46, 1.893_69, 2.791_737],
        "a map",
    )?;
    let error = simam.forward(&x.narrow(2, 0, 1)?.narrow(3, 0, 1)?);
    let error = error.expect_err("one pixel").to_string();
    assert!(error.starts_with("simam"), "{error}");
    Ok(())
}

#[test]
fn channels_are_dealt_out_in_any_memory_order() -> Result<()> {
    let x = Tensor::from_vec((0..6).map(|i| i as f32).collect(), [1, 6, 1, 1])?;
    close(
        &channel_shuffle(&x, 2)?,
        &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0],
        "six channels",
    )?;
    let x = randn(&[2, 12, 3, 2])?;
    let (rows, pixels) = (
        channel_shuffle(&x, 3)?,
        channel_shuffle(&x.channels_last()?, 3)?,
    );
    assert_eq!(rows.to_vec::<f32>()?, pixels.to_vec::<f32>()?);
    assert!(pixels.is_channels_last());
    assert_ne!(rows.to_vec::<f32>()?, x.to_vec::<f32>()?);
    assert!(channel_shuffle(&x, 5).is_err() && channel_shuffle(&x, 0).is_err());
    Ok(())
}

#[test]
fn attention_that_starts_flat_weighs_all_alike() -> Result<()> {
    let x = randn(&[2, 12, 3, 5])?;
    let sure = 1.0 / (1.0 + (-1f64).exp());
    let sge = SpatialGroupEnhanceConfig::new(3).build(&vb())?;
    close(
        &sge.forward(&x)?,
        &x.mul_scalar(sure)?.to_vec::<f32>()?,
        "group-wise",
    )?;
    let shuffle = ShuffleAttentionConfig::new(12).groups(3).build(&vb())?;
    let expected = channel_shuffle(&x.mul_scalar(sure)?, 2)?.to_vec::<f32>()?;
    close(&shuffle.forward(&x)?, &expected, "shuffled")
}

#[test]
fn a_group_is_kept_where_it_resembles_its_mean() -> Result<()> {
    let sge = SpatialGroupEnhanceConfig::new(1).build(&vb())?;
    load(&sge, &[("weight", &[1.0]), ("bias", &[0.0])])?;
    let x = Tensor::from_vec(
        vec![1.0f32, 1.0, 1.0, -1.0, 2.0, 2.0, 2.0, -2.0],
        [1, 2, 2, 2],
    )?;
    let (_, probes) = probe::record(|| sge.forward(&x));
    let gate = probes[0].tensor.to_vec::<f32>()?;
    assert!(
        gate[0] > 0.5 && gate[3] < 0.5 && gate[3] == gate[7],
        "{gate:?}"
    );
    // The likenesses are 2.5, 2.5, 2.5, -2.5: normalised 0.5 and -1.5.
    let expected = [0.5f32, 0.5, 0.5, -1.5].map(|t| 1.0 / (1.0 + (-t).exp()));
    let gate = probes[0].tensor.narrow(1, 0, 1)?;
    for (g, e) in gate.to_vec::<f32>()?.iter().zip(expected) {
        assert!((g - e).abs() < 1e-5, "{g}, not {e}");
    }
    Ok(())
}

#[test]
fn bottleneck_attention_adds_to_its_input() -> Result<()> {
    let x = randn(&[3, 8, 4, 5])?;
    for combine in [BamCombine::Product, BamCombine::Sum] {
        let config = BamConfig::new(8).reduction(4).combine(combine);
        let bam = config.build(&(vb() / "bam"))?;
        let (y, probes) = probe::record(|| bam.forward(&x));
        let gate = &probes[0].tensor;
        close(&y?, &x.add(&x.mul(gate)?)?.to_vec::<f32>()?, "x (1 + gate)")?;
        let error = bam
            .forward(&x.narrow(0, 0, 1)?)
            .expect_err("one sample")
            .to_string();
        assert!(
            error.starts_with("bam.channel_att.gate_c.gate_c_bn_1"),
            "{error}"
        );
        set_training(&bam, false);
        assert_eq!(bam.forward(&x.narrow(0, 0, 1)?)?.shape(), [1, 8, 4, 5]);
    }
    Ok(())
}

/// Rotations, a spatial gate and rotations back: the module as the paper draws it.
#[test]
fn triplet_attention_equals_rotations() -> Result<()> {
    let x = randn(&[2, 5, 6, 7])?;
    let triplet = TripletAttentionConfig::new().kernel(3).build(&vb())?;
    scramble(&triplet)?;
    set_training(&triplet, false);
    let dict = state_dict(&triplet);
    let mut sum = x.zeros_like()?;
    for (name, axis) in [("cw", 2), ("hc", 3), ("hw", 1)] {
        let gate = SpatialGateConfig::new().kernel(3).build(&vb())?;
        let own = dict.iter().filter(|(n, _)| n.starts_with(name));
        let own: StateDict = own.map(|(n, t)| (n.to_owned(), t.clone())).collect();
        let own = KeyMap::new()
            .rename(&format!("{name}.conv"), "spatial")
            .apply(own)?;
        load_state_dict(&gate, &own, Loading::Strict)?;
        set_training(&gate, false);
        sum = sum.add(&gate.forward(&x.transpose(1, axis)?)?.transpose(1, axis)?)?;
    }
    let expected = sum.mul_scalar(1.0 / 3.0)?.to_vec::<f32>()?;
    close(&triplet.forward(&x)?, &expected, "three rotations")
}

/// The paper's formula, convolution by convolution.
#[test]
fn polarized_attention_equals_its_formula() -> Result<()> {
    let (x, vb) = (randn(&[2, 6, 3, 4])?, vb());
    let module = PolarizedAttentionConfig::new(6).build(&vb)?;
    let conv = |i, o, name| Conv2dConfig::new(i, o, 1).build(&(&vb / name));
    let weights = conv(6, 1, "ch_wq")?
        .forward(&x)?
        .flatten(2, 3)?
        .softmax(2)?;
    let value = conv(6, 3, "ch_wv")?.forward(&x)?.flatten(2, 3)?;
    let z = value
        .matmul(&weights.transpose(1, 2)?)?
        .reshape([2, 3, 1, 1])?;
    let z = conv(3, 6, "ch_wz")?.forward(&z)?.reshape([2, 6])?;
    let channel = z
        .layer_norm([6], None, None, 1e-5)?
        .sigmoid()?
        .reshape([2, 6, 1, 1])?;
    let query = conv(6, 3, "sp_wq")?.forward(&x)?.mean(&[2, 3], false)?;
    let query = query.softmax(1)?.reshape([2, 1, 3])?;
    let value = conv(6, 3, "sp_wv")?.forward(&x)?.flatten(2, 3)?;
    let spatial = query.matmul(&value)?.sigmoid()?.reshape([2, 1, 3, 4])?;
    let (y, probes) = probe::record(|| module.forward(&x));
    let kinds: Vec<_> = probes.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProbeKind::ChannelGate, ProbeKind::SpatialMap]);
    close(&probes[1].tensor, &spatial.to_vec::<f32>()?, "spatial gate")?;
    let expected = x.mul(&channel)?.add(&x.mul(&spatial)?)?.to_vec::<f32>()?;
    close(&y?, &expected, "both halves")
}

#[test]
fn concurrent_attention_takes_the_larger_or_the_sum() -> Result<()> {
    let x = randn(&[2, 4, 3, 5])?;
    let run = |combine| {
        let scse = ScSeConfig::new(4).combine(combine).build(&vb())?;
        let (y, probes) = probe::record(|| scse.forward(&x));
        let channel = x.mul(&probes[0].tensor.reshape([2, 4, 1, 1])?)?;
        Ok::<_, striate_tensor::Error>((y?, channel, x.mul(&probes[1].tensor)?))
    };
    let (y, channel, spatial) = run(ScSeCombine::Sum)?;
    close(&y, &channel.add(&spatial)?.to_vec::<f32>()?, "sum")?;
    let (y, channel, spatial) = run(ScSeCombine::Max)?;
    close(&y, &channel.maximum(&spatial)?.to_vec::<f32>()?, "larger")
}

#[test]
fn the_first_connected_block_is_cbam() -> Result<()> {
    let x = randn(&[2, 6, 4, 5])?;
    let first = DcaCbamConfig::new(4, 6)
        .reduction(3)
        .connected(false)
        .build(&vb())?;
    let cbam = CbamConfig::new(6).reduction(3).build(&vb())?;
    let (y, attended) = first.forward(&x, None)?;
    assert_eq!(
        y.to_vec::<f32>()?,
        cbam.forward(&x)?.to_vec::<f32>()?,
        "the same weights"
    );
    let channel = ChannelGateConfig::new(6)
        .reduction(3)
        .build(&(vb() / "ChannelGate"))?;
    assert_eq!(
        attended.to_vec::<f32>()?,
        channel.forward(&x)?.to_vec::<f32>()?
    );
    assert!(
        first.forward(&x, Some([&attended, &y])).is_err(),
        "none before"
    );
    Ok(())
}

/// The released code's formula, tensor by tensor, for a block that halves the map and widens it.
#[test]
fn a_connected_block_sees_the_maps_before_it() -> Result<()> {
    let (x, before) = (randn(&[2, 6, 3, 4])?, randn(&[2, 4, 6, 8])?);
    let output = before.mul_scalar(-0.5)?.add_scalar(0.25)?;
    let block = DcaCbamConfig::new(4, 6)
        .reduction(3)
        .kernel(3)
        .build(&(vb() / "cbam"))?;
    scramble(&block)?;
    set_training(&block, false);
    let dict = state_dict(&block);
    let get = |name: &str| dict.get(name).expect(name).clone();
    let norm = |x: &Tensor, name: &str| {
        let t = |part: &str| get(&format!("{name}.{part}"));
        let (w, b) = (t("weight"), t("bias"));
        x.batch_norm_eval(
            &t("running_mean"),
            &t("running_var"),
            Some(&w),
            Some(&b),
            1e-5,
        )
    };
    let (w, b) = (
        get("ChannelGate.att_fc.0.weight"),
        get("ChannelGate.att_fc.0.bias"),
    );
    let projected = before.conv2d(&w, Some(&b), Default::default())?;
    let projected = norm(&projected, "ChannelGate.att_fc.1")?.relu()?;
    let joint = get("ChannelGate.alpha.0.weight").to_vec::<f32>()?;
    let mlp = |z: &Tensor| {
        let (w1, b1) = (
            get("ChannelGate.mlp.1.weight"),
            get("ChannelGate.mlp.1.bias"),
        );
        let (w3, b3) = (
            get("ChannelGate.mlp.3.weight"),
            get("ChannelGate.mlp.3.bias"),
        );
        z.linear(&w1, Some(&b1))?.relu()?.linear(&w3, Some(&b3))
    };
    let (w, b) = (
        get("ChannelGate.alpha.1.weight"),
        get("ChannelGate.alpha.1.bias"),
    );
    let mut logits = Tensor::zeros([2, 6], x.dtype())?;
    for max in [false, true] {
        let pool = |t: &Tensor| match max {
            true => t.amax(&[2, 3], false),
            false => t.mean(&[2, 3], false),
        };
        let own = pool(&x)?.mul_scalar(f64::from(joint[0]))?;
        let joined = own.add(&pool(&projected)?.mul_scalar(f64::from(joint[1]))?)?;
        let joined = joined.layer_norm([6], Some(&w), Some(&b), 1e-5)?.relu()?;
        logits = logits.add(&mlp(&joined)?)?;
    }
    let attended = x.mul(&logits.sigmoid()?.reshape([2, 6, 1, 1])?)?;
    let smaller = output.avg_pool2d(PoolOptions::new(2), Divisor::IncludePad)?;
    let compress = |t: &Tensor| Tensor::cat(&[&t.amax(&[1], true)?, &t.mean(&[1], true)?], 1);
    let own = compress(&attended)?.mul(&get("SpatialGate.p1"))?;
    let maps = own.add(&compress(&smaller)?.mul(&get("SpatialGate.p2"))?)?;
    let maps = norm(&maps, "SpatialGate.bnrelu.0")?.relu()?;
    let options = striate_tensor::Conv2dOptions::default().padding(1);
    let gate = maps.conv2d(&get("SpatialGate.spatial.conv.weight"), None, options)?;
    let gate = norm(&gate, "SpatialGate.spatial.bn")?.sigmoid()?;

    let (y, handed_on) = block.forward(&x, Some([&before, &output]))?;
    close(
        &handed_on,
        &attended.to_vec::<f32>()?,
        "behind the channel gate",
    )?;
    close(&y, &attended.mul(&gate)?.to_vec::<f32>()?, "behind both")?;
    let wrong = output.narrow(2, 0, 5)?;
    let error = block
        .forward(&x, Some([&before, &wrong]))
        .expect_err("5 rows into 3");
    assert!(error.to_string().contains("[5, 8]"), "{error}");
    Ok(())
}

#[test]
fn bottleneck_attention_networks_have_the_published_counts() -> Result<()> {
    for (network, channels, expected) in [
        (25_557_032, [256, 512, 1024], 25_915_099),
        (11_689_512, [64, 128, 256], 11_712_503),
    ] {
        let extra = channels.map(|c| BamConfig::new(c).build(&vb()).map(|b| parameter_count(&b)));
        let extra: usize = extra.into_iter().sum::<Result<usize>>()?;
        assert_eq!(network + extra, expected, "{channels:?}");
    }
    Ok(())
}
