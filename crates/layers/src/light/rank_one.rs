//! Taking a kernel apart into a column and a row.

use striate_tensor::{Error, Result, Tensor};

/// The column times row that is nearest to a kernel: `K = column row^T + rest`, by its greatest
/// singular value.
///
/// ```
/// use striate_layers::RankOne;
/// use striate_tensor::{DType, Tensor};
///
/// let sobel = Tensor::from_vec(vec![1.0f64, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, 0.0, -1.0], [3, 3])?;
/// let parts = RankOne::of(&sobel)?.exact(1e-12)?;
/// assert!((parts.column[1] / parts.column[0] - 2.0).abs() < 1e-12);
/// assert!((parts.column[0] * parts.row[2] + 1.0).abs() < 1e-12);
/// # Ok::<(), striate_tensor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RankOne {
    /// The column, one number for each row of the kernel; as long as the row.
    pub column: Vec<f64>,
    /// The row, one number for each column of the kernel.
    pub row: Vec<f64>,
    /// `|K - column row^T| / |K|` (Frobenius norms); 0 for a kernel of zeros.
    pub residual: f64,
}

impl RankOne {
    /// Takes a kernel `[kh, kw]` apart, by Jacobi rotations of its columns.
    ///
    /// # Errors
    /// The tensor has not two dimensions, or its elements are not finite floats.
    pub fn of(kernel: &Tensor) -> Result<Self> {
        const OP: &str = "RankOne";
        let [rows, columns] = kernel.dims_array(OP)?;
        let values = kernel
            .to_dtype(striate_tensor::DType::F64)?
            .to_vec::<f64>()?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::msg(format!("{OP}: the kernel must be finite")));
        }
        // Columns of K V, and of V: rotated until those of K V are perpendicular.
        let mut image: Vec<Vec<f64>> = (0..columns)
            .map(|j| (0..rows).map(|i| values[i * columns + j]).collect())
            .collect();
        let mut basis: Vec<Vec<f64>> = (0..columns)
            .map(|j| (0..columns).map(|i| f64::from(i == j)).collect())
            .collect();
        // Each sweep squares what is left to do; a handful is enough for any kernel.
        for _ in 0..30 {
            let mut turned = false;
            for i in 0..columns {
                for j in i + 1..columns {
                    if let Some(turn) = rotation(&image[i], &image[j]) {
                        rotate(&mut image, i, j, turn);
                        rotate(&mut basis, i, j, turn);
                        turned = true;
                    }
                }
            }
            if !turned {
                break;
            }
        }
        let squares: Vec<f64> = image.iter().map(|v| dot(v, v)).collect();
        let total: f64 = squares.iter().sum();
        let greatest = (0..columns).max_by(|&a, &b| squares[a].total_cmp(&squares[b]));
        let Some(greatest) = greatest.filter(|_| total > 0.0) else {
            return Ok(Self {
                column: vec![0.0; rows],
                row: vec![0.0; columns],
                residual: 0.0,
            });
        };
        let rest: f64 = (0..columns)
            .filter(|&j| j != greatest)
            .map(|j| squares[j])
            .sum();
        // Both get the root of the singular value.
        let root = squares[greatest].powf(0.25);
        Ok(Self {
            column: image[greatest].iter().map(|v| v / root).collect(),
            row: basis[greatest].iter().map(|v| v * root).collect(),
            residual: (rest / total).sqrt(),
        })
    }

    /// The parts, if they give the kernel.
    ///
    /// # Errors
    /// The residual is above the tolerance.
    pub fn exact(self, tolerance: f64) -> Result<Self> {
        if self.residual <= tolerance {
            return Ok(self);
        }
        Err(Error::msg(format!(
            "RankOne: the kernel is no column times a row: the rest is {:e} of it, allowed {tolerance:e}",
            self.residual
        )))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Cosine and sine that make two columns perpendicular; nothing if they are.
fn rotation(a: &[f64], b: &[f64]) -> Option<[f64; 2]> {
    let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
    if ab.abs() <= f64::EPSILON * (aa * bb).sqrt() {
        return None;
    }
    let slope = (bb - aa) / (2.0 * ab);
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    Some([cosine, cosine * tangent])
}

fn rotate(columns: &mut [Vec<f64>], i: usize, j: usize, [cosine, sine]: [f64; 2]) {
    for k in 0..columns[i].len() {
        let (a, b) = (columns[i][k], columns[j][k]);
        columns[i][k] = cosine * a - sine * b;
        columns[j][k] = sine * a + cosine * b;
    }
}
