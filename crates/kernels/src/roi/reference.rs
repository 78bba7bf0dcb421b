//! The formulas as loops over regions, bins, channels and pixels. Images are channels-last.

use super::Inputs;
use super::bins::{Region, moved};
use super::geometry::RoiGeometry;
use crate::real::Real;

/// Calls `f(output, input, weight, slopes, offset)` for every pixel of every bin and channel: indices of the output, the input and the
/// offset by x and by y.
fn for_each<R: Real>(
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    f: &mut dyn FnMut(usize, usize, f64, [f64; 2], Option<[usize; 2]>),
) {
    let ([_, all, h, w], [rois, channels, bins_h, bins_w]) = (g.input(), g.output());
    let [_, per_roi] = g.offset_shape();
    let classes = g.offsets().map_or(1, |offsets| offsets.classes);
    for roi in 0..rois {
        let region = Region::new(g, &inputs.rois[5 * roi..5 * roi + 5]);
        let offsets = &inputs.offsets[roi * per_roi..(roi + 1) * per_roi];
        for (i, j) in (0..bins_h).flat_map(|i| (0..bins_w).map(move |j| (i, j))) {
            for c in 0..channels {
                let class = c * classes / channels;
                let output = ((roi * bins_h + i) * bins_w + j) * channels + c;
                let offset = g
                    .offset_at(class, [i, j])
                    .map(|at| at.map(|at| roi * per_roi + at));
                moved(g, &region, [i, j], class, offsets).for_each(
                    &mut |row, column, weight, slopes| {
                        let pixel = (region.image * h + row) * w + column;
                        let input = pixel * all + g.group_of([i, j]) * channels + c;
                        f(output, input, weight, slopes, offset);
                    },
                );
            }
        }
    }
}

pub(super) fn forward<R: Real>(g: &RoiGeometry, inputs: &Inputs<'_, R>, x: &[R], y: &mut [R]) {
    let mut sums = vec![0.0; y.len()];
    for_each(g, inputs, &mut |output, input, weight, _, _| {
        sums[output] += weight * x[input].to_f64();
    });
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = R::from_f64(sum);
    }
}

pub(super) fn backward_input<R: Real>(
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    dy: &[R],
    dx: &mut [R],
) {
    let mut sums = vec![0.0; dx.len()];
    for_each(g, inputs, &mut |output, input, weight, _, _| {
        sums[input] += weight * dy[output].to_f64();
    });
    for (dx, sum) in dx.iter_mut().zip(sums) {
        *dx = R::from_f64(sum);
    }
}

pub(super) fn backward_offsets<R: Real>(
    g: &RoiGeometry,
    inputs: &Inputs<'_, R>,
    x: &[R],
    dy: &[R],
    doffsets: &mut [R],
) {
    let mut sums = vec![0.0; doffsets.len()];
    for_each(g, inputs, &mut |output, input, _, [down, right], offset| {
        if let Some([by_x, by_y]) = offset {
            let product = x[input].to_f64() * dy[output].to_f64();
            sums[by_x] += right * product;
            sums[by_y] += down * product;
        }
    });
    for (doffset, sum) in doffsets.iter_mut().zip(sums) {
        *doffset = R::from_f64(sum);
    }
}
