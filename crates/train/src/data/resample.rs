//! Scaling of pictures with averaging: bilinear interpolation whose window grows with the reduction.
//!
//! Each output pixel is the mean of the inputs under a triangle around its centre, whose half width is one output pixel
//! when reducing and one input pixel when enlarging: what Pillow and torchvision call bilinear with antialiasing.

use super::picture::MAX_SIDE;
use super::{Image, Picture};
use crate::error::{Error, Result};

/// Scales a picture so that it covers `size` (height and width), keeping its proportions, and cuts out the centre;
/// values in 0 to 1.
///
/// # Errors
/// When the result is too large to be addressed.
pub(super) fn cover(picture: &Picture, size: [usize; 2]) -> Result<Image> {
    let channels = picture.channels();
    let mut image = Image::filled(channels, size, 0.0)?;
    let ([h, w], [height, width]) = (size, picture.size());
    if h * w == 0 || height * width == 0 {
        return Ok(image);
    }
    // The side that is reduced least decides; sides are small enough for the products.
    let scaled = if h * width >= w * height {
        [h, (h * width / height).max(w)]
    } else {
        [(w * height / width).max(h), w]
    };
    let start = [0, 1].map(|axis| (scaled[axis] - size[axis]) / 2);
    fill(&mut image, picture, scaled, start);
    Ok(image)
}

impl Picture {
    /// The picture scaled such that its short side has `short` pixels, the long one rounded down, and of that the centre of `size`
    /// (height and width); values in 0 to 1. Averages and rounding are those of torchvision's `Resize` with antialiasing, applied
    /// to floats, and `CenterCrop`.
    ///
    /// # Errors
    /// When the picture or the centre has no pixels, or the centre is larger than the scaled picture, or that than [`MAX_SIDE`].
    pub fn centre(&self, short: usize, size: [usize; 2]) -> Result<Image> {
        let [height, width] = self.size();
        let refused = |rule: &str| {
            let [h, w] = size;
            Err(Error::Mismatch(format!(
                "a picture of {height}x{width} with its short side scaled to {short} has no centre of {h}x{w}: {rule}"
            )))
        };
        if height * width == 0 || size.contains(&0) {
            return refused("there are no pixels");
        }
        if short > MAX_SIDE as usize {
            return refused("it would be too large");
        }
        let shorter = height.min(width);
        let scaled = [height, width].map(|side| short * side / shorter);
        if scaled[0] < size[0] || scaled[1] < size[1] {
            return refused("it is too small");
        }
        let mut image = Image::filled(self.channels(), size, 0.0)?;
        // Half a pixel goes to the even side.
        let start = [0, 1].map(|axis| {
            let over = scaled[axis] - size[axis];
            over / 2 + usize::from(over % 4 == 3)
        });
        fill(&mut image, self, scaled, start);
        Ok(image)
    }
}

/// Fills an image with the part of the picture scaled to `scaled` that begins at `start`, both with rows first.
fn fill(image: &mut Image, picture: &Picture, scaled: [usize; 2], start: [usize; 2]) {
    let (size, channels, width) = (image.size(), picture.channels(), picture.size()[1]);
    let [h, w] = size;
    let [rows, columns] = [0, 1].map(|axis| {
        let output = start[axis]..start[axis] + size[axis];
        let window = move |i| Window::new(i, picture.size()[axis], scaled[axis]);
        output.map(window).collect::<Vec<_>>()
    });
    let used = rows[0].start..rows[h - 1].start + rows[h - 1].weights.len();
    let pixels = picture.bytes();
    for (c, plane) in image.planes_mut().enumerate() {
        let mut narrow = Vec::with_capacity(used.len() * w);
        for row in pixels
            .chunks_exact(width * channels)
            .take(used.end)
            .skip(used.start)
        {
            let value = |x: usize| f32::from(row[x * channels + c]) / 255.0;
            narrow.extend(columns.iter().map(|column| column.mean(value)));
        }
        for (row, line) in rows.iter().zip(plane.chunks_exact_mut(w)) {
            for (x, out) in line.iter_mut().enumerate() {
                *out = row.mean(|y| narrow[(y - used.start) * w + x]);
            }
        }
    }
}

/// The inputs of one output on one axis.
struct Window {
    start: usize,
    weights: Vec<f32>,
}

impl Window {
    /// For output `i` of `scaled`, made from `len` inputs.
    fn new(i: usize, len: usize, scaled: usize) -> Self {
        let scale = len as f64 / scaled as f64;
        let half = scale.max(1.0);
        let centre = (i as f64 + 0.5) * scale;
        let start = (centre - half + 0.5).max(0.0) as usize;
        let end = ((centre + half + 0.5) as usize).min(len);
        let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - centre) / half).abs()).max(0.0);
        let sum: f64 = (start..end).map(weight).sum();
        Self {
            start,
            weights: (start..end).map(|x| (weight(x) / sum) as f32).collect(),
        }
    }

    fn mean(&self, value: impl Fn(usize) -> f32) -> f32 {
        let weighted = self.weights.iter().enumerate();
        weighted.map(|(k, w)| w * value(self.start + k)).sum()
    }
}

#[cfg(test)]
mod tests {
    use striate_layers::safetensors;

    use super::*;

    fn ramp(size: [usize; 2]) -> Picture {
        let bytes = (0..size[0] * size[1])
            .map(|i| (i * 37 % 256) as u8)
            .collect();
        Picture::new(size, 1, bytes).unwrap()
    }

    #[test]
    fn the_same_size_keeps_every_value() {
        let picture = ramp([5, 7]);
        let image = cover(&picture, [5, 7]).unwrap();
        let expected: Vec<f32> = picture
            .bytes()
            .iter()
            .map(|&v| f32::from(v) / 255.0)
            .collect();
        assert_eq!(image.values(), expected);
    }

    /// Those of `torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)`.
    #[test]
    fn values_are_torchs() {
        let reduced = [
            105.3928, 128.6667, 94.0357, 115.3676, 123.0, 130.6324, 151.9643, 117.3333, 140.6071,
        ];
        let row_of_enlarged = [
            204.05, 123.175, 88.525, 105.075, 65.625, 82.175, 109.925, 137.675, 165.425, 193.175,
            158.525, 77.65,
        ];
        let close = |values: &[f32], expected: &[f32]| {
            assert_eq!(values.len(), expected.len());
            for (y, e) in values.iter().zip(expected) {
                assert!((y * 255.0 - e).abs() < 1e-3, "{} {e}", y * 255.0);
            }
        };
        let picture = ramp([7, 9]);
        close(cover(&picture, [3, 3]).unwrap().values(), &reduced);
        let enlarged = cover(&picture, [10, 12]).unwrap();
        close(&enlarged.values()[48..60], &row_of_enlarged);
    }

    #[test]
    fn the_centre_is_cut_out() {
        let bytes = (0..12).map(|i| 51 * (i % 6)).collect();
        let wide = Picture::new([2, 6], 1, bytes).unwrap();
        assert_eq!(cover(&wide, [2, 2]).unwrap().values(), [0.4, 0.6, 0.4, 0.6]);
    }

    /// The files are written by `golden/pictures.py`.
    #[test]
    fn centres_are_torchvisions() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/data/testdata/centre");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let (tensors, metadata) = safetensors::load(&path).unwrap();
            let [picture, expected] = ["picture", "centre"].map(|name| tensors.get(name).unwrap());
            let &[height, width, channels] = picture.shape() else {
                panic!("{path:?}")
            };
            let bytes = picture.to_vec::<u8>().unwrap();
            let picture = Picture::new([height, width], channels, bytes).unwrap();
            let &[_, h, w] = expected.shape() else {
                panic!("{path:?}")
            };
            let image = picture
                .centre(metadata["short"].parse().unwrap(), [h, w])
                .unwrap();
            let expected = expected.to_vec::<f32>().unwrap();
            assert_eq!(image.values().len(), expected.len(), "{path:?}");
            for (y, e) in image.values().iter().zip(&expected) {
                assert!((y - e).abs() < 2e-6, "{path:?}: {y} for {e}");
            }
            files += 1;
        }
        assert_eq!(files, 5);
    }

    #[test]
    fn a_centre_that_is_not_there_is_refused() {
        let picture = ramp([5, 7]);
        for (short, size, what) in [
            (8, [9, 3], "too small"),
            (8, [3, 12], "too small"),
            (8, [0, 3], "no pixels"),
            (usize::MAX, [3, 3], "too large"),
            (0, [1, 1], "too small"),
        ] {
            let error = picture.centre(short, size).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(picture.centre(8, [8, 11]).unwrap().size(), [8, 11]);
        let empty = Picture::new([0, 3], 1, vec![]).unwrap();
        assert!(empty.centre(8, [1, 1]).is_err());
    }

    #[test]
    fn constants_stay_and_any_sizes_work() {
        for (from, to) in [([1, 1], [9, 4]), ([300, 2], [3, 5]), ([7, 90], [90, 7])] {
            let grey = Picture::new(from, 1, vec![153; from[0] * from[1]]).unwrap();
            let image = cover(&grey, to).unwrap();
            assert_eq!(image.size(), to);
            assert!(image.values().iter().all(|v| (v - 0.6).abs() < 1e-6));
        }
    }
}
