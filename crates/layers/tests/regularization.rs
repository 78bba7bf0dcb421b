//! What dropping parts of a map promises: shares, shapes, scale, nothing in evaluation.

use striate_layers::*;
use striate_tensor::{DType, Result, Tensor, manual_seed};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn ones(shape: [usize; 4]) -> Result<Tensor> {
    Tensor::ones(shape, DType::F32)
}

#[test]
fn the_chance_of_a_square_has_the_worked_value() {
    let chance = DropBlockConfig::new(0.1, 7).gamma([28, 28]);
    assert!((chance - 0.003_305_8).abs() < 5e-8, "{chance}");
    // Squares are at most as large as the map, timm's also narrower than high.
    assert!((DropBlockConfig::new(0.1, 7).gamma([3, 9]) - 0.1 * 27.0 / 21.0 / 3.0).abs() < 1e-12);
    let square = DropBlockConfig::torchvision(0.1, 7).gamma([3, 9]);
    assert!((square - 0.1 * 27.0 / 9.0 / 7.0).abs() < 1e-12, "{square}");
}

/// The mean over the pixels of a square map of `1 - (1 - gamma)^n`, if `n` places would drop a pixel.
fn expected_share(config: &DropBlockConfig, side: usize) -> f64 {
    let (b, inside) = (config.block, config.seeds == Seeds::Inside);
    let places = |i: usize| match inside {
        true => i.min(side - b) + 1 - (i + 1).saturating_sub(b),
        false => (i + b / 2).min(side - 1) + 1 - i.saturating_sub((b - 1) / 2),
    };
    let gamma = config.gamma([side, side]);
    let pixels = (0..side * side).map(|p| places(p / side) * places(p % side));
    let shares = pixels.map(|n| 1.0 - (1.0 - gamma).powf(n as f64));
    shares.sum::<f64>() / (side * side) as f64
}

#[test]
fn about_the_given_part_is_dropped_and_the_mean_stays() -> Result<()> {
    manual_seed(1);
    for config in [
        DropBlockConfig::new(0.2, 5),
        DropBlockConfig::new(0.2, 4),
        DropBlockConfig::new(0.2, 3).couple_channels(false),
        DropBlockConfig::torchvision(0.2, 5),
    ] {
        let y = config.build(&vb())?.forward(&ones([64, 3, 28, 28])?)?;
        let values = y.to_vec::<f32>()?;
        let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
        let expected = expected_share(&config, 28);
        assert!(
            (dropped - expected).abs() < 0.03,
            "{config:?}: {dropped}, not {expected}"
        );
        let mean = y.mean_all()?.item::<f32>()?;
        assert!((mean - 1.0).abs() < 1e-4, "{config:?}: {mean}");
        let kept: Vec<f32> = values.into_iter().filter(|v| *v != 0.0).collect();
        assert!(kept.iter().all(|v| *v == kept[0]), "one factor");
        let plain = config
            .clone()
            .scale(false)
            .build(&vb())?
            .forward(&ones([4, 3, 28, 28])?)?;
        assert!(
            plain
                .to_vec::<f32>()?
                .iter()
                .all(|v| *v == 0.0 || *v == 1.0)
        );
    }
    Ok(())
}

#[test]
fn noise_fills_the_squares_and_leaves_the_rest() -> Result<()> {
    for couple in [true, false] {
        let config = DropBlockConfig::new(0.3, 5).couple_channels(couple);
        let draw = |config: &DropBlockConfig| {
            manual_seed(7);
            config.build(&vb())?.forward(&ones([16, 3, 28, 28])?)
        };
        let (zeros, noisy) = (
            draw(&config.clone().scale(false))?,
            draw(&config.noise(true))?,
        );
        let pairs = zeros
            .to_vec::<f32>()?
            .into_iter()
            .zip(noisy.to_vec::<f32>()?);
        let (kept, filled): (Vec<_>, Vec<_>) = pairs.partition(|(z, _)| *z == 1.0);
        assert!(kept.iter().all(|(_, y)| *y == 1.0));
        let count = filled.len() as f64;
        let moment = |k| {
            filled
                .iter()
                .map(|(_, y)| f64::from(*y).powi(k))
                .sum::<f64>()
                / count
        };
        assert!(count > 3000.0 && moment(1).abs() < 0.05, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.08, "{}", moment(2));
        let channel = |c| noisy.narrow(1, c, 1)?.to_vec::<f32>();
        assert_eq!(channel(0)? == channel(2)?, couple);
    }
    Ok(())
}

#[test]
fn channels_lose_the_same_squares_or_their_own() -> Result<()> {
    manual_seed(2);
    for (couple, same) in [(true, true), (false, false)] {
        let layer = DropBlockConfig::new(0.3, 3)
            .couple_channels(couple)
            .build(&vb())?;
        let y = layer.forward(&ones([2, 4, 16, 16])?)?;
        let channel = |c| y.narrow(1, c, 1)?.to_vec::<f32>();
        assert_eq!(channel(0)? == channel(3)?, same);
        let image = |n| y.narrow(0, n, 1)?.to_vec::<f32>();
        assert_ne!(image(0)?, image(1)?);
    }
    Ok(())
}

#[test]
fn squares_inside_are_whole() -> Result<()> {
    manual_seed(3);
    let (b, side) = (5, 20);
    let layer = DropBlockConfig::torchvision(0.05, b).build(&vb())?;
    let y = layer.forward(&ones([8, 2, side, side])?)?.to_vec::<f32>()?;
    let mut seen = 0;
    for map in y.chunks(side * side) {
        let zero = |i: usize, j: usize| map[i * side + j] == 0.0;
        let whole = |i: usize, j: usize| (i..i + b).all(|i| (j..j + b).all(|j| zero(i, j)));
        for i in 0..side {
            for j in 0..side {
                if zero(i, j) {
                    seen += 1;
                    let tops = i.saturating_sub(b - 1)..=i.min(side - b);
                    let covered = tops
                        .into_iter()
                        .any(|i| (j.saturating_sub(b - 1)..=j.min(side - b)).any(|j| whole(i, j)));
                    assert!(covered, "the zero at {i}, {j} is in no square");
                }
            }
        }
    }
    assert!(seen > 0);
    Ok(())
}

#[test]
fn gradients_pass_where_values_pass() -> Result<()> {
    manual_seed(4);
    let x = ones([2, 3, 12, 10])?.requires_grad(true)?;
    let y = DropBlockConfig::new(0.3, 4).build(&vb())?.forward(&x)?;
    let grads = y.sum_all()?.backward()?;
    let grad = grads.get(&x).expect("a gradient");
    assert_eq!(grad.to_vec::<f32>()?, y.to_vec::<f32>()?, "the input is 1");
    Ok(())
}

#[test]
fn a_seed_decides_and_evaluation_does_nothing() -> Result<()> {
    let x = ones([2, 3, 9, 9])?;
    let layers: [Box<dyn Module>; 3] = [
        Box::new(DropBlockConfig::new(0.4, 3).build(&vb())?),
        Box::new(DropBlockConfig::torchvision(0.4, 3).build(&vb())?),
        Box::new(StochasticDepth::new(0.5, DropScope::Image, &vb())?),
    ];
    for layer in layers {
        let draw = |seed| {
            manual_seed(seed);
            layer.forward(&x)?.to_vec::<f32>()
        };
        assert_eq!(draw(5)?, draw(5)?);
        let others: Vec<_> = (6..12).map(draw).collect::<Result<_>>()?;
        assert!(others.iter().any(|y| *y != others[0]), "{layer:?}");
        set_training(&layer, false);
        assert_eq!(draw(5)?, x.to_vec::<f32>()?);
    }
    Ok(())
}

#[test]
fn squares_larger_than_the_map() -> Result<()> {
    let x = ones([1, 2, 3, 4])?;
    let drop = |config: DropBlockConfig| config.build(&vb())?.forward(&x);
    assert_eq!(drop(DropBlockConfig::new(0.1, 7))?.shape(), x.shape());
    assert_eq!(
        drop(DropBlockConfig::torchvision(0.1, 7))?.shape(),
        x.shape()
    );
    let even = DropBlockConfig::torchvision(0.1, 7).build(&(vb() / "net"))?;
    let error = even
        .forward(&ones([1, 2, 4, 4])?)
        .map(|_| ())
        .expect_err("a side of 4");
    let error = error.to_string();
    assert!(error.contains("net") && error.contains("odd"), "{error}");
    Ok(())
}

#[test]
fn whole_images_or_the_whole_batch_are_dropped() -> Result<()> {
    manual_seed(6);
    let x = ones([400, 2, 2, 2])?;
    let images = |scope, p| {
        let y = StochasticDepth::new(p, scope, &vb())?.forward(&x)?;
        let y = y.to_vec::<f32>()?;
        assert!(
            y.chunks(8)
                .all(|image| image.iter().all(|v| *v == image[0]))
        );
        Ok::<_, striate_tensor::Error>(y.chunks(8).map(|image| image[0]).collect::<Vec<f32>>())
    };
    let kept = images(DropScope::Image, 0.25)?;
    assert!(kept.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
    let share = kept.iter().filter(|v| **v == 0.0).count();
    assert!((70..130).contains(&share), "{share} of 400");
    let mut seen = [false; 2];
    for _ in 0..40 {
        let all = images(DropScope::Batch, 0.5)?;
        assert!(all.iter().all(|v| *v == all[0]));
        seen[usize::from(all[0] > 0.0)] = true;
    }
    assert_eq!(seen, [true; 2], "both happen");
    for scope in [DropScope::Image, DropScope::Batch] {
        assert!(images(scope, 1.0)?.iter().all(|v| *v == 0.0));
        assert!(images(scope, 0.0)?.iter().all(|v| *v == 1.0));
    }
    Ok(())
}

#[test]
fn rates_grow_with_depth() {
    assert_eq!(linear_rates(0.2, 5), [0.0, 0.05, 0.1, 0.2 * 3.0 / 4.0, 0.2]);
    assert_eq!(linear_rates(0.2, 1), [0.0]);
    assert!(linear_rates(0.2, 0).is_empty());
}
