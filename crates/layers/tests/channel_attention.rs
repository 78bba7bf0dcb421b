//! What modules that weigh channels promise, on numbers worked by hand and as properties.

#[path = "support/values.rs"]
mod values;

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{DType, Result, Tensor};
use values::{close, load, randn, vb};

/// Four channels of one pixel: 1, 2, 3, 4.
fn four() -> Result<Tensor> {
    Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [1, 4, 1, 1])
}

#[test]
fn efficient_attention_by_hand() -> Result<()> {
    let sigmoid = |logits: [f32; 4]| logits.map(|l| 1.0 / (1.0 + (-l).exp()));
    let config = EcaConfig::with_kernel(3);
    let (line, ring) = (config.build(&vb())?, config.build_circular(&vb())?);
    let taps: &[(&str, &[f32])] = &[("conv.weight", &[1.0, 0.0, -1.0])];
    load(&line, taps)?;
    load(&ring, taps)?;
    let (_, probes) = probe::record(|| line.forward(&four()?));
    close(
        &probes[0].tensor,
        &sigmoid([-2.0, -2.0, -2.0, 3.0]),
        "zeros beyond the ends",
    )?;
    let (_, probes) = probe::record(|| ring.forward(&four()?));
    close(
        &probes[0].tensor,
        &sigmoid([2.0, -2.0, -2.0, 2.0]),
        "a ring",
    )
}

#[test]
fn efficient_attention_knows_its_channels() -> Result<()> {
    let eca = EcaConfig::new(8).build(&(vb() / "eca"))?;
    let error = eca.forward(&four()?).expect_err("4 are not 8").to_string();
    assert!(
        error.starts_with("eca") && error.contains("[1, 4, 1, 1]"),
        "{error}"
    );
    let ring = EcaConfig::with_kernel(11).build_circular(&vb())?;
    assert!(
        ring.forward(&four()?).is_err(),
        "the ring is shorter than half the kernel"
    );
    Ok(())
}

#[test]
fn effective_attention_without_weights_halves() -> Result<()> {
    let ese = EffectiveSeConfig::new(4).build(&vb())?;
    load(
        &ese,
        &[
            ("fc.weight", &[0.0; 16]),
            ("fc.bias", &[0.0, 3.0, -3.0, 1.5]),
        ],
    )?;
    close(
        &ese.forward(&four()?)?,
        &[0.5, 2.0, 0.0, 3.0],
        "piecewise linear",
    )
}

#[test]
fn global_context_starts_as_the_identity() -> Result<()> {
    let x = randn(&[2, 8, 3, 5])?;
    let gc = GlobalContextConfig::new(8).reduction(2).build(&vb())?;
    let (y, probes) = probe::record(|| gc.forward(&x));
    assert_eq!(y?.to_vec::<f32>()?, x.to_vec::<f32>()?, "bit for bit");
    let map = &probes[0].tensor;
    assert_eq!(
        (probes[0].kind, map.shape()),
        (ProbeKind::SpatialMap, &[2, 1, 3, 5][..])
    );
    close(
        &map.sum(&[1, 2, 3], false)?,
        &[1.0, 1.0],
        "weights of the pixels",
    )?;
    let timm = GlobalContextConfig::timm(8)
        .fusion(ContextFusion::Add)
        .build(&vb())?;
    let shift = timm.forward(&x)?.sub(&x)?;
    let bias = state_dict(&timm);
    let bias = bias
        .get("mlp_add.fc2.bias")
        .expect("it has one")
        .reshape([1, 8, 1, 1])?;
    let expected = bias.expand([2, 8, 3, 5])?.to_vec::<f32>()?;
    close(&shift, &expected, "timm's starts as a shift")
}

#[test]
fn global_context_translates_between_its_dialects() -> Result<()> {
    let x = randn(&[2, 6, 4, 3])?;
    let mmcv = GlobalContextConfig::new(6)
        .reduction(3)
        .fusion(ContextFusion::MulAdd);
    let timm = GlobalContextConfig {
        dialect: ContextDialect::Timm,
        ..mmcv.clone()
    };
    let (mmcv, timm) = (mmcv.build(&vb())?, timm.build(&(vb() / "other"))?);
    // The last maps of mmcv's start as zeros and would hide the rest.
    for (_, p) in named_parameters(&mmcv) {
        p.set(&p.tensor().detach().add(&randn(&p.shape())?)?)?;
    }
    let renamed = gc_key_maps::to_timm().apply(state_dict(&mmcv))?;
    load_state_dict(&timm, &renamed, Loading::Strict)?;
    let expected = mmcv.forward(&x)?.to_vec::<f32>()?;
    // The norms differ in what they add to the variance.
    for (a, b) in timm.forward(&x)?.to_vec::<f32>()?.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} and {b}");
    }
    let back = gc_key_maps::from_timm().apply(state_dict(&timm))?;
    load_state_dict(&mmcv, &back, Loading::Strict)?;
    assert_eq!(mmcv.forward(&x)?.to_vec::<f32>()?, expected, "and back");
    Ok(())
}

#[test]
fn a_gather_without_parameters_is_a_mean() -> Result<()> {
    let x = randn(&[2, 8, 5, 7])?;
    let whole = GatherExciteConfig::new(8).build(&vb())?;
    let expected = x.mul(&x.mean(&[2, 3], true)?.sigmoid()?)?;
    assert_eq!(
        whole.forward(&x)?.to_vec::<f32>()?,
        expected.to_vec::<f32>()?
    );
    // Windows count the map alone, so a flat map is its own mean everywhere.
    let flat = Tensor::full([1, 3, 5, 7], 1.5, DType::F32)?;
    let windows = GatherExciteConfig::new(3).extent(4).build(&vb())?;
    let expected = flat.mul(&flat.sigmoid()?)?.to_vec::<f32>()?;
    close(&windows.forward(&flat)?, &expected, "a flat map")?;
    let sized = GatherExciteConfig::new(3)
        .extra_params(true)
        .feat_size([5, 7]);
    let sized = sized.build(&vb())?;
    set_training(&sized, false);
    assert!(sized.forward(&flat).is_ok());
    assert!(
        sized.forward(&flat.narrow(2, 0, 4)?).is_err(),
        "a map of another size"
    );
    Ok(())
}

#[test]
fn the_first_connected_block_is_squeeze_excitation() -> Result<()> {
    let x = randn(&[2, 6, 4, 5])?;
    let first = DcaSeConfig::new(4, 6)
        .reduction(2)
        .connected(false)
        .build(&(vb() / "se"))?;
    let se = SqueezeExciteConfig::new(6).reduction(2).build(&vb())?;
    let unused = KeyMap::new().drop("att_fc").drop("conv");
    let dict = unused
        .then(se_key_maps::sequential())
        .apply(state_dict(&first))?;
    load_state_dict(&se, &dict, Loading::Strict)?;
    let ((y, attended), probes) = {
        let (both, probes) = probe::record(|| first.forward(&x, None));
        (both?, probes)
    };
    close(&y, &se.forward(&x)?.to_vec::<f32>()?, "the same function")?;
    let expected = x.mean(&[2, 3], false)?.mul(&probes[0].tensor)?;
    assert_eq!(attended.to_vec::<f32>()?, expected.to_vec::<f32>()?);
    let error = first
        .forward(&x, Some(&attended))
        .expect_err("none before")
        .to_string();
    assert!(error.starts_with("se"), "{error}");
    let second = DcaSeConfig::new(6, 6).reduction(2).build(&vb())?;
    assert!(
        second.forward(&x, None).is_err(),
        "nothing from the block before"
    );
    assert_eq!(second.forward(&y, Some(&attended))?.1.shape(), [2, 6]);
    Ok(())
}

#[test]
fn connected_networks_have_the_published_counts() -> Result<()> {
    let (mut se, mut cbam) = (25_557_032, 25_557_032);
    let mut channels = 64;
    for (blocks, out) in [(3, 256), (4, 512), (6, 1024), (3, 2048)] {
        for _ in 0..blocks {
            se += parameter_count(&DcaSeConfig::new(channels, out).build(&vb())?);
            cbam += parameter_count(&DcaCbamConfig::new(channels, out).build(&vb())?);
            channels = out;
        }
    }
    assert_eq!((se, cbam), (30_898_696, 30_900_376), "of ResNet-50");
    Ok(())
}

/// Every gate that is known from means, and one that is not.
fn attentions(channels: usize) -> Result<Vec<Box<dyn Module>>> {
    let se = || SqueezeExciteConfig::new(channels).reduction(2);
    Ok(vec![
        Box::new(se().build(&(vb() / "se"))?),
        Box::new(se().gate(Gate::Tanh).build(&(vb() / "tanh"))?),
        Box::new(se().squeeze(Squeeze::Max).build(&(vb() / "max"))?),
        Box::new(EffectiveSeConfig::new(channels).build(&(vb() / "ese"))?),
        Box::new(EcaConfig::new(channels).build(&(vb() / "eca"))?),
        Box::new(EcaConfig::new(channels).build_circular(&(vb() / "ring"))?),
        Box::new(
            CbamConfig::new(channels)
                .reduction(2)
                .build(&(vb() / "cbam"))?,
        ),
    ])
}

#[test]
fn attention_behind_a_pointwise_convolution_is_what_its_steps_are() -> Result<()> {
    for (images, kernel, stride) in [(1, 1, 1), (3, 1, 1), (0, 1, 1), (2, 3, 1), (2, 1, 2)] {
        let conv = Conv2dConfig::new(6, 16, kernel)
            .stride(stride)
            .same_padding();
        let conv = conv.build(&(vb() / "conv"))?;
        let bn = BatchNormConfig::new(16).build_2d(&(vb() / "bn"))?;
        set_training(&bn, true);
        bn.forward(&randn(&[4, 16, 5, 5])?)?;
        set_training(&bn, false);
        let x = randn(&[images, 6, 9, 7])?;
        let residual = randn(&[
            images,
            16,
            9_usize.div_ceil(stride),
            7_usize.div_ceil(stride),
        ])?;
        for attention in attentions(16)? {
            set_training(&attention, false);
            let steps = || {
                let y = attention.forward(&bn.forward(&conv.forward(&x)?)?)?;
                residual.add(&y)?.relu()
            };
            let fused = || {
                let relu = Activation::Relu;
                conv_norm_attend_onto(&conv, &bn, &attention, relu, &x, &residual)
            };
            // Recorded, and not.
            let steps = steps()?.detach();
            for y in [fused()?.detach(), striate_tensor::no_grad(fused)?] {
                close(
                    &y,
                    &steps.to_vec::<f32>()?,
                    &format!("{images} {kernel} {stride} {attention:?}"),
                )?;
            }
        }
    }
    Ok(())
}
