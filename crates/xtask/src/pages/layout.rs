//! Where the nodes of a data flow go: in layers from top to bottom, with few crossings and straight
//! edges (Sugiyama, Tagawa, Toda, *Methods for visual understanding of hierarchical system
//! structures*, 1981).

use super::flow::Flow;

/// Space between neighbours in a layer.
const GAP: f64 = 22.0;
/// Width of the place that a passing edge takes.
const LANE: f64 = 8.0;

/// A node, or the place where an edge passes a layer.
#[derive(Debug)]
pub(super) struct Place {
    /// The node; none where an edge passes.
    pub(super) node: Option<usize>,
    /// From the top.
    pub(super) layer: usize,
    /// Centre.
    pub(super) x: f64,
    /// Width.
    pub(super) width: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Places, and edges as chains of them.
#[derive(Debug)]
pub(super) struct Layout {
    /// The places; that of a node has its number.
    pub(super) places: Vec<Place>,
    /// From an input through the places it passes.
    pub(super) edges: Vec<Vec<usize>>,
    layers: Vec<Vec<usize>>,
}

impl Layout {
    /// Places nodes of the given widths.
    pub(super) fn new(flow: &Flow, widths: &[f64]) -> Self {
        let depth = depths(flow);
        let place = |node, layer, width| Place {
            node,
            layer,
            x: 0.0,
            width,
            above: Vec::new(),
            below: Vec::new(),
        };
        let mut places: Vec<Place> = (0..flow.nodes.len())
            .map(|i| place(Some(i), depth[i], widths[i]))
            .collect();
        let mut edges = Vec::new();
        for (to, node) in flow.nodes.iter().enumerate() {
            for &from in &node.inputs {
                let mut edge = vec![from];
                for layer in depth[from] + 1..depth[to] {
                    edge.push(places.len());
                    places.push(place(None, layer, LANE));
                }
                edge.push(to);
                for pair in edge.windows(2) {
                    places[pair[0]].below.push(pair[1]);
                    places[pair[1]].above.push(pair[0]);
                }
                edges.push(edge);
            }
        }
        let count = 1 + depth.iter().max().copied().unwrap_or(0);
        let layers = (0..count)
            .map(|l| {
                (0..places.len())
                    .filter(|&i| places[i].layer == l)
                    .collect()
            })
            .collect();
        let mut layout = Self {
            places,
            edges,
            layers,
        };
        layout.order();
        layout.straighten();
        layout
    }

    /// Number of layers.
    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Orders each layer by the middle of its neighbours, down and up, and keeps the best.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for sweep in 0..16 {
            let down = sweep % 2 == 0;
            for step in 1..self.layers.len() {
                let l = if down {
                    step
                } else {
                    self.layers.len() - 1 - step
                };
                let rank = self.ranks();
                let middle = |i: usize| {
                    let p = &self.places[i];
                    let next = if down { &p.above } else { &p.below };
                    match next.len() {
                        0 => rank[i],
                        n => next.iter().map(|&j| rank[j]).sum::<f64>() / n as f64,
                    }
                };
                let mut keyed: Vec<_> = self.layers[l].iter().map(|&i| (middle(i), i)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[l] = keyed.into_iter().map(|(_, i)| i).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// The position of each place in its layer, from 0 to 1.
    fn ranks(&self) -> Vec<f64> {
        let mut rank = vec![0.0; self.places.len()];
        for layer in &self.layers {
            for (at, &i) in layer.iter().enumerate() {
                rank[i] = (at as f64 + 0.5) / layer.len() as f64;
            }
        }
        rank
    }

    fn crossings(&self) -> usize {
        let mut count = 0;
        for layer in &self.layers {
            let ends = |i: usize| self.places[i].below.iter().copied();
            let at = |j: usize| {
                self.layers[self.places[j].layer]
                    .iter()
                    .position(|&k| k == j)
            };
            let pairs: Vec<_> = layer
                .iter()
                .enumerate()
                .flat_map(|(a, &i)| ends(i).map(move |j| (a, at(j))))
                .collect();
            for (n, &(a, b)) in pairs.iter().enumerate() {
                let crosses =
                    |&&(c, d): &&(usize, Option<usize>)| (a < c && b > d) || (a > c && b < d);
                count += pairs[n + 1..].iter().filter(crosses).count();
            }
        }
        count
    }

    /// Moves every place to the middle of its neighbours as far as those beside it allow.
    fn straighten(&mut self) {
        for sweep in 0..300 {
            for step in 0..self.layers.len() {
                let l = if sweep % 2 == 0 {
                    step
                } else {
                    self.layers.len() - 1 - step
                };
                let wanted: Vec<(f64, f64)> = self.layers[l]
                    .iter()
                    .map(|&i| {
                        let p = &self.places[i];
                        // Of a passing edge, the pieces hold together.
                        let pull = |j: usize| match (p.node, self.places[j].node) {
                            (None, None) => 8.0,
                            _ => 1.0,
                        };
                        let near = || p.above.iter().chain(&p.below).copied();
                        let sum: f64 = near().map(|j| pull(j) * self.places[j].x).sum();
                        let pulls: f64 = near().map(pull).sum();
                        // A passing edge that is straight is worth more than a centred box.
                        let weight = if p.node.is_none() { 4.0 } else { 1.0 };
                        (sum / pulls.max(1.0), weight)
                    })
                    .collect();
                let layer = self.layers[l].clone();
                let widths: Vec<f64> = layer.iter().map(|&i| self.places[i].width).collect();
                for (i, x) in layer.into_iter().zip(spread(&wanted, &widths)) {
                    self.places[i].x = x;
                }
            }
        }
    }
}

/// The longest way from an input; an input goes right above the first that needs it.
fn depths(flow: &Flow) -> Vec<usize> {
    let mut depth = vec![0; flow.nodes.len()];
    for (i, node) in flow.nodes.iter().enumerate() {
        depth[i] = node.inputs.iter().map(|&j| depth[j] + 1).max().unwrap_or(0);
    }
    for (i, node) in flow.nodes.iter().enumerate() {
        if node.inputs.is_empty() {
            let users = flow
                .nodes
                .iter()
                .zip(&depth)
                .filter(|(n, _)| n.inputs.contains(&i));
            depth[i] = users.map(|(_, d)| d - 1).min().unwrap_or(0);
        }
    }
    depth
}

/// The centres nearest to the wanted ones (with their weights) that keep the order and the gaps:
/// isotonic regression by pooling neighbours.
fn spread(wanted: &[(f64, f64)], widths: &[f64]) -> Vec<f64> {
    let mut offset = vec![0.0; widths.len()];
    for i in 1..widths.len() {
        offset[i] = offset[i - 1] + (widths[i - 1] + widths[i]) / 2.0 + GAP;
    }
    // Sum, weight and number of each block.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (&(x, w), o) in wanted.iter().zip(&offset) {
        blocks.push(((x - o) * w, w, 1));
        while let [.., a, b] = blocks[..] {
            if a.0 / a.1 <= b.0 / b.1 {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push((a.0 + b.0, a.1 + b.1, a.2 + b.2));
        }
    }
    let means = blocks
        .into_iter()
        .flat_map(|(sum, weight, n)| std::iter::repeat_n(sum / weight, n));
    means.zip(&offset).map(|(mean, o)| mean + o).collect()
}

#[cfg(test)]
mod tests {
    use super::{Flow, GAP, Layout, spread};

    #[test]
    fn neighbours_keep_their_distance() {
        let x = spread(&[(5.0, 1.0), (0.0, 1.0), (500.0, 1.0)], &[10.0, 30.0, 10.0]);
        assert!((x[1] - x[0] - (20.0 + GAP)).abs() < 1e-9, "{x:?}");
        assert!((x[2] - 500.0).abs() < 1e-9, "{x:?}");
    }

    #[test]
    fn edges_that_need_not_cross_do_not() -> Result<(), String> {
        let text = "x: x\na: a <- x\nb: b <- x\nc: c <- b\nd: d <- a\ny: y <- c, d, x";
        let flow = Flow::parse(text)?;
        let layout = Layout::new(&flow, &[40.0; 6]);
        assert_eq!(layout.crossings(), 0);
        assert_eq!(layout.layers(), 4);
        let skip = layout.edges.iter().find(|e| e.len() == 4);
        assert!(
            skip.is_some(),
            "x to y passes two layers: {:?}",
            layout.edges
        );
        Ok(())
    }
}
