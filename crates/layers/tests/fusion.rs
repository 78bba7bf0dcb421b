//! What modules that join maps promise, on numbers worked by hand, as properties and against plain restatements.

use striate_layers::probe::{self, ProbeKind};
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

fn close(got: &Tensor, expected: &[f32], place: &str) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len(), "{place}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= 1e-5 * (1.0 + e.abs()),
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

fn renamed(map: &KeyMap, names: &[&str]) -> Result<Vec<String>> {
    let tensor = Tensor::zeros([1], DType::F32)?;
    let dict: StateDict = names
        .iter()
        .map(|n| ((*n).to_owned(), tensor.clone()))
        .collect();
    Ok(map.apply(dict)?.names().map(str::to_owned).collect())
}

#[test]
fn weights_of_levels_sum_to_one() -> Result<()> {
    let maps = [
        randn(&[2, 6, 3, 2])?,
        randn(&[2, 4, 6, 4])?,
        randn(&[2, 4, 12, 8])?,
    ];
    for level in 0..3 {
        let asff = AsffConfig::new(level)
            .channels([6, 4, 4])
            .weight_channels(3)
            .out_channels(5);
        let asff = asff.build(&(vb() / "asff"))?;
        let (y, probes) = probe::record(|| asff.forward(&maps));
        let size = [2, 1, 3 << level, 2 << level];
        assert_eq!(y?.shape(), [2, 5, size[2], size[3]]);
        assert_eq!(probes.len(), 3);
        let mut sum = Tensor::zeros(size, DType::F32)?;
        for p in &probes {
            assert_eq!(
                (p.kind, p.tensor.shape()),
                (ProbeKind::SpatialMap, &size[..])
            );
            assert!(
                p.tensor.to_vec::<f32>()?.iter().all(|w| *w > 0.0),
                "level {level}"
            );
            sum = sum.add(&p.tensor)?;
        }
        close(&sum, &vec![1.0; sum.numel()], "sum")?;
    }
    Ok(())
}

#[test]
fn levels_of_other_sizes_are_refused() -> Result<()> {
    let asff = AsffConfig::new(1)
        .channels([4, 4, 4])
        .weight_channels(2)
        .out_channels(3)
        .build(&vb())?;
    set_training(&asff, false);
    let map = |h: usize| randn(&[1, 4, h, h]);
    assert!(asff.forward(&[map(19)?, map(38)?, map(76)?]).is_ok());
    for sizes in [[19, 38, 75], [10, 19, 38], [19, 19, 38]] {
        let [a, b, c] = sizes;
        let error = asff
            .forward(&[map(a)?, map(b)?, map(c)?])
            .expect_err("not twice the size");
        assert!(error.to_string().contains("twice"), "{error}");
    }
    assert!(
        asff.forward(&[map(19)?, map(38)?]).is_err(),
        "a level too few"
    );
    let pan = PanConfig::new([4, 4]).out_channels(3).build(&vb())?;
    assert!(pan.forward(&[map(7)?, map(4)?]).is_ok());
    for [a, b] in [[7, 3], [4, 4], [2, 2], [2, 4]] {
        assert!(pan.forward(&[map(a)?, map(b)?]).is_err(), "{a} and {b}");
    }
    let node = BifpnNodeConfig::new([4, 4], 4).build(&vb())?;
    assert!(node.forward(&[map(3)?, map(9)?]).is_ok(), "9, 5, 3");
    assert!(node.forward(&[map(4)?, map(9)?]).is_err(), "9, 5, 3");
    assert!(
        node.forward(&[Tensor::zeros([1, 4, 0, 0], DType::F32)?, map(9)?])
            .is_err()
    );
    Ok(())
}

#[test]
fn fusion_by_hand() -> Result<()> {
    let fusion = WeightedFusionConfig::new(3).build(&vb())?;
    for (_, p) in named_parameters(&fusion) {
        p.set(&Tensor::from_slice(&[1.0f32, 3.0, -2.0], [3])?)?;
    }
    let map = |v: f64| Tensor::full([2, 2, 1, 1], v, DType::F32);
    let (y, probes) = probe::record(|| fusion.forward(&[map(2.0)?, map(4.0)?, map(100.0)?]));
    close(&y?, &[14.0 / 4.0001; 4], "mean")?;
    assert_eq!(
        (probes[0].kind, probes[0].tensor.shape()),
        (ProbeKind::BranchWeights, &[2, 3, 2][..])
    );
    let [a, b] = [1.0 / 4.0001, 3.0 / 4.0001];
    close(
        &probes[0].tensor,
        &[a, a, b, b, 0.0, 0.0, a, a, b, b, 0.0, 0.0],
        "weights",
    )?;
    assert!(
        fusion.forward(&[map(1.0)?, map(1.0)?]).is_err(),
        "a map too few"
    );
    let other = Tensor::zeros([2, 1, 1, 1], DType::F32)?;
    assert!(
        fusion.forward(&[map(1.0)?, other, map(1.0)?]).is_err(),
        "two shapes"
    );
    Ok(())
}

#[test]
fn a_node_equals_its_steps() -> Result<()> {
    let maps = [
        randn(&[2, 3, 3, 2])?,
        randn(&[2, 5, 5, 4])?,
        randn(&[2, 3, 9, 8])?,
    ];
    for act_first in [false, true] {
        let node = BifpnNodeConfig::new([3, 5, 3], 3)
            .target(1)
            .act_first(act_first)
            .bias(true);
        let node = node.build(&vb())?;
        node.forward(&maps)?;
        set_training(&node, false);
        let dict = state_dict(&node);
        let tensor = |name: &str| dict.get(name).expect(name);
        let norm = |x: Tensor, at: &str| {
            let [mean, var, weight, bias] = ["running_mean", "running_var", "weight", "bias"]
                .map(|t| tensor(&format!("{at}bn.{t}")));
            x.batch_norm_eval(mean, var, Some(weight), Some(bias), 1e-3)
        };
        let conv = |x: &Tensor, at: &str, options| {
            x.conv2d(
                tensor(&format!("{at}.weight")),
                dict.get(&format!("{at}.bias")),
                options,
            )
        };
        let plain = Conv2dOptions::default();
        let resized = [
            maps[0].interpolate([5, 4], Interpolation::Nearest)?,
            norm(conv(&maps[1], "resample.1.conv", plain)?, "resample.1.")?,
            maps[2].max_pool2d(PoolOptions::new(3).stride(2).padding(1))?,
        ];
        let mut fused = resized[0]
            .add(&resized[1])?
            .add(&resized[2])?
            .mul_scalar(1.0 / 3.0001)?;
        if act_first {
            fused = fused.silu()?;
        }
        let fused = conv(&fused, "conv_dw", plain.padding(1).groups(3))?;
        let mut y = norm(conv(&fused, "conv_pw", plain)?, "")?;
        if !act_first {
            y = y.silu()?;
        }
        let y = y.to_vec::<f32>()?;
        close(&node.forward(&maps)?, &y, "recorded")?;
        close(&no_grad(|| node.forward(&maps))?, &y, "in one pass")?;
    }
    Ok(())
}

#[test]
fn extra_levels_come_from_where_torchvision_takes_them() -> Result<()> {
    let maps = [randn(&[1, 4, 6, 10])?, randn(&[1, 8, 3, 5])?];
    let fpn = |out: usize, extra| {
        FpnConfig::new([4, 8])
            .out_channels(out)
            .extra(extra)
            .build(&vb())
    };
    let pooled = fpn(6, ExtraLevels::MaxPool)?.forward(&maps)?;
    let every_second: Vec<f32> = (0..6)
        .flat_map(|c| {
            [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)].map(|(y, x)| (c * 3 + y) * 5 + x)
        })
        .map(|i| pooled[1].to_vec::<f32>().map(|v| v[i]))
        .collect::<Result<_>>()?;
    close(&pooled[2], &every_second, "every second place")?;
    for (out, of_output) in [(8, true), (6, false)] {
        let fpn = fpn(out, ExtraLevels::P6P7)?;
        let y = fpn.forward(&maps)?;
        let dict = state_dict(&fpn);
        let p6 = [
            dict.get("extra_blocks.p6.weight"),
            dict.get("extra_blocks.p6.bias"),
        ];
        let source = if of_output { &y[1] } else { &maps[1] };
        let options = Conv2dOptions::default().stride(2).padding(1);
        let expected = source.conv2d(p6[0].expect("its weight"), p6[1], options)?;
        close(&y[2], &expected.to_vec::<f32>()?, "P6")?;
        assert_eq!(y[3].shape(), [1, out, 1, 2]);
    }
    Ok(())
}

#[test]
fn fusions_read_other_dialects() -> Result<()> {
    let fpn = [
        "inner_blocks.1.0.weight",
        "layer_blocks.0.0.bias",
        "extra_blocks.p6.weight",
    ];
    let detectron2 = [
        "fpn_lateral3.weight",
        "fpn_output2.bias",
        "top_block.p6.weight",
    ];
    assert_eq!(renamed(&fpn_key_maps::detectron2(), &detectron2)?, fpn);
    let old = ["inner_blocks.1.weight", "layer_blocks.0.bias"];
    assert_eq!(
        renamed(&fpn_key_maps::torchvision_before_014(), &old)?,
        fpn[..2]
    );
    assert_eq!(
        renamed(&fpn_key_maps::torchvision_before_014(), &fpn)?,
        fpn,
        "what is new stays"
    );
    let mmdetection = ["lateral_convs.1.conv.weight", "fpn_convs.0.conv.bias"];
    assert_eq!(
        renamed(&fpn_key_maps::mmdetection(), &mmdetection)?,
        fpn[..2]
    );
    assert_eq!(
        renamed(
            &asff_key_maps::yolox(),
            &["stride_level_1.bn.weight", "expand.conv.weight"]
        )?,
        ["stride_level_1.batch_norm.weight", "expand.conv.weight"]
    );
    assert_eq!(
        renamed(
            &bifpn_key_maps::effdet(),
            &[
                "combine.edge_weights",
                "after_combine.conv.conv_dw.weight",
                "after_combine.conv.bn.bias"
            ]
        )?,
        ["combine.weights", "conv_dw.weight", "bn.bias"]
    );
    assert_eq!(
        renamed(
            &bifpn_key_maps::zylo117(),
            &[
                "depthwise_conv.conv.weight",
                "pointwise_conv.conv.bias",
                "bn.weight"
            ]
        )?,
        ["conv_dw.weight", "conv_pw.bias", "bn.weight"]
    );
    let decoder = DeepLabV3PlusDecoderConfig::kazuto1011(4, 4, 2)
        .channels(3)
        .reduced_channels(2);
    let native: Vec<String> = state_dict(&decoder.build(&vb())?)
        .names()
        .map(str::to_owned)
        .collect();
    let other: Vec<String> = [
        ("conv1.", "reduce.conv."),
        ("bn1.", "reduce.bn."),
        ("last_conv.0.", "fc2.conv1.conv."),
        ("last_conv.1.", "fc2.conv1.bn."),
        ("last_conv.4.", "fc2.conv2.conv."),
        ("last_conv.5.", "fc2.conv2.bn."),
        ("last_conv.8.", "fc2.conv3."),
    ]
    .iter()
    .flat_map(|(own, other)| {
        let tensors = native.iter().filter_map(move |name| name.strip_prefix(own));
        tensors.map(move |tensor| format!("{other}{tensor}"))
    })
    .collect();
    let names: Vec<&str> = other.iter().map(String::as_str).collect();
    assert_eq!(renamed(&decoder_key_maps::kazuto1011(), &names)?, native);
    Ok(())
}
