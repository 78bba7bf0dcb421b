//! Resizing of images.

use super::{GeometryError, element_count};
use crate::cubic;

/// Between which pixels, and how, a resized image takes its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interpolation {
    /// The pixel at `floor(o * size / new_size)`.
    Nearest,
    /// A line through the two pixels beside the place.
    Bilinear {
        /// Whether the centres of the corner pixels stay the corners; otherwise the edges of the image do.
        align_corners: bool,
    },
    /// Keys' cubic, `a = -0.75`, through the four pixels around the place, of which those outside are the outermost inside.
    Bicubic {
        /// As for [`Bilinear`](Self::Bilinear).
        align_corners: bool,
    },
}

/// A resizing `[N, C, H, W] -> [N, C, OH, OW]`.
///
/// Output `o` of an axis lies at `o (size - 1) / (new_size - 1)` of the input with aligned corners (at 0 if `new_size` is 1)
/// and at `(o + 1/2) size / new_size - 1/2` without, for bilinear interpolation not below 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResizeGeometry {
    input: [usize; 4],
    output: [usize; 2],
    interpolation: Interpolation,
}

impl ResizeGeometry {
    /// Validates resizing of an input of shape `[N, C, H, W]` to `output` rows and columns.
    ///
    /// # Errors
    /// If the input has no rows or columns while the output has, or a size does not fit the address space.
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        output: [usize; 2],
        interpolation: Interpolation,
    ) -> Result<Self, GeometryError> {
        let [n, c, h, w] = input;
        element_count(op, "input", &input)?;
        element_count(op, "output", &[n, c, output[0], output[1]])?;
        for (size, new_size) in [(h, output[0]), (w, output[1])] {
            // An axis is listed position by position, and places are computed in f64.
            element_count(op, "size", &[size, new_size, 4])?;
        }
        if (h == 0 || w == 0) && output[0] * output[1] > 0 {
            let rule = "it must have rows and columns to resize";
            return Err(GeometryError::new(op, "input", format!("{input:?}"), rule));
        }
        Ok(Self {
            input,
            output,
            interpolation,
        })
    }

    /// The input's shape `[N, C, H, W]`.
    pub fn input(&self) -> [usize; 4] {
        self.input
    }

    /// The output's shape `[N, C, OH, OW]`.
    pub fn output(&self) -> [usize; 4] {
        [self.input[0], self.input[1], self.output[0], self.output[1]]
    }

    /// How values are taken.
    pub fn interpolation(&self) -> Interpolation {
        self.interpolation
    }

    /// The input positions that output position `o` of `axis` (0 = rows, 1 = columns) is made of, in ascending order and with
    /// their weights. Pixels of weight zero are not among them.
    pub(crate) fn taps(&self, axis: usize, o: usize) -> impl Iterator<Item = (usize, f64)> + use<> {
        let (size, new_size) = (self.input[2 + axis], self.output[axis]);
        let (first, weights) = match self.interpolation {
            Interpolation::Nearest => ((o * size / new_size) as isize, [1.0, 0.0, 0.0, 0.0]),
            Interpolation::Bilinear { align_corners } => {
                let place = place(o, size, new_size, align_corners).max(0.0);
                let t = place.fract();
                (place as isize, [1.0 - t, t, 0.0, 0.0])
            }
            Interpolation::Bicubic { align_corners } => {
                let place = place(o, size, new_size, align_corners);
                (
                    place.floor() as isize - 1,
                    cubic::weights(place - place.floor()),
                )
            }
        };
        // Taps beyond an edge fall on its pixel, which has one weight for all of them.
        let last = size.saturating_sub(1) as isize;
        let inside = |i: usize| (first + i as isize).clamp(0, last) as usize;
        let mut taps = [(0, 0.0); 4];
        for (i, tap) in taps.iter_mut().enumerate() {
            let alone = i == 0 || inside(i) != inside(i - 1);
            let same = (i..4).filter(|&j| alone && inside(j) == inside(i));
            *tap = (inside(i), same.map(|j| weights[j]).sum());
        }
        taps.into_iter()
            .filter(move |&(_, weight)| weight != 0.0 && size > 0)
    }
}

/// Where output `o` lies among the inputs.
fn place(o: usize, size: usize, new_size: usize, align_corners: bool) -> f64 {
    if !align_corners {
        (o as f64 + 0.5) * size as f64 / new_size as f64 - 0.5
    } else if new_size == 1 {
        0.0
    } else {
        (o * size.saturating_sub(1)) as f64 / (new_size - 1) as f64
    }
}
