//! The drawing of one attention's values.

use super::canvas::{Canvas, Colour, FAINT, INK, WHITE, fill, picture, text, text_width};
use super::colours;

/// The height of a plot of bars.
pub(super) const PLOT: u32 = 72;
/// Room left of a plot for the numbers of its axis.
pub(super) const AXIS: u32 = 34;
/// The side of a map.
pub(super) const MAP: u32 = 152;

/// One bar a channel from 0 to 1, coloured by its height.
pub(super) fn gates(image: &mut Canvas, at: [u32; 2], size: [u32; 2], values: &[f32]) {
    axis(image, at, size);
    let bars: Vec<Vec<(f32, Colour)>> = values
        .iter()
        .map(|&v| vec![(v, colours::scale(v))])
        .collect();
    stacked(image, at, size, &bars);
}

/// One bar a channel, cut into the shares of the branches, the first branch at the bottom.
pub(super) fn branches(image: &mut Canvas, at: [u32; 2], size: [u32; 2], weights: &[Vec<f32>]) {
    axis(image, at, size);
    let channels = weights.iter().map(Vec::len).min().unwrap_or(0);
    let bars: Vec<Vec<(f32, Colour)>> = (0..channels)
        .map(|c| {
            let parts = weights.iter().enumerate();
            parts
                .map(|(m, branch)| (branch[c], colours::branch(m)))
                .collect()
        })
        .collect();
    stacked(image, at, size, &bars);
    // The half line over the bars shows which branch has the majority.
    fill(image, [at[0], at[1] + size[1] / 2], [size[0], 1], WHITE);
}

/// A square of each branch's colour with its mean weight, on one line.
pub(super) fn branch_legend(image: &mut Canvas, [x, y]: [u32; 2], weights: &[Vec<f32>]) {
    let mut left = x;
    for (m, branch) in weights.iter().enumerate() {
        let mean = branch.iter().sum::<f32>() / branch.len().max(1) as f32;
        let label = format!("branch {m}: {mean:.2}");
        fill(image, [left, y], [14, 14], colours::branch(m));
        text(image, [left + 20, y], 2, INK, &label);
        left += 20 + text_width(2, &label) + 18;
    }
}

/// The picture with a map of `size` over it, from the map's lowest value (dark) to its highest (bright).
pub(super) fn map(
    image: &mut Canvas,
    at: [u32; 2],
    input: &Canvas,
    size: [usize; 2],
    values: &[f32],
) {
    let [low, high] = range(values);
    let spread = if high > low { high - low } else { 1.0 };
    let drawn = picture(image, at, MAP, input);
    for y in 0..drawn[1] {
        for x in 0..drawn[0] {
            let value = (bilinear(size, values, [x, y], drawn) - low) / spread;
            let pixel = image.pixel_mut(at[0] + x, at[1] + y);
            *pixel = colours::mix(*pixel, colours::scale(value), 0.65);
        }
    }
}

/// A strip of the scale's colours with the values at its ends.
pub(super) fn map_legend(image: &mut Canvas, [x, y]: [u32; 2], values: &[f32]) {
    let [low, high] = range(values);
    let (low, high) = (format!("{low:.2}"), format!("{high:.2}"));
    let start = x + text_width(2, &low) + 4;
    let length = (x + MAP)
        .saturating_sub(text_width(2, &high) + 4)
        .saturating_sub(start);
    text(image, [x, y], 2, INK, &low);
    for i in 0..length {
        let colour = colours::scale(i as f32 / length as f32);
        fill(image, [start + i, y + 2], [1, 10], colour);
    }
    text(image, [start + length + 6, y], 2, INK, &high);
}

/// Lowest and highest value.
pub(super) fn range(values: &[f32]) -> [f32; 2] {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if low <= high { [low, high] } else { [0.0, 0.0] }
}

fn axis(image: &mut Canvas, [x, y]: [u32; 2], [width, height]: [u32; 2]) {
    for (share, label) in [(0, "1"), (1, "0.5"), (2, "0")] {
        let line = y + share * height / 2;
        fill(image, [x, line], [width, 1], FAINT);
        let left = x.saturating_sub(text_width(1, label) + 5);
        text(image, [left, line.saturating_sub(3)], 1, INK, label);
    }
}

/// Bars side by side over the whole width. With more bars than pixels a pixel shows the first of its bars.
fn stacked(
    image: &mut Canvas,
    [x, y]: [u32; 2],
    [width, height]: [u32; 2],
    bars: &[Vec<(f32, Colour)>],
) {
    let count = bars.len() as u32;
    if count == 0 {
        return;
    }
    let gap = u32::from(width / count >= 4);
    for column in 0..width.min(count) {
        let bar = if count > width {
            (u64::from(column) * u64::from(count) / u64::from(width)) as usize
        } else {
            column as usize
        };
        let (left, right) = if count > width {
            (column, column + 1)
        } else {
            (column * width / count, (column + 1) * width / count)
        };
        let mut below = 0.0;
        for &(value, colour) in &bars[bar] {
            let above = below + colours::clamp(value);
            let [top, bottom] =
                [above, below].map(|v| height - (v.min(1.0) * height as f32) as u32);
            fill(
                image,
                [x + left, y + top],
                [right - left - gap, bottom - top],
                colour,
            );
            below = above;
        }
    }
}

/// The map at a pixel of the drawing: pixel centres on cell centres, edges continued.
fn bilinear([h, w]: [usize; 2], values: &[f32], [x, y]: [u32; 2], drawn: [u32; 2]) -> f32 {
    let along = |position: u32, cells: usize, pixels: u32| {
        let source = (position as f32 + 0.5) * cells as f32 / pixels as f32 - 0.5;
        let source = source.max(0.0).min(cells.saturating_sub(1) as f32);
        let first = source as usize;
        (
            first,
            (first + 1).min(cells.saturating_sub(1)),
            source - first as f32,
        )
    };
    let (y0, y1, fy) = along(y, h, drawn[1]);
    let (x0, x1, fx) = along(x, w, drawn[0]);
    let cell = |row: usize, column: usize| values.get(row * w + column).copied().unwrap_or(0.0);
    let top = cell(y0, x0) * (1.0 - fx) + cell(y0, x1) * fx;
    let bottom = cell(y1, x0) * (1.0 - fx) + cell(y1, x1) * fx;
    top * (1.0 - fy) + bottom * fy
}
