//! The convolutions of `shapes/conv.json` and `shapes/zoo.txt`.

use crate::shapes::{self, Shape};
use serde::Deserialize;
use std::path::Path;
use striate_kernels::conv_transpose2d::ConvTranspose2dGeometry;
use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::geometry::{GeometryError, Layout};

/// A convolution that is measured.
#[derive(Clone, Debug)]
pub struct Convolution<G = Conv2dGeometry> {
    /// What has it.
    pub name: String,
    /// What it is.
    pub geometry: G,
    /// Whether training runs it.
    pub trained: bool,
}

impl Convolution {
    /// The layout of its input: networks read images with contiguous rows and everything else with
    /// contiguous channels.
    pub fn input(&self) -> Layout {
        if self.geometry.in_channels() < 8 {
            Layout::Nchw
        } else {
            Layout::Nhwc
        }
    }
}

/// A row of `shapes/conv.json`.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    op: String,
    n: usize,
    ci: usize,
    h: usize,
    w: usize,
    co: usize,
    k: [usize; 2],
    s: [usize; 2],
    p: [usize; 2],
    d: [usize; 2],
    g: usize,
    train: bool,
}

/// The rows of `shapes/conv.json` of one op.
fn rows<G>(
    op: &str,
    geometry: impl Fn(&Row) -> Result<G, GeometryError>,
) -> Result<Vec<Convolution<G>>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shapes/conv.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows: Vec<Row> =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let convolution = |row: Row| {
        Ok(Convolution {
            geometry: geometry(&row).map_err(|e| format!("{}: {e}", path.display()))?,
            name: row.id,
            trained: row.train,
        })
    };
    let of_op = rows.into_iter().filter(|row| row.op == op);
    of_op.map(convolution).collect()
}

/// The convolutions that engines are compared on.
///
/// # Errors
/// If the file cannot be read or has an impossible one.
pub fn suite() -> Result<Vec<Convolution>, String> {
    rows("conv", |row| {
        let pad = [row.p[0], row.p[0], row.p[1], row.p[1]];
        let size = [row.h, row.w];
        Conv2dGeometry::new(row.n, row.ci, size, row.co, row.k, row.s, pad, row.d, row.g)
    })
}

/// The transposed convolutions that engines are compared on.
///
/// # Errors
/// If the file cannot be read or has an impossible one.
pub fn transposed() -> Result<Vec<Convolution<ConvTranspose2dGeometry>>, String> {
    rows("convt", |row| {
        let pad = [row.p[0], row.p[0], row.p[1], row.p[1]];
        let size = [row.h, row.w];
        ConvTranspose2dGeometry::new(
            row.n, row.ci, size, row.co, row.k, row.s, pad, [0; 2], row.d, row.g,
        )
    })
}

/// The distinct convolutions of well-known networks.
///
/// # Errors
/// If the file cannot be read or has an impossible one.
pub fn zoo() -> Result<Vec<Convolution>, String> {
    convolutions(shapes::read("zoo")?)
}

/// The convolutions of a file in the form of `shapes/zoo.txt`.
///
/// # Errors
/// If the file cannot be read or has an impossible one.
pub fn listed(file: &Path) -> Result<Vec<Convolution>, String> {
    convolutions(shapes::read_from(file)?)
}

fn convolutions(shapes: Vec<Shape<14>>) -> Result<Vec<Convolution>, String> {
    let convolution = |shape: Shape<14>| {
        let [n, c, h, w, filters, kh, kw, sh, sw, ph, pw, dh, dw, groups] = shape.numbers;
        let (size, pad) = ([h, w], [ph, ph, pw, pw]);
        let (kernel, stride, dilation) = ([kh, kw], [sh, sw], [dh, dw]);
        Conv2dGeometry::new(n, c, size, filters, kernel, stride, pad, dilation, groups)
            .map(|geometry| Convolution {
                name: named(&geometry),
                geometry,
                trained: false,
            })
            .map_err(|e| format!("{}: {e}", shape.name))
    };
    shapes.into_iter().map(convolution).collect()
}

/// A name in the manner of `shapes/conv.json`.
fn named(g: &Conv2dGeometry) -> String {
    let mut name = format!("{}x{}", g.kernel()[0], g.kernel()[1]);
    for (letter, [down, across]) in [('s', g.stride()), ('d', g.dilation())] {
        if [down, across] != [1, 1] {
            name += &format!("{letter}{down}");
        }
    }
    if g.groups() > 1 {
        name += &format!("g{}", g.groups());
    }
    let [h, _] = g.in_size();
    name + &format!(
        "_{}-{}@{h}_b{}",
        g.in_channels(),
        g.out_channels(),
        g.batch()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_can_be_read() {
        for convolutions in [suite(), zoo()] {
            assert!(convolutions.is_ok_and(|c| c.len() > 30));
        }
        assert!(transposed().is_ok_and(|c| !c.is_empty()));
    }
}
