//! What spatial transformers promise, on numbers worked by hand and as properties.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{DType, Philox, Result, SamplePadding, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &Tensor, expected: &[f32], tolerance: f32, place: &str) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), expected.len(), "{place}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= tolerance,
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
fn transformers_start_as_the_identity() -> Result<()> {
    // Sides that are powers of two: every place is a pixel, exactly.
    let x = randn(&[2, 3, 32, 16])?;
    let config = SpatialTransformerConfig::new(3, [32, 16]).localization([4, 6], [3, 3], 10);
    for padding in [SamplePadding::Zeros, SamplePadding::Border] {
        for transform in [
            Transform::Affine,
            Transform::Attention,
            Transform::Crop,
            Transform::Projective,
        ] {
            let stn = config
                .clone()
                .transform(transform)
                .padding(padding)
                .build(&vb())?;
            assert_eq!(stn.forward(&x)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
        }
    }
    let x = randn(&[2, 1, 28, 27])?;
    let expected = x.to_vec::<f32>()?;
    let stn = SpatialTransformerConfig::new(1, [28, 27])
        .align_corners(true)
        .build(&vb())?;
    close(&stn.forward(&x)?, &expected, 1e-5, "affine")?;
    for bounded in [false, true] {
        let config = TpsTransformerConfig::new(1, [28, 27]).bounded(bounded);
        let tps = config.padding(SamplePadding::Border).build(&vb())?;
        close(&tps.forward(&x)?, &expected, 5e-5, "thin plate spline")?;
    }
    Ok(())
}

#[test]
fn shifts_and_turns_by_hand() -> Result<()> {
    let x = Tensor::from_vec((0..9).map(|v| v as f32).collect::<Vec<_>>(), [1, 1, 3, 3])?;
    let config = |align, padding| {
        let config = SpatialTransformerConfig::new(1, [3, 3]).localization([1, 1], [1, 1], 1);
        config.align_corners(align).padding(padding)
    };
    let run = |config: SpatialTransformerConfig, theta: &[f32]| {
        // The poolings of the tutorial's network leave nothing of three pixels.
        let stn = config.build_with(Flatten, 9, &vb())?;
        set(&stn, "fc_loc.2.bias", theta)?;
        stn.forward(&x)
    };
    let shift = [1.0, 0.0, 0.5, 0.0, 1.0, 0.0];
    for (align, padding, expected) in [
        (
            true,
            SamplePadding::Zeros,
            [0.5, 1.5, 1.0, 3.5, 4.5, 2.5, 6.5, 7.5, 4.0],
        ),
        (
            true,
            SamplePadding::Border,
            [0.5, 1.5, 2.0, 3.5, 4.5, 5.0, 6.5, 7.5, 8.0],
        ),
        (
            true,
            SamplePadding::Reflection,
            [0.5, 1.5, 1.5, 3.5, 4.5, 4.5, 6.5, 7.5, 7.5],
        ),
        (
            false,
            SamplePadding::Zeros,
            [0.75, 1.75, 0.5, 3.75, 4.75, 1.25, 6.75, 7.75, 2.0],
        ),
        (
            false,
            SamplePadding::Border,
            [0.75, 1.75, 2.0, 3.75, 4.75, 5.0, 6.75, 7.75, 8.0],
        ),
        (
            false,
            SamplePadding::Reflection,
            [0.75, 1.75, 2.0, 3.75, 4.75, 5.0, 6.75, 7.75, 8.0],
        ),
    ] {
        let place = format!("{align} {padding:?}");
        close(
            &run(config(align, padding), &shift)?,
            &expected,
            2e-6,
            &place,
        )?;
    }
    let turn = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0];
    let turned = run(config(true, SamplePadding::Zeros), &turn)?;
    close(
        &turned,
        &[2., 5., 8., 1., 4., 7., 0., 3., 6.],
        2e-6,
        "a quarter turn",
    )?;
    // Attention to the right half, [[1/2, 0, 1/2], [0, 1, 0]], at three places a row.
    let attention = config(true, SamplePadding::Zeros).transform(Transform::Attention);
    let right = run(attention, &[0.5, 1.0, 0.5, 0.0])?;
    close(
        &right,
        &[1., 1.5, 2., 4., 4.5, 5., 7., 7.5, 8.],
        2e-6,
        "the right half",
    )?;
    // The lower right quarter, in its proportions.
    let crop = config(true, SamplePadding::Zeros).transform(Transform::Crop);
    let quarter = run(crop, &[0.5, 0.5, 0.5])?;
    close(
        &quarter,
        &[4., 4.5, 5., 5.5, 6., 6.5, 7., 7.5, 8.],
        2e-6,
        "the lower right quarter",
    )?;
    // Divided by (3 + u) / 2: u at -1, 0, 1 comes from -1, 0, 1/2 and v from v, 2/3 v, 1/2 v.
    let projective = config(true, SamplePadding::Zeros).transform(Transform::Projective);
    let tilted = run(
        projective,
        &[2.0 / 3.0, 0.0, 0.0, 0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0, 0.0],
    )?;
    close(
        &tilted,
        &[0., 2., 3., 3., 4., 4.5, 6., 6., 6.],
        5e-6,
        "a tilted plane",
    )
}

#[test]
fn splines_go_through_their_points() -> Result<()> {
    // The lattice of the target points is that of the pixels: every point is a pixel.
    let tps = TpsGridConfig::new([3, 4]).points([3, 4]).span([1.0, 1.0]);
    let tps = tps.build(&vb().dtype(DType::F64))?;
    let points = randn(&[2, 12, 2])?.to_dtype(DType::F64)?;
    let grid = tps.forward(&points)?;
    assert_eq!(grid.shape(), [2, 3, 4, 2]);
    for (g, p) in grid.to_vec::<f64>()?.iter().zip(points.to_vec::<f64>()?) {
        assert!((g - p).abs() < 1e-10, "{g} is not {p}");
    }
    // An affine map of the points is an affine map of the plane: splines do not bend without need.
    let tps = TpsGridConfig::new([5, 7]).build(&vb().dtype(DType::F64))?;
    let at = |i: usize| 0.9 * (i as f64 - 1.0);
    let map = |x: f64, y: f64| [0.5 * x - 0.2 * y + 0.1, 0.3 * x + y - 0.4];
    let moved = (0..9)
        .flat_map(|k| map(at(k % 3), at(k / 3)))
        .collect::<Vec<_>>();
    let grid = tps
        .forward(&Tensor::from_vec(moved, [1, 9, 2])?)?
        .to_vec::<f64>()?;
    for (k, g) in grid.chunks(2).enumerate() {
        let (x, y) = ((k % 7) as f64 / 3.0 - 1.0, (k / 7) as f64 / 2.0 - 1.0);
        let [ex, ey] = map(x, y);
        assert!(
            (g[0] - ex).abs() + (g[1] - ey).abs() < 1e-10,
            "{g:?} at {x}, {y}"
        );
    }
    Ok(())
}

#[test]
fn splines_of_other_points_are_refused() -> Result<()> {
    let wide = TpsGridConfig::new([3, 4]).span([1.0, 1.0]).build(&vb())?;
    let narrow = TpsGridConfig::new([3, 4]).span([0.8, 0.9]).build(&vb())?;
    let points = randn(&[1, 9, 2])?;
    load_state_dict(&wide, &state_dict(&narrow), Loading::Strict)?;
    let error = wide.forward(&points).expect_err("other points").to_string();
    assert!(error.contains("target points"), "{error}");
    load_state_dict(&narrow, &state_dict(&narrow), Loading::Strict)?;
    narrow.forward(&points).map(|_| ())
}

#[test]
fn a_probe_sees_the_grid() -> Result<()> {
    let stn = SpatialTransformerConfig::new(1, [28, 28]).out_size(Some([5, 6]));
    let stn = stn.build(&(vb() / "stn"))?;
    let (y, probes) = probe::record(|| stn.forward(&randn(&[2, 1, 28, 28])?));
    assert_eq!(y?.shape(), [2, 1, 5, 6]);
    assert_eq!((probes[0].kind, &*probes[0].path), (ProbeKind::Grid, "stn"));
    assert_eq!(probes[0].tensor.shape(), [2, 5, 6, 2]);
    Ok(())
}

#[test]
fn transformers_check_their_parts() -> Result<()> {
    let config = SpatialTransformerConfig::new(1, [4, 4]);
    let stn = config.build_with(Flatten, 9, &(vb() / "stn"))?;
    let error = stn
        .forward(&randn(&[1, 1, 4, 4])?)
        .expect_err("16 features");
    assert!(error.to_string().starts_with("stn"), "{error}");
    assert!(config.build_with(Flatten, 0, &vb()).is_err());
    // The batch of a localisation network must be that of the image.
    let stn = config.build_with(Folded, 8, &vb())?;
    assert!(stn.forward(&randn(&[1, 1, 4, 4])?).is_err());
    Ok(())
}

/// Makes two rows of an image.
#[derive(Debug)]
struct Folded;

impl Layer for Folded {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Folded {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.reshape([2 * x.shape()[0], x.numel() / (2 * x.shape()[0])])
    }
}

#[test]
fn another_implementation_of_splines_is_read() -> Result<()> {
    let config = TpsTransformerConfig::new(1, [28, 28]).localization([10, 20], [5, 5], 50);
    let tps = config.points([4, 4], [1.0, 1.0]).build(&vb())?;
    let mut other = StateDict::new();
    for (name, tensor) in state_dict(&tps) {
        let name = name
            .replace("localization.0", "loc_net.cnn.conv1")
            .replace("localization.3", "loc_net.cnn.conv2")
            .replace("fc_loc.0", "loc_net.cnn.fc1")
            .replace("fc_loc.2", "loc_net.cnn.fc2");
        other.insert(name, tensor);
    }
    other.insert("loc_net.control_points".to_owned(), randn(&[16, 2])?);
    let other = tps_key_maps::warbean().apply(other)?;
    load_state_dict(&tps, &other, Loading::Strict).map(|_| ())
}
