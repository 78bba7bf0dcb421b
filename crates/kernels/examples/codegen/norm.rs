//! Normalisations in both layouts, and their gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::geometry::Layout;
use striate_kernels::norm::batch::{self, Gradients};
use striate_kernels::norm::group::{self, GroupGeometry};
use striate_kernels::norm::layer::{self, LayerGeometry};
use striate_kernels::norm::{Affine, After, NormGeometry, Statistics, Upstream, modulate};
use striate_simd::Level;

const EPSILON: f64 = 1e-5;

pub(crate) fn run(level: Level) -> Outcome {
    for layout in [Layout::Nhwc, Layout::Nchw] {
        let g = NormGeometry::new(2, 48, 83, layout)?;
        batches(level, &g)?;
        groups(level, &g)?;
        modulations(level, &g)?;
    }
    layers(level)
}

fn batches(level: Level, g: &NormGeometry) -> Outcome {
    let (x, weight, n) = (numbers(g.total()), numbers(g.channels()), g.channels());
    let [mut mean, mut var, mut dweight, mut dbias] = [(); 4].map(|()| vec![0.0; n]);
    let [mut y, mut dx, mut dresidual] = [(); 3].map(|()| vec![0.0; g.total()]);
    let affine = Affine {
        weight: Some(&weight[..]),
        bias: Some(&weight),
    };
    batch::statistics(level, g, &x, &mut mean, &mut var)?;
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    batch::apply(level, g, &x, &stats, &affine, &mut y)?;
    let after = After {
        residual: Some(&x[..]),
        relu: true,
    };
    batch::apply_then(level, g, &x, &stats, &affine, after, &mut y)?;
    for (of_batch, mask) in [(true, None), (false, Some(&y[..]))] {
        let upstream = Upstream {
            x: &x[..],
            dy: &x,
            mask,
        };
        let out = Gradients {
            dx: &mut dx,
            dresidual: mask.is_some().then_some(&mut dresidual[..]),
            dweight: &mut dweight,
            dbias: &mut dbias,
        };
        batch::backward_through(level, g, upstream, &stats, &affine, of_batch, out)?;
        black_box((&mut dx, &mut dresidual, &mut dweight, &mut dbias));
    }
    Ok(())
}

fn groups(level: Level, array: &NormGeometry) -> Outcome {
    for groups in [1, 4, 48] {
        let g = GroupGeometry::new(*array, groups)?;
        let (x, weight) = (numbers(array.total()), numbers(array.channels()));
        let [mut mean, mut var] = [(); 2].map(|()| vec![0.0; g.statistics_len()]);
        let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; array.total()]);
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; array.channels()]);
        let affine = Affine {
            weight: Some(&weight[..]),
            bias: Some(&weight),
        };
        group::forward(level, &g, &x, &affine, EPSILON, &mut y, &mut mean, &mut var)?;
        let stats = Statistics {
            mean: &mean,
            var: &var,
            epsilon: EPSILON,
        };
        group::backward(
            level,
            &g,
            &x,
            &y,
            &stats,
            &affine,
            &mut dx,
            &mut dweight,
            &mut dbias,
        )?;
        black_box((&mut dx, &mut dweight, &mut dbias));
    }
    Ok(())
}

fn layers(level: Level) -> Outcome {
    let g = LayerGeometry::new(9, 83)?;
    let (x, weight) = (numbers(9 * 83), numbers(83));
    let [mut mean, mut var] = [(); 2].map(|()| vec![0.0; 9]);
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; 9 * 83]);
    let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; 83]);
    let affine = Affine {
        weight: Some(&weight[..]),
        bias: Some(&weight),
    };
    layer::forward(level, &g, &x, &affine, EPSILON, &mut y, &mut mean, &mut var)?;
    let stats = Statistics {
        mean: &mean,
        var: &var,
        epsilon: EPSILON,
    };
    layer::backward(
        level,
        &g,
        &x,
        &y,
        &stats,
        &affine,
        &mut dx,
        &mut dweight,
        &mut dbias,
    )?;
    black_box((&mut dx, &mut dweight, &mut dbias));
    Ok(())
}

fn modulations(level: Level, g: &NormGeometry) -> Outcome {
    let (x, scale) = (numbers(g.total()), numbers(g.batch() * g.channels()));
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; g.total()]);
    let [mut dscale, mut dshift] = [(); 2].map(|()| vec![0.0; scale.len()]);
    modulate::forward(level, g, &x, &scale, &scale, &mut y)?;
    modulate::backward(level, g, &x, &y, &scale, &mut dx, &mut dscale, &mut dshift)?;
    black_box((&mut dx, &mut dscale, &mut dshift));
    Ok(())
}
