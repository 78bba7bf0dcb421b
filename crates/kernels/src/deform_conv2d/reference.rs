//! The formulas as loops. All images are channels-last; weights are `[out, taps, channels of a group]`.

use super::places::Places;
use super::{DeformConv2dGeometry, Inputs};
use crate::real::Real;

/// One product of a weight with a sampled value.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// The output pixel, counted through all images.
    pixel: usize,
    /// The tap, counted through all groups of offsets.
    tap: usize,
    /// The input channel.
    channel: usize,
}

/// Calls `f` for every output pixel, tap and input channel.
fn for_each_term(g: &DeformConv2dGeometry, f: &mut dyn FnMut(Term)) {
    let (conv, taps) = (g.conv(), g.conv().taps());
    let [n, _, h, w] = conv.y_shape();
    let shared = conv.in_channels() / g.offset_groups();
    for pixel in 0..n * h * w {
        for channel in 0..conv.in_channels() {
            for tap in 0..taps {
                let tap = channel / shared * taps + tap;
                f(Term {
                    pixel,
                    tap,
                    channel,
                });
            }
        }
    }
}

/// The first output and the outputs of the group of a term, and where the weight of the first stands; the next one's follows
/// `taps * channels of a group` later.
fn outputs(g: &DeformConv2dGeometry, term: Term) -> (usize, usize, usize) {
    let conv = g.conv();
    let (channels, out) = (conv.group_in_channels(), conv.group_out_channels());
    let first = term.channel / channels * out;
    let tap = term.tap % conv.taps();
    let weight = (first * conv.taps() + tap) * channels + term.channel % channels;
    (first, out, weight)
}

/// The sum of `f` of row weight, row slope, column weight, column slope and value over the pixels around a place, and the factor
/// of the place.
fn around<R: Real>(
    g: &DeformConv2dGeometry,
    places: &Places,
    inputs: &Inputs<'_, R>,
    term: Term,
    f: &mut dyn FnMut([f64; 4], usize),
) -> f64 {
    let ([rows, columns], mask) = places.around(inputs, term.pixel, term.tap);
    let ([h, w], [oh, ow]) = (places.input, places.output);
    let image = term.pixel / (oh * ow) * h;
    for row in rows.iter() {
        for column in columns.iter() {
            let pixel = (image + row.at) * w + column.at;
            let at = pixel * g.conv().in_channels() + term.channel;
            f([row.weight, row.slope, column.weight, column.slope], at);
        }
    }
    mask
}

/// See [`forward`](super::forward).
pub fn forward<R: Real>(
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, R>,
    weight: &[R],
    bias: Option<&[R]>,
    y: &mut [R],
) {
    let (places, out) = (Places::new(g), g.conv().out_channels());
    let step = g.conv().taps() * g.conv().group_in_channels();
    let mut sums: Vec<f64> = (0..y.len())
        .map(|i| bias.map_or(0.0, |bias| bias[i % out].to_f64()))
        .collect();
    for_each_term(g, &mut |term| {
        let mut value = 0.0;
        let mask = around(g, &places, inputs, term, &mut |[row, _, column, _], at| {
            value += row * column * inputs.x[at].to_f64();
        });
        let (first, count, start) = outputs(g, term);
        for o in 0..count {
            sums[term.pixel * out + first + o] += mask * value * weight[start + o * step].to_f64();
        }
    });
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = R::from_f64(sum);
    }
}

/// The gradients by the input, the offsets and the mask.
pub fn backward_input<R: Real>(
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, R>,
    weight: &[R],
    dy: &[R],
    [dx, doffset, dmask]: [&mut [R]; 3],
) {
    let (places, out) = (Places::new(g), g.conv().out_channels());
    let (step, per_pixel) = (
        g.conv().taps() * g.conv().group_in_channels(),
        g.mask_shape()[1],
    );
    let mut sums = [dx.len(), doffset.len(), dmask.len()].map(|len| vec![0.0; len]);
    for_each_term(g, &mut |term| {
        let (first, count, start) = outputs(g, term);
        let terms = (0..count)
            .map(|o| dy[term.pixel * out + first + o].to_f64() * weight[start + o * step].to_f64());
        let share: f64 = terms.sum();
        let [dx, doffset, dmask] = &mut sums;
        let [mut value, mut down, mut right] = [0.0; 3];
        let at = term.pixel * per_pixel + term.tap;
        let mask = inputs.mask.map_or(1.0, |mask| mask[at].to_f64());
        around(
            g,
            &places,
            inputs,
            term,
            &mut |[row, row_slope, column, column_slope], at| {
                let x = inputs.x[at].to_f64();
                dx[at] += row * column * mask * share;
                value += row * column * x;
                down += row_slope * column * x;
                right += row * column_slope * x;
            },
        );
        doffset[2 * at] += down * mask * share;
        doffset[2 * at + 1] += right * mask * share;
        dmask[at] += value * share;
    });
    for (target, sums) in [dx, doffset, dmask].into_iter().zip(sums) {
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = R::from_f64(sum);
        }
    }
}

/// The gradient by the weights.
pub fn backward_weight<R: Real>(
    g: &DeformConv2dGeometry,
    inputs: &Inputs<'_, R>,
    dy: &[R],
    dweight: &mut [R],
) {
    let (places, out) = (Places::new(g), g.conv().out_channels());
    let step = g.conv().taps() * g.conv().group_in_channels();
    let mut sums = vec![0.0; dweight.len()];
    for_each_term(g, &mut |term| {
        let mut value = 0.0;
        let mask = around(g, &places, inputs, term, &mut |[row, _, column, _], at| {
            value += row * column * inputs.x[at].to_f64();
        });
        let (first, count, start) = outputs(g, term);
        for o in 0..count {
            sums[start + o * step] += mask * value * dy[term.pixel * out + first + o].to_f64();
        }
    });
    for (dweight, sum) in dweight.iter_mut().zip(sums) {
        *dweight = R::from_f64(sum);
    }
}
