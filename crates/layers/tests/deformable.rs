//! What deformable convolution and pooling of regions promise, on numbers worked by hand and as properties.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{DType, Philox, Result, RoiOptions, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

/// 0, 1, 2, ... as a map.
fn counting(shape: &[usize]) -> Result<Tensor> {
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|v: usize| v as f32)
        .collect();
    Tensor::from_vec(numbers, shape)
}

fn close(got: &Tensor, expected: &[f32], tolerance: f32, place: &str) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len(), "{place}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let bound = tolerance * (1.0 + e.abs());
        assert!(
            (g - e).abs() <= bound,
            "{place}: element {i} is {g}, not {e}"
        );
    }
    Ok(())
}

fn set(layer: &dyn Layer, name: &str, values: &[f32]) -> Result<()> {
    let parameters = named_parameters(layer);
    let (_, p) = parameters.iter().find(|(n, _)| n == name).expect(name);
    p.set(&Tensor::from_slice(values, p.shape())?)
}

#[test]
fn offsets_by_hand() -> Result<()> {
    let x = counting(&[1, 1, 4, 4])?;
    let conv = DeformConv2dConfig::new(1, 1, 1).build(&vb())?;
    set(&conv, "weight", &[1.0])?;
    set(&conv, "conv_offset.bias", &[0.5, -0.25])?;
    let expected = [
        1.5, 2.75, 3.75, 4.75, 4.5, 6.75, 7.75, 8.75, 7.5, 10.75, 11.75, 12.75, 4.5, 6.375, 6.875,
        7.375,
    ];
    close(
        &conv.forward(&x)?,
        &expected,
        1e-6,
        "half a row down, a quarter of a column left",
    )?;

    let mut centre = [0.0; 18];
    (centre[8], centre[9]) = (1.0, 0.5);
    let conv = DeformConv2dConfig::new(1, 1, 3).padding(0).build(&vb())?;
    set(&conv, "weight", &[1.0; 9])?;
    close(&conv.forward(&x)?, &[45., 54., 81., 90.], 1e-6, "plain")?;
    set(&conv, "conv_offset.bias", &centre)?;
    close(
        &conv.forward(&x)?,
        &[49.5, 58.5, 85.5, 94.5],
        1e-6,
        "the centre moved",
    )?;

    // A mask of 1 everywhere, but for 1/2 in the centre.
    let conv = DeformConv2dConfig::modulated(1, 1, 3)
        .padding(0)
        .build(&vb())?;
    set(&conv, "weight", &[1.0; 9])?;
    let mut bias = [&centre[..], &[40.0; 9]].concat();
    bias[18 + 4] = 0.0;
    set(&conv, "conv_offset.bias", &bias)?;
    let (y, probes) = probe::record(|| conv.forward(&x));
    close(
        &y?,
        &[44.75, 53.25, 78.75, 87.25],
        1e-6,
        "the centre moved and halved",
    )?;
    let kinds: Vec<_> = probes
        .iter()
        .map(|p| (p.kind, p.tensor.shape().to_vec()))
        .collect();
    let shapes = [
        (ProbeKind::Offsets, vec![1, 18, 2, 2]),
        (ProbeKind::FullGate, vec![1, 9, 2, 2]),
    ];
    assert_eq!(kinds, shapes);
    Ok(())
}

#[test]
fn without_offsets_it_is_a_convolution() -> Result<()> {
    let x = randn(&[2, 6, 9, 8])?;
    let plain = |bias| {
        let conv = Conv2dConfig::new(6, 4, 3).stride(2).padding(2).dilation(2);
        conv.groups(2).bias(bias).build(&vb())
    };
    let deformable = |config: DeformConv2dConfig| {
        let config = config.stride(2).padding(2).dilation(2).groups(2);
        config.deform_groups(3).build(&vb())
    };
    let first = deformable(DeformConv2dConfig::new(6, 4, 3))?;
    let conv = plain(false)?;
    load_state_dict(&conv, &state_dict(&first), Loading::Lenient)?;
    let expected = conv.forward(&x)?.to_vec::<f32>()?;
    close(&first.forward(&x)?, &expected, 1e-6, "the first version")?;

    // A mask starts as 1/2: doubled weights make up for it.
    let (second, conv) = (
        deformable(DeformConv2dConfig::modulated(6, 4, 3))?,
        plain(true)?,
    );
    let doubled = deform_conv_key_maps::halved_by_the_mask().apply(state_dict(&conv))?;
    let report = load_state_dict(&second, &doubled, Loading::Lenient)?;
    assert_eq!(report.loaded, ["weight", "bias"]);
    let expected = conv.forward(&x)?.to_vec::<f32>()?;
    close(&second.forward(&x)?, &expected, 1e-6, "the second version")
}

#[test]
fn other_implementations_of_deformable_convolution_are_read() -> Result<()> {
    let conv = DeformConv2dConfig::modulated(2, 3, 3).build(&vb())?;
    let old = state_dict(&conv).into_iter();
    let old: StateDict = old
        .map(|(name, t)| (name.replace("conv_offset", "conv_offset_mask"), t))
        .collect();
    let report = load_state_dict(
        &conv,
        &deform_conv_key_maps::old_mmdetection().apply(old)?,
        Loading::Strict,
    )?;
    assert_eq!(report.loaded.len(), 4);

    // Rows of all offsets down before all offsets right.
    let mut planes = StateDict::new();
    planes.insert("conv.weight", randn(&[3, 2, 3, 3])?);
    planes.insert("conv.bias", randn(&[3])?);
    planes.insert("p_conv.weight", randn(&[18, 2, 3, 3])?);
    planes.insert("p_conv.bias", counting(&[18])?);
    planes.insert("m_conv.weight", randn(&[9, 2, 3, 3])?);
    planes.insert("m_conv.bias", randn(&[9])?.mul_scalar(0.0)?);
    let dict = deform_conv_key_maps::planes().apply(planes)?;
    load_state_dict(&conv, &dict, Loading::Strict)?;
    let bias = conv.conv_offset().bias().expect("it has one").tensor();
    let expected: Vec<f32> = (0..9).flat_map(|k| [k as f32, 9.0 + k as f32]).collect();
    assert_eq!(bias.to_vec::<f32>()?[..18], expected);
    Ok(())
}

fn region(corners: [f32; 4]) -> Result<Tensor> {
    Tensor::from_vec([&[0.0][..], &corners].concat(), [1, 5])
}

#[test]
fn regions_by_hand() -> Result<()> {
    let x = counting(&[1, 1, 4, 4])?;
    let align = RoiAlign::new(RoiOptions::new(2).sampling_ratio(2).aligned(true), &vb())?;
    let whole = align.forward(&x, &region([0., 0., 4., 4.])?)?;
    close(&whole, &[2.5, 4.5, 10.5, 12.5], 1e-6, "the whole map")?;
    let middle = align.forward(&x, &region([1., 1., 3., 3.])?)?;
    close(&middle, &[5., 6., 9., 10.], 1e-6, "the middle")?;
    let largest = RoiPool::new(RoiOptions::new(2), &vb())?;
    let y = largest.forward(&x, &region([0., 0., 3., 3.])?)?;
    close(&y, &[5., 7., 13., 15.], 0.0, "the largest")?;
    let x = counting(&[1, 4, 4, 4])?;
    let positions = PsRoiPool::new(RoiOptions::new(2), &vb())?;
    let y = positions.forward(&x, &region([0., 0., 3., 3.])?)?;
    close(&y, &[2.5, 19.5, 38.5, 55.5], 1e-6, "by position")
}

/// A map and three regions of a map of a quarter of the image.
fn regions() -> Result<(Tensor, Tensor)> {
    let rois = [
        [0.0f32, 6.3, 3.2, 33.1, 40.2],
        [1.0, 1.4, 9.3, 19.2, 21.3],
        [1.0, -6.2, -5.3, 60.1, 44.4],
    ];
    Ok((
        randn(&[2, 3, 12, 11])?,
        Tensor::from_vec(rois.concat(), [3, 5])?,
    ))
}

#[test]
fn bins_stand_still_until_they_have_learned_to_move() -> Result<()> {
    let (x, rois) = regions()?;
    let options = RoiOptions::new(3).spatial_scale(0.25);
    let fixed = x.roi_align(&rois, options.aligned(true))?.to_vec::<f32>()?;
    let config = DeformRoiPoolConfig::new(3)
        .output_size(3)
        .spatial_scale(0.25);
    for head in [OffsetHead::ThreeLayer(6), OffsetHead::Single] {
        let pool = config.clone().offset_head(head).build(&vb())?;
        close(
            &pool.forward(&x, &rois, None)?,
            &fixed,
            1e-6,
            "the first version",
        )?;
        let pool = config
            .clone()
            .offset_head(head)
            .mask_features(Some(4))
            .build(&vb())?;
        let (y, probes) = probe::record(|| pool.forward(&x, &rois, None));
        let halves: Vec<f32> = fixed.iter().map(|v| 0.5 * v).collect();
        close(&y?, &halves, 1e-6, "a mask of 1/2")?;
        assert_eq!(probes[0].kind, ProbeKind::SpatialMap);
        assert_eq!(probes[0].tensor.to_vec::<f32>()?, [0.5; 27]);
    }
    Ok(())
}

#[test]
fn a_moved_bin_is_a_region_of_its_own() -> Result<()> {
    let (x, rois) = regions()?;
    let offset = randn(&[3, 2, 2, 2])?;
    let config = DeformRoiPoolConfig::new(3)
        .output_size(2)
        .spatial_scale(0.25);
    let config = config.offset_head(OffsetHead::Given).gamma(0.2);
    let pool = config.sampling_ratio(2).build(&vb())?;
    let moved = pool.forward(&x, &rois, Some(&offset))?.to_vec::<f32>()?;
    let (rows, offset) = (rois.to_vec::<f32>()?, offset.to_vec::<f32>()?);
    let one = RoiOptions::new(1)
        .spatial_scale(0.25)
        .sampling_ratio(2)
        .aligned(true);
    for (r, row) in rows.chunks(5).enumerate() {
        let (w, h) = (row[3] - row[1], row[4] - row[2]);
        for bin in 0..4 {
            let (i, j) = ((bin / 2) as f32, (bin % 2) as f32);
            let x1 = row[1] + j * w / 2.0 + 0.2 * w * offset[8 * r + bin];
            let y1 = row[2] + i * h / 2.0 + 0.2 * h * offset[8 * r + 4 + bin];
            let corners = vec![row[0], x1, y1, x1 + w / 2.0, y1 + h / 2.0];
            let alone = x.roi_align(&Tensor::from_vec(corners, [1, 5])?, one)?;
            let expected: Vec<f32> = (0..3).map(|c| moved[12 * r + 4 * c + bin]).collect();
            close(&alone, &expected, 2e-5, &format!("bin {bin} of region {r}"))?;
        }
    }
    Ok(())
}

#[test]
fn translations_move_position_sensitive_bins() -> Result<()> {
    let (_, rois) = regions()?;
    let x = randn(&[2, 8, 12, 11])?;
    let config = DeformPsRoiPoolConfig::new(2, 2).spatial_scale(0.25);
    let plain = config.clone().no_trans(true).build(&vb())?;
    let moved = config.clone().build(&vb())?;
    let still = Tensor::zeros([3, 4, 2, 2], DType::F32)?;
    let expected = plain.forward(&x, &rois, None)?.to_vec::<f32>()?;
    let y = moved.forward(&x, &rois, Some(&still))?;
    assert_eq!(y.to_vec::<f32>()?, expected, "no translation");
    // The first class of channels moves, the second stays.
    let mut trans = vec![0.0f32; 48];
    trans.chunks_mut(16).for_each(|roi| roi[..8].fill(0.7));
    let trans = Tensor::from_vec(trans, [3, 4, 2, 2])?;
    let y = moved.forward(&x, &rois, Some(&trans))?.to_vec::<f32>()?;
    for r in 0..3 {
        assert_ne!(y[8 * r..8 * r + 4], expected[8 * r..8 * r + 4]);
        assert_eq!(y[8 * r + 4..8 * r + 8], expected[8 * r + 4..8 * r + 8]);
    }
    assert!(moved.forward(&x, &rois, None).is_err(), "none are there");
    assert!(
        plain.forward(&x, &rois, Some(&still)).is_err(),
        "no use for them"
    );
    let odd = Tensor::zeros([3, 4, 3, 3], DType::F32)?;
    assert!(moved.forward(&x, &rois, Some(&odd)).is_err(), "other parts");
    let narrow = randn(&[2, 6, 12, 11])?;
    assert!(
        plain.forward(&narrow, &rois, None).is_err(),
        "other channels"
    );
    Ok(())
}

#[test]
fn regions_are_checked() -> Result<()> {
    let vb = vb() / "head";
    let (x, rois) = regions()?;
    let pool = DeformRoiPoolConfig::new(3).output_size(2);
    let given = pool.clone().offset_head(OffsetHead::Given).build(&vb)?;
    let own = pool.offset_head(OffsetHead::Single).build(&vb)?;
    let offset = Tensor::zeros([3, 2, 2, 2], DType::F32)?;
    assert!(
        given.forward(&x, &rois, None).is_err(),
        "offsets are missing"
    );
    assert!(
        own.forward(&x, &rois, Some(&offset)).is_err(),
        "one too many"
    );
    for wrong in [
        Tensor::zeros([3, 4], DType::F32)?,
        Tensor::zeros((), DType::F32)?,
        Tensor::full([1, 5], 2.0, DType::F32)?,
    ] {
        let error = given
            .forward(&x, &wrong, Some(&offset))
            .expect_err("wrong regions");
        assert!(error.to_string().starts_with("head"), "{error}");
        assert!(own.forward(&x, &wrong, None).is_err());
        let align = RoiAlign::new(RoiOptions::new(2), &vb)?;
        assert!(align.forward(&x, &wrong).is_err());
    }
    // Proposals that are being learned are taken as they are.
    let y = own.forward(&x.requires_grad(true)?, &rois.requires_grad(true)?, None)?;
    y.sum_all()?.backward().map(|_| ())
}
