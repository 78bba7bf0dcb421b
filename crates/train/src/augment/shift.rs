//! Moves by whole pixels.

use striate_tensor::Philox;

use super::{Transform, up_to};
use crate::data::Image;
use crate::error::Result;

/// Moves the picture by up to `limit` (rows, columns) either way; what comes in is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The largest move, in rows and in columns.
    pub limit: [usize; 2],
}

impl Transform for Shift {
    fn output(&self, channels: usize, size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        Ok((channels, size))
    }

    fn apply(&self, image: Image, rng: &mut Philox) -> Result<Image> {
        let size = image.size();
        // A move by a whole side empties the picture already.
        let [dy, dx] = [0, 1].map(|axis| up_to(rng, self.limit[axis].min(size[axis])));
        window(&image, [-dy, -dx], size)
    }
}

/// The part of a picture of the given size whose first pixel is at `origin`, 0 wherever that is outside.
pub(super) fn window(image: &Image, origin: [isize; 2], size: [usize; 2]) -> Result<Image> {
    let [h, w] = image.size();
    let mut part = Image::filled(image.channels(), size, 0.0)?;
    // The columns that both have, counted in the part.
    let first = origin[1].min(0).unsigned_abs().min(size[1]);
    let last = w.saturating_add_signed(-origin[1]).min(size[1]).max(first);
    for (from, to) in image.planes().zip(part.planes_mut()) {
        for (y, row) in to.chunks_exact_mut(size[1].max(1)).enumerate() {
            let Some(y) = y.checked_add_signed(origin[0]).filter(|&y| y < h) else {
                continue;
            };
            if last > first {
                let start = y * w + first.saturating_add_signed(origin[1]);
                row[first..last].copy_from_slice(&from[start..start + last - first]);
            }
        }
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::super::counting;
    use super::*;

    #[test]
    fn windows_inside_across_and_outside() {
        let image = counting([2, 3]);
        let cut = |origin, size| window(&image, origin, size).unwrap().values().to_vec();
        assert_eq!(cut([0, 0], [2, 3]), image.values());
        assert_eq!(cut([1, 1], [1, 2]), [5., 6.]);
        assert_eq!(cut([-1, 2], [2, 2]), [0., 0., 3., 0.]);
        assert_eq!(cut([1, -2], [2, 3]), [0., 0., 4., 0., 0., 0.]);
        assert_eq!(cut([0, 3], [2, 2]), [0.; 4]);
        assert_eq!(cut([0, -5], [1, 2]), [0.; 2]);
        assert_eq!(cut([-9, -1], [1, 5]), [0.; 5]);
        assert_eq!(cut([0, -1], [1, 5]), [0., 1., 2., 3., 0.]);
        assert!(cut([0, 0], [0, 4]).is_empty());
    }

    #[test]
    fn every_shift_occurs_and_keeps_the_rest() {
        let shift = Shift { limit: [0, 1] };
        let mut rng = Philox::new(2);
        let mut seen: Vec<Vec<f32>> = (0..50)
            .map(|_| {
                shift
                    .apply(counting([1, 3]), &mut rng)
                    .unwrap()
                    .values()
                    .to_vec()
            })
            .collect();
        seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
        seen.dedup();
        assert_eq!(seen, [[0., 1., 2.], [1., 2., 3.], [2., 3., 0.]]);
        let empty = Shift {
            limit: [usize::MAX; 2],
        }
        .apply(counting([1, 3]), &mut rng)
        .unwrap();
        assert_eq!(empty.size(), [1, 3]);
    }
}
