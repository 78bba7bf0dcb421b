//! A picture of what a network's attention did with one image.
//!
//! On the left the image as the network saw it. On the right a row for every attention, first block first: the gates of
//! the channels (Squeeze-and-Excitation, and the first half of CBAM) as bars, the weights of the branches (Selective
//! Kernel) as stacked bars, the spatial map (the second half of CBAM) as colours over the image.

mod canvas;
mod colours;
mod font;
mod panels;
pub(crate) mod probes;

pub(crate) use canvas::Canvas;
use canvas::{INK, WHITE, clipped, picture, text, text_width};
use panels::{AXIS, MAP, PLOT, range};

const MARGIN: u32 = 20;
const INPUT: u32 = 256;
const BARS: u32 = 560;
const TITLE: u32 = 40;
const LABEL: u32 = 24;
const GAP: u32 = 26;

/// The values of one attention for one image.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    /// A factor for each channel.
    ChannelGates(Vec<f32>),
    /// For each branch a weight for each channel.
    BranchWeights(Vec<Vec<f32>>),
    /// A factor for each place of a map of `size` (height and width).
    SpatialMap {
        /// Height and width.
        size: [usize; 2],
        /// Row after row.
        values: Vec<f32>,
    },
}

/// One attention: where it is in the network and what it did.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    /// The layer's path.
    pub(crate) path: String,
    /// Its values.
    pub(crate) values: Values,
}

/// Draws what `attentions` did with `input`; `title` is one line.
pub(crate) fn draw(input: &Canvas, title: &str, attentions: &[Attention]) -> Canvas {
    let rows = rows(attentions);
    let has_map = attentions
        .iter()
        .any(|a| matches!(a.values, Values::SpatialMap { .. }));
    let left = 2 * MARGIN + INPUT;
    let width = left + AXIS + BARS + MARGIN + if has_map { MAP + 2 * MARGIN } else { 0 };
    let content: u32 = rows.iter().map(|row| row_height(row)).sum();
    let height = TITLE + content.max(INPUT + MARGIN) + MARGIN;
    let mut image = Canvas::from_fn([width, height], |_, _| WHITE);
    text(
        &mut image,
        [MARGIN, MARGIN / 2],
        2,
        INK,
        &clipped(2, title, width - 2 * MARGIN),
    );
    picture(&mut image, [MARGIN, TITLE], INPUT, input);
    let mut y = TITLE;
    for row in &rows {
        for attention in *row {
            draw_one(
                &mut image,
                [left + AXIS, y],
                plot_height(row),
                input,
                attention,
            );
        }
        y += row_height(row);
    }
    image
}

/// A map belongs on the row of the gates just before it: the two halves of one CBAM.
fn rows(attentions: &[Attention]) -> Vec<&[Attention]> {
    attentions
        .chunk_by(|a, b| {
            matches!(
                (&a.values, &b.values),
                (Values::ChannelGates(_), Values::SpatialMap { .. })
            )
        })
        .collect()
}

/// Bars beside a map are as high as the map.
fn plot_height(row: &[Attention]) -> u32 {
    if row.len() > 1 { MAP } else { PLOT }
}

fn row_height(row: &[Attention]) -> u32 {
    let heights = row.iter().map(|attention| match attention.values {
        Values::ChannelGates(_) => LABEL + PLOT,
        Values::BranchWeights(_) => LABEL + PLOT + LABEL,
        Values::SpatialMap { .. } => LABEL + MAP + LABEL,
    });
    heights.max().unwrap_or(0) + GAP
}

fn draw_one(
    image: &mut Canvas,
    [x, y]: [u32; 2],
    plot: u32,
    input: &Canvas,
    attention: &Attention,
) {
    let Attention { path, values } = attention;
    let below = y + LABEL;
    match values {
        Values::ChannelGates(gates) => {
            let [low, high] = range(gates);
            let label = format!(": {} gates {low:.2}-{high:.2}", gates.len());
            text(image, [x, y], 2, INK, &labelled(path, &label));
            panels::gates(image, [x, below], [BARS, plot], gates);
        }
        Values::BranchWeights(weights) => {
            let channels = weights.first().map_or(0, Vec::len);
            let label = format!(": {} branches, {channels} channels", weights.len());
            text(image, [x, y], 2, INK, &labelled(path, &label));
            panels::branches(image, [x, below], [BARS, plot], weights);
            panels::branch_legend(image, [x, below + PLOT + 8], weights);
        }
        Values::SpatialMap { size, values } => {
            let x = x + BARS + MARGIN;
            text(
                image,
                [x, y],
                2,
                INK,
                &format!("{}x{} map", size[0], size[1]),
            );
            panels::map(image, [x, below], input, *size, values);
            panels::map_legend(image, [x, below + MAP + 6], values);
        }
    }
}

/// A path with `label` behind it, the end of the path left out if both do not fit over the bars.
fn labelled(path: &str, label: &str) -> String {
    clipped(2, path, BARS.saturating_sub(text_width(2, label))) + label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, phase: f32) -> Vec<f32> {
        (0..n)
            .map(|i| 0.5 + 0.45 * (i as f32 * 0.7 + phase).sin())
            .collect()
    }

    fn digit() -> Canvas {
        Canvas::from_fn([32, 32], |x, y| {
            let distance = ((x as f32 - 16.0) / 7.0).hypot((y as f32 - 16.0) / 11.0);
            [(255.0 * (1.0 - 4.0 * (distance - 1.0).abs()).max(0.0)) as u8; 3]
        })
    }

    fn attention(path: &str, values: Values) -> Attention {
        Attention {
            path: path.to_owned(),
            values,
        }
    }

    fn all() -> Vec<Attention> {
        let map = |n: usize| Values::SpatialMap {
            size: [n, n],
            values: wave(n * n, 0.0),
        };
        vec![
            attention("layer1.0.attention", Values::ChannelGates(wave(16, 0.0))),
            attention("layer1.0.attention", map(32)),
            attention("layer2.0.attention", Values::ChannelGates(wave(200, 1.0))),
            attention("layer2.0.attention", map(8)),
            attention("layer3.0.conv2", {
                let first = wave(64, 2.0);
                let second = first.iter().map(|v| 1.0 - v).collect();
                Values::BranchWeights(vec![first, second])
            }),
            attention("layer4.0.attention", Values::ChannelGates(wave(2048, 0.0))),
        ]
    }

    #[test]
    fn every_kind_is_drawn() {
        let image = draw(&digit(), "0.png: class 0 (98.7 %), se", &all());
        let [width, height] = image.size();
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let colours: std::collections::BTreeSet<[u8; 3]> =
            places.map(|(x, y)| image.pixel(x, y)).collect();
        assert!(colours.contains(&WHITE) && colours.contains(&INK));
        assert!(colours.contains(&colours::branch(0)) && colours.contains(&colours::branch(1)));
        assert!(
            colours.len() > 200,
            "the maps have many colours: {}",
            colours.len()
        );
        if let Some(path) = std::env::var_os("STRIATE_TEST_PICTURE") {
            std::fs::write(path, image.to_png().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_map_shares_the_row_of_its_gates() {
        let all = all();
        let lengths: Vec<usize> = rows(&all).iter().map(|r| r.len()).collect();
        assert_eq!(lengths, [2, 2, 1, 1]);
    }

    #[test]
    fn odd_values_are_drawn_without_complaint() {
        let odd = [
            attention("", Values::ChannelGates(vec![])),
            attention(
                &"long".repeat(100),
                Values::ChannelGates(vec![f32::NAN, f32::INFINITY, -1.0]),
            ),
            attention("a", Values::BranchWeights(vec![])),
            attention("b", Values::BranchWeights(vec![vec![0.9; 3], vec![0.9; 2]])),
            attention(
                "c",
                Values::SpatialMap {
                    size: [0, 0],
                    values: vec![],
                },
            ),
            attention(
                "d",
                Values::SpatialMap {
                    size: [2, 2],
                    values: vec![f32::NAN; 4],
                },
            ),
        ];
        for size in [[1, 1], [300, 3]] {
            let input = Canvas::from_fn(size, |_, _| INK);
            assert!(draw(&input, "", &odd).size().iter().all(|&n| n > 0));
        }
        draw(&Canvas::from_fn([0, 0], |_, _| INK), "", &[]);
    }
}
