//! Whether a classifier says the same of a picture that has moved: the measure of anti-aliased downsampling.
//!
//! Paper: Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, arXiv:1904.11486.

use striate_layers::{Module, evaluating};
use striate_tensor::{Error, Philox, Result, Tensor, no_grad};

/// How a picture moves, by a number of pixels drawn for each axis and picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Cuts a window out of the picture, with as many pixels less on each axis as it can move: the paper's, with 32 for
    /// pictures of 256x256, and windows of 224x224.
    Crop {
        /// The pixels that the window can move.
        max: usize,
    },
    /// Moves the picture by at most so many pixels, and what leaves it on one side comes in on the other: for small pictures.
    Circular {
        /// The pixels that the picture can move.
        max: usize,
    },
}

impl Shift {
    /// The pictures, each moved by itself.
    fn apply(self, images: &Tensor, rng: &mut Philox) -> Result<Tensor> {
        let [n, _, h, w] = images.dims4()?;
        let (Self::Crop { max } | Self::Circular { max }) = self;
        if max >= h.min(w) {
            let rule = "the shift must be less than both sides of the pictures";
            return Err(Error::shape(
                "shift_consistency",
                format!("{rule}, {h}x{w}: it is {max}"),
            ));
        }
        let move_one = |i| {
            let image = images.narrow(0, i, 1)?;
            let mut draw = || rng.below(max as u64 + 1) as usize;
            let [down, right] = [draw(), draw()];
            match self {
                Self::Crop { .. } => image.narrow(2, down, h - max)?.narrow(3, right, w - max),
                Self::Circular { .. } => roll(&roll(&image, 2, down)?, 3, right),
            }
        };
        let moved: Vec<Tensor> = (0..n).map(move_one).collect::<Result<_>>()?;
        Tensor::cat(&moved.iter().collect::<Vec<_>>(), 0)
    }
}

/// Moves a dimension on by `by` elements, in a circle.
fn roll(x: &Tensor, dim: usize, by: usize) -> Result<Tensor> {
    let size = x.shape()[dim];
    let (end, start) = (x.narrow(dim, size - by, by)?, x.narrow(dim, 0, size - by)?);
    Tensor::cat(&[&end, &start], dim)
}

/// The share of pictures of which the model, in evaluation, gives the highest score to the same class in two random shifts.
///
/// # Shapes
/// `images: [N, C, H, W]`; the model gives `[N, classes]`.
///
/// # Errors
/// When there are no pictures, they cannot move so far, or the model fails.
pub fn shift_consistency(
    model: &dyn Module,
    images: &Tensor,
    shift: Shift,
    rng: &mut Philox,
) -> Result<f64> {
    let [n, ..] = images.dims4()?;
    if n == 0 {
        return Err(Error::shape(
            "shift_consistency",
            "there are no pictures".to_owned(),
        ));
    }
    let mut classes = || {
        let scores = model.forward(&shift.apply(images, rng)?)?;
        scores.argmax(1)?.to_vec::<i64>()
    };
    let [first, second] = evaluating(model, || no_grad(|| [classes(), classes()]));
    let pairs = first?.into_iter().zip(second?);
    Ok(pairs.filter(|(a, b)| a == b).count() as f64 / n as f64)
}

#[cfg(test)]
mod tests {
    use striate_layers::{GlobalAvgPool, Layer, Visitor};
    use striate_tensor::DType;

    use super::*;

    /// Scores are the pixels of the first row and column.
    #[derive(Debug)]
    struct Corner;

    impl Layer for Corner {
        fn visit(&self, _: &mut dyn Visitor) {}
    }

    impl Module for Corner {
        fn forward(&self, x: &Tensor) -> Result<Tensor> {
            x.narrow(2, 0, 1)?.flatten(1, 3)
        }
    }

    /// Pictures with one bright pixel.
    fn pictures(n: usize) -> Tensor {
        let mut pixels = vec![0f32; n * 64];
        pixels.iter_mut().step_by(64).for_each(|p| *p = 1.0);
        Tensor::from_vec(pixels, [n, 1, 8, 8]).unwrap()
    }

    #[test]
    fn a_model_without_places_is_consistent_under_circles() {
        let x = Tensor::randn([6, 4, 8, 8], &mut Philox::new(1)).unwrap();
        let flat =
            |shift| shift_consistency(&GlobalAvgPool, &x, shift, &mut Philox::new(2)).unwrap();
        assert_eq!(flat(Shift::Circular { max: 7 }), 1.0);
        assert_eq!(flat(Shift::Crop { max: 0 }), 1.0);
    }

    #[test]
    fn a_model_that_sees_one_row_has_the_expected_share() {
        // The pixel is in the row with chance 1/8, then in one of 8 columns; without it all scores are alike.
        let in_row = 1.0 / 8.0;
        let both = in_row * in_row / 8.0;
        let neither = (1.0 - in_row) * (1.0 - in_row);
        let one = 2.0 * in_row * (1.0 - in_row) / 8.0;
        let shift = Shift::Circular { max: 7 };
        let share =
            shift_consistency(&Corner, &pictures(2000), shift, &mut Philox::new(3)).unwrap();
        let expected = both + neither + one;
        assert!((share - expected).abs() < 0.03, "{share}, not {expected}");
    }

    #[test]
    fn windows_are_smaller_by_the_shift() {
        let x = Tensor::zeros([2, 3, 10, 9], DType::F32).unwrap();
        let moved = Shift::Crop { max: 4 }
            .apply(&x, &mut Philox::new(0))
            .unwrap();
        assert_eq!(moved.shape(), [2, 3, 6, 5]);
        let error = Shift::Crop { max: 9 }
            .apply(&x, &mut Philox::new(0))
            .unwrap_err();
        assert!(error.to_string().contains("10x9"), "{error}");
    }

    #[test]
    fn a_circle_keeps_every_pixel() {
        let x = Tensor::arange(12, DType::F32)
            .unwrap()
            .reshape([1, 1, 3, 4])
            .unwrap();
        let rolled = roll(&x, 3, 1).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(rolled, [3., 0., 1., 2., 7., 4., 5., 6., 11., 8., 9., 10.]);
        assert_eq!(
            roll(&x, 2, 0).unwrap().to_vec::<f32>().unwrap(),
            x.to_vec::<f32>().unwrap()
        );
    }
}
