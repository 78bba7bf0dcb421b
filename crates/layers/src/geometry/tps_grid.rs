//! Sampling grids of thin plate splines: the smoothest maps that take fixed target points to given source points.
//!
//! `grid(q) = sum over k of c_k phi(|q - p_k|^2) + a + B q`, `phi(s) = s ln(s) / 2`, where `c`, `a` and `B` solve
//! `[[phi, 1, P], [1, 0, 0], [P^T, 0, 0]] (c, a, B) = (source, 0)` for the target points `P`.
//!
//! Paper: Bookstein, *Principal Warps*, PAMI 1989; for transformers Shi et al., *Robust Scene Text Recognition with Automatic
//! Rectification*, CVPR 2016, arXiv:1603.03915.
//! Departures: the grid is linear in the source points, so that one product with a matrix, made once in double precision,
//! does what WarBean's implementation does with the inverse of the system and the kernels of all pixels. These are buffers
//! here, too, for its weights; nothing else reads them.
//! Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{DType, Error, Result, Tensor};

use crate::util::{invalid, pair_at_least_one};
use crate::{Buffer, Layer, Module, Pair, VarBuilder, Visitor};

const LAYER: &str = "TpsGrid";

/// How to build a [`TpsGrid`].
#[derive(Clone, Debug)]
pub struct TpsGridConfig {
    /// Rows and columns of the grid.
    pub out_size: [usize; 2],
    /// Rows and columns of target points.
    pub points: [usize; 2],
    /// How far the target points reach, up and down and to both sides, of 1.
    pub span: [f64; 2],
}

impl TpsGridConfig {
    /// 3x3 points that reach to 0.9.
    #[must_use]
    pub fn new(out_size: impl Into<Pair>) -> Self {
        Self {
            out_size: out_size.into().0,
            points: [3, 3],
            span: [0.9, 0.9],
        }
    }

    /// Sets the rows and columns of target points.
    #[must_use]
    pub fn points(mut self, points: impl Into<Pair>) -> Self {
        self.points = points.into().0;
        self
    }

    /// Sets how far the target points reach, up and down and to both sides.
    #[must_use]
    pub fn span(mut self, span: [f64; 2]) -> Self {
        self.span = span;
        self
    }

    /// Checks the configuration for a layer that is made of it.
    pub(super) fn check(&self, layer: &'static str) -> Result<()> {
        pair_at_least_one(layer, "out_size", self.out_size)?;
        if self.points.iter().any(|&n| n < 2) {
            let rule = "there must be two rows and two columns, or all points lie on a line";
            return Err(invalid(layer, "grid points", self.points, rule));
        }
        if self.span.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            let rule = "both must be positive numbers";
            return Err(invalid(layer, "span", self.span, rule));
        }
        Ok(())
    }

    /// The target points, row by row, as `(x, y)`.
    pub(super) fn targets(&self) -> Vec<[f64; 2]> {
        lattice(self.points, self.span)
    }

    /// Builds the module: buffers `inverse_kernel [K+3, K+3]`, `padding_matrix [3, 2]` and
    /// `target_coordinate_repr [H*W, K+3]` for `K` points, as WarBean has them.
    ///
    /// # Errors
    /// A size is 0, there are fewer than two rows or columns of points, or the span is not positive.
    pub fn build(&self, vb: &VarBuilder) -> Result<TpsGrid> {
        self.check(LAYER).map_err(|e| e.at(vb.path()))?;
        let (points, pixels) = (self.targets(), lattice(self.out_size, [1.0, 1.0]));
        let size = points.len() + 3;
        let basis = |q: &[f64; 2]| {
            let kernels = points.iter().map(|p| {
                let s = (q[0] - p[0]).powi(2) + (q[1] - p[1]).powi(2);
                if s == 0.0 { 0.0 } else { 0.5 * s * s.ln() }
            });
            kernels.chain([1.0, q[0], q[1]]).collect::<Vec<f64>>()
        };
        let mut system: Vec<Vec<f64>> = points.iter().map(basis).collect();
        for side in 0..3 {
            let column = system[..points.len()]
                .iter()
                .map(|row| row[points.len() + side]);
            let row = column.chain([0.0; 3]).collect();
            system.push(row);
        }
        let inverse = inverse(system)
            .ok_or_else(|| invalid(LAYER, "span", self.span, "the points lie on a line"))?;
        let pixels: Vec<Vec<f64>> = pixels.iter().map(basis).collect();
        // The last three columns of the inverse meet zeros.
        let weight = |pixel: &Vec<f64>, k: usize| {
            let products = pixel.iter().zip(&inverse).map(|(b, row)| b * row[k]);
            products.sum::<f64>()
        };
        let count = points.len();
        let weights = pixels
            .iter()
            .flat_map(|pixel| (0..count).map(|k| weight(pixel, k)))
            .collect::<Vec<f64>>();
        let inverse = Tensor::from_vec(inverse.concat(), [size, size])?;
        let repr = Tensor::from_vec(pixels.concat(), [pixels.len(), size])?;
        let zeros = Tensor::from_vec(vec![0.0f64; 6], [3, 2])?;
        Ok(TpsGrid {
            path: Arc::clone(vb.path()),
            inverse_kernel: vb.buffer_from("inverse_kernel", &inverse)?,
            padding_matrix: vb.buffer_from("padding_matrix", &zeros)?,
            target_coordinate_repr: vb.buffer_from("target_coordinate_repr", &repr)?,
            weights: Tensor::from_vec(weights, [pixels.len(), count])?,
            inverse,
            out_size: self.out_size,
        })
    }
}

/// Rows and columns of points from `-span` to `span`, row by row, as `(x, y)`; a single one at `-span`.
fn lattice([h, w]: [usize; 2], [span_y, span_x]: [f64; 2]) -> Vec<[f64; 2]> {
    let at = |i: usize, n: usize, span: f64| {
        let step = 2.0 * span / (n - 1).max(1) as f64;
        // From the nearer end, so that both ends are exact.
        if 2 * i < n {
            i as f64 * step - span
        } else {
            span - (n - 1 - i) as f64 * step
        }
    };
    let row = |i: usize| (0..w).map(move |j| [at(j, w, span_x), at(i, h, span_y)]);
    (0..h).flat_map(row).collect()
}

/// The inverse of a matrix by elimination with the largest pivot of each column; nothing if there is none.
fn inverse(mut a: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = a.len();
    for (i, row) in a.iter_mut().enumerate() {
        row.extend((0..n).map(|j| f64::from(u8::from(i == j))));
    }
    for column in 0..n {
        let size = |row: &Vec<f64>| row[column].abs();
        let pivot = (column..n).max_by(|&i, &j| size(&a[i]).total_cmp(&size(&a[j])))?;
        a.swap(column, pivot);
        let scale = a[column][column];
        if scale.abs() <= 1e-12 || scale.is_nan() {
            return None;
        }
        a[column].iter_mut().for_each(|v| *v /= scale);
        let pivot = a[column].clone();
        for (i, row) in a.iter_mut().enumerate() {
            if i == column {
                continue;
            }
            let factor = row[column];
            for (v, p) in row.iter_mut().zip(&pivot) {
                *v -= factor * p;
            }
        }
    }
    Some(a.into_iter().map(|mut row| row.split_off(n)).collect())
}

/// The grid: a module from source points to the places where [`Tensor::grid_sample`] with aligned corners samples.
#[derive(Debug)]
pub struct TpsGrid {
    path: Arc<str>,
    inverse_kernel: Buffer,
    padding_matrix: Buffer,
    target_coordinate_repr: Buffer,
    /// How much of each source point is in each place, `[H*W, K]`, in double precision.
    weights: Tensor,
    /// What `inverse_kernel` must be, in double precision.
    inverse: Tensor,
    out_size: [usize; 2],
}

impl TpsGrid {
    /// Fails if the buffers, which were perhaps loaded, are those of other target points.
    fn check_points(&self) -> Result<()> {
        let wide = |t: &Tensor| t.to_dtype(DType::F64)?.to_vec::<f64>();
        let (own, exact) = (wide(&self.inverse_kernel.tensor())?, wide(&self.inverse)?);
        let largest = exact.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 * largest;
        if own.iter().zip(&exact).all(near) {
            Ok(())
        } else {
            Err(Error::msg(format!(
                "{LAYER}: inverse_kernel is that of other target points than the configured ones"
            )))
        }
    }
}

impl Layer for TpsGrid {
    fn visit(&self, v: &mut dyn Visitor) {
        v.buffer("inverse_kernel", &self.inverse_kernel);
        v.buffer("padding_matrix", &self.padding_matrix);
        v.buffer("target_coordinate_repr", &self.target_coordinate_repr);
    }
}

impl Module for TpsGrid {
    /// # Shapes
    /// Source points `[N, K, 2]`, as `(x, y)` from -1 to 1 in the order of the target points, to `[N, H, W, 2]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let (points, [h, w]) = (self.weights.shape()[1], self.out_size);
            let n = match *x.shape() {
                [n, k, 2] if k == points => n,
                ref shape => {
                    let detail = format!("expected source points [N, {points}, 2], got {shape:?}");
                    return Err(Error::shape(LAYER, detail));
                }
            };
            self.check_points()?;
            // The images stand side by side in the columns, so that one product serves all.
            let columns = x.permute(&[1, 0, 2])?.reshape([points, 2 * n])?;
            let grid = self.weights.to_dtype(x.dtype())?.matmul(&columns)?;
            let grid = grid.reshape([h * w, n, 2])?.permute(&[1, 0, 2])?;
            grid.reshape([n, h, w, 2])
        })
    }
}
