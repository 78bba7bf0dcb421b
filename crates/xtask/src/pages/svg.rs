//! Draws a data flow.

use std::fmt::Write;

use super::flow::Flow;
use super::layout::{Layout, Place};

const MARGIN: f64 = 14.0;
const BOX: f64 = 44.0;
/// From the top of a layer to that of the next.
const PITCH: f64 = 76.0;

/// The data flow as an SVG of its own, readable on light and dark pages.
pub(super) fn draw(flow: &Flow) -> String {
    let widths: Vec<f64> = flow
        .nodes
        .iter()
        .map(|n| {
            let shape = n.shape.as_ref().map_or(0.0, |s| 6.4 * s.len() as f64);
            (7.0 * n.label.len() as f64).max(shape).max(24.0) + 22.0
        })
        .collect();
    let layout = Layout::new(flow, &widths);
    let left = |p: &Place| p.x - p.width / 2.0;
    let start = layout.places.iter().map(left).fold(f64::MAX, f64::min);
    let end = layout
        .places
        .iter()
        .map(|p| left(p) + p.width)
        .fold(f64::MIN, f64::max);
    let x = |p: &Place| p.x - start + MARGIN;
    let top = |p: &Place| p.layer as f64 * PITCH + MARGIN;
    let (width, height) = (
        end - start + 2.0 * MARGIN,
        (layout.layers() - 1) as f64 * PITCH + BOX + 2.0 * MARGIN,
    );
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.1} {height:.1}" font-family="Helvetica, Arial, sans-serif" text-anchor="middle">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#52606d"/></marker></defs>
<rect width="100%" height="100%" rx="8" fill="#ffffff"/>
"##
    );
    for edge in &layout.edges {
        let (from, to) = (
            &layout.places[edge[0]],
            &layout.places[edge[edge.len() - 1]],
        );
        let mut at = (x(from), top(from) + BOX);
        let mut path = format!("M{:.1} {:.1}", at.0, at.1);
        let mut curve = |to: (f64, f64)| {
            let middle = (at.1 + to.1) / 2.0;
            let _ = write!(
                path,
                "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}",
                at.0, to.0, to.0, to.1
            );
            at = to;
        };
        for passed in edge[1..edge.len() - 1].iter().map(|&i| &layout.places[i]) {
            curve((x(passed), top(passed)));
            curve((x(passed), top(passed) + BOX));
        }
        curve((x(to) + port(&layout, edge), top(to) - 1.0));
        let _ = writeln!(
            svg,
            r##"<path d="{path}" fill="none" stroke="#52606d" stroke-width="1.4" marker-end="url(#tip)"/>"##
        );
    }
    for place in &layout.places {
        let Some(node) = place.node.map(|i| &flow.nodes[i]) else {
            continue;
        };
        let (fill, stroke, round) = match node.inputs.is_empty() {
            true => ("#f5f7fa", "#9aa5b1", 22.0),
            false => ("#e3f2fd", "#2b6cb0", 6.0),
        };
        let (cx, y) = (x(place), top(place));
        let _ = writeln!(
            svg,
            r#"<rect x="{:.1}" y="{y:.1}" width="{:.1}" height="{BOX}" rx="{round}" fill="{fill}" stroke="{stroke}"/>"#,
            cx - place.width / 2.0,
            place.width
        );
        let base = y + if node.shape.is_some() { 19.0 } else { 27.0 };
        let label = escaped(&node.label);
        let _ = writeln!(
            svg,
            r##"<text x="{cx:.1}" y="{base:.1}" font-size="13" fill="#1f2933">{label}</text>"##
        );
        if let Some(shape) = &node.shape {
            let (shape, base) = (escaped(shape), y + 35.0);
            let _ = writeln!(
                svg,
                r##"<text x="{cx:.1}" y="{base:.1}" font-size="11" fill="#52606d">{shape}</text>"##
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where an edge enters its node: those of one node side by side, from left to right.
fn port(layout: &Layout, edge: &[usize]) -> f64 {
    let to = edge[edge.len() - 1];
    let before = |e: &[usize]| layout.places[e[e.len() - 2]].x;
    let all = layout.edges.iter().filter(|e| e.last() == Some(&to));
    let (count, left) = all.fold((0, 0), |(n, left), e| {
        (n + 1, left + usize::from(before(e) < before(edge)))
    });
    let step = (layout.places[to].width - 24.0).max(0.0) / f64::from(count).max(2.0);
    (left as f64 - f64::from(count - 1) / 2.0) * step
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
