//! Scale, rotation, shear and shift in one bilinear step, onto a canvas of any size.
//!
//! The picture's centre goes to the canvas's centre, and a point `q` of the picture (measured from its centre) to
//! `p = scale * R(angle) * K(shear) * q + shift`. Each pixel of the canvas looks up the point it came from: `q` is
//! interpolated between the four nearest pixel centres, and everything outside the picture is 0.

use striate_tensor::Philox;

use super::{Transform, between, check};
use crate::data::Image;
use crate::error::{Error, Result};

/// A random affine warp. Made by [`Affine::canvas`], which alone only centres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    canvas: [usize; 2],
    scale: [f64; 2],
    rotation: f64,
    shear: f64,
    shift: f64,
}

impl Affine {
    /// Puts the picture in the centre of a canvas of this height and width, without scaling or turning it.
    #[must_use]
    pub fn canvas(size: [usize; 2]) -> Self {
        Self {
            canvas: size,
            scale: [1.0, 1.0],
            rotation: 0.0,
            shear: 0.0,
            shift: 0.0,
        }
    }

    /// Canvas pixels per picture pixel: uniform from `low` to `high`. Below about one half pixels are skipped.
    #[must_use]
    pub fn scale(mut self, low: f64, high: f64) -> Self {
        self.scale = [low, high];
        self
    }

    /// Turns by up to this many degrees either way.
    #[must_use]
    pub fn rotation(mut self, degrees: f64) -> Self {
        self.rotation = degrees;
        self
    }

    /// Slants by up to this many degrees either way.
    #[must_use]
    pub fn shear(mut self, degrees: f64) -> Self {
        self.shear = degrees;
        self
    }

    /// Moves by up to this fraction of the canvas either way, in each direction.
    #[must_use]
    pub fn shift(mut self, fraction: f64) -> Self {
        self.shift = fraction;
        self
    }

    fn draw(&self, rng: &mut Philox) -> Warp {
        let scale = between(rng, self.scale[0], self.scale[1]);
        let (sin, cos) = sin_cos(between(rng, -self.rotation, self.rotation));
        let (shear_sin, shear_cos) = sin_cos(between(rng, -self.shear, self.shear));
        let [h, w] = self.canvas.map(|side| side as f64);
        let dy = between(rng, -self.shift, self.shift) * h;
        let dx = between(rng, -self.shift, self.shift) * w;
        // K(s) = [[1, t], [0, 1]] on (x, y), t = tan(s); its inverse has -t.
        let t = shear_sin / shear_cos;
        let rows = [[cos, sin], [-sin, cos]];
        let unsheared = [
            [rows[0][0] - t * rows[1][0], rows[0][1] - t * rows[1][1]],
            rows[1],
        ];
        Warp {
            inverse: unsheared.map(|r| r.map(|v| v / scale)),
            shift: [dx, dy],
        }
    }
}

impl Transform for Affine {
    fn output(&self, channels: usize, _size: [usize; 2]) -> Result<(usize, [usize; 2])> {
        let [low, high] = self.scale;
        check(
            "scale",
            &self.scale,
            "0 < low <= high",
            0.0 < low && low <= high,
        )?;
        check(
            "rotation",
            &[self.rotation],
            "0 to 180 degrees",
            (0.0..=180.0).contains(&self.rotation),
        )?;
        check(
            "shear",
            &[self.shear],
            "0 to 80 degrees",
            (0.0..=80.0).contains(&self.shear),
        )?;
        check(
            "shift",
            &[self.shift],
            "0 to 1",
            (0.0..=1.0).contains(&self.shift),
        )?;
        if self.canvas.contains(&0) {
            return Err(Error::config(
                "canvas",
                format!("{:?} has no pixels", self.canvas),
            ));
        }
        Ok((channels, self.canvas))
    }

    fn apply(&self, image: Image, rng: &mut Philox) -> Result<Image> {
        self.output(image.channels(), image.size())?;
        let warp = self.draw(rng);
        let mut canvas = Image::filled(image.channels(), self.canvas, 0.0)?;
        let [h, w] = image.size();
        let [canvas_h, canvas_w] = self.canvas;
        if h * w == 0 {
            return Ok(canvas);
        }
        for (from, to) in image.planes().zip(canvas.planes_mut()) {
            for (y, row) in to.chunks_exact_mut(canvas_w).enumerate() {
                for (x, value) in row.iter_mut().enumerate() {
                    let [sx, sy] = warp.source(
                        x as f64 + 0.5 - 0.5 * canvas_w as f64,
                        y as f64 + 0.5 - 0.5 * canvas_h as f64,
                    );
                    let at = [sy + 0.5 * h as f64 - 0.5, sx + 0.5 * w as f64 - 0.5];
                    *value = bilinear(from, [h, w], at);
                }
            }
        }
        Ok(canvas)
    }
}

/// One drawn warp, as the map back from the canvas.
struct Warp {
    inverse: [[f64; 2]; 2],
    shift: [f64; 2],
}

impl Warp {
    fn source(&self, x: f64, y: f64) -> [f64; 2] {
        let (x, y) = (x - self.shift[0], y - self.shift[1]);
        self.inverse.map(|[a, b]| a * x + b * y)
    }
}

/// The value at a point, in units of pixel centres; 0 outside.
fn bilinear(plane: &[f32], [h, w]: [usize; 2], [y, x]: [f64; 2]) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (fy, fx) = ((y - top) as f32, (x - left) as f32);
    let pixel = |y: f64, x: f64| {
        if y < 0.0 || x < 0.0 || y >= h as f64 || x >= w as f64 {
            return 0.0;
        }
        plane[y as usize * w + x as usize]
    };
    let upper = (1.0 - fx) * pixel(top, left) + fx * pixel(top, left + 1.0);
    let lower = (1.0 - fx) * pixel(top + 1.0, left) + fx * pixel(top + 1.0, left + 1.0);
    (1.0 - fy) * upper + fy * lower
}

/// Sine and cosine of an angle of at most 180 degrees, in operations that round alike on every platform.
fn sin_cos(degrees: f64) -> (f64, f64) {
    let quarters = (degrees / 90.0).round();
    let a = (degrees - 90.0 * quarters).to_radians();
    // Taylor series: nine terms at |a| <= pi/4 leave less than 1e-17.
    let series = |first: i32| {
        (0..9).rev().fold(1.0, |rest, k| {
            1.0 - a * a / f64::from((2 * k + first + 1) * (2 * k + first + 2)) * rest
        })
    };
    let (sin, cos) = (a * series(1), series(0));
    match quarters as i32 {
        1 => (cos, -sin),
        -1 => (-cos, sin),
        2 | -2 => (-sin, -cos),
        _ => (sin, cos),
    }
}

#[cfg(test)]
mod tests {
    use super::super::counting;
    use super::*;

    fn apply(affine: Affine, image: Image) -> Vec<f32> {
        affine
            .apply(image, &mut Philox::new(5))
            .unwrap()
            .values()
            .to_vec()
    }

    #[test]
    fn no_change_is_exact() {
        let image = counting([3, 4]);
        assert_eq!(apply(Affine::canvas([3, 4]), image.clone()), image.values());
    }

    #[test]
    fn a_larger_canvas_surrounds_with_zeros() {
        let values = apply(Affine::canvas([4, 3]), counting([2, 1]));
        assert_eq!(values, [0., 0., 0., 0., 1., 0., 0., 2., 0., 0., 0., 0.]);
    }

    #[test]
    fn doubling_interpolates_between_pixel_centres() {
        let values = apply(Affine::canvas([1, 4]).scale(2.0, 2.0), counting([1, 2]));
        // Centres of the canvas lie at -0.25, 0.25, 0.75, 1.25 of the row 1, 2; its height of one
        // pixel is hit in the middle.
        assert_eq!(values, [0.75, 1.25, 1.75, 1.5]);
    }

    #[test]
    fn a_quarter_turn_turns_the_pixels() {
        let warp = |degrees| {
            let (sin, cos) = sin_cos(degrees);
            Warp {
                inverse: [[cos, sin], [-sin, cos]],
                shift: [0.0, 0.0],
            }
        };
        // The right-hand neighbour of the centre came from above: x to the right, y downwards.
        let [x, y] = warp(90.0).source(1.0, 0.0);
        assert!(x.abs() < 1e-15 && (y + 1.0).abs() < 1e-15, "{x} {y}");
        let turned = apply(Affine::canvas([3, 3]).rotation(180.0), counting([3, 3]));
        assert!(
            (turned[4] - 5.0).abs() < 1e-5,
            "the centre stays: {turned:?}"
        );
    }

    #[test]
    fn draws_stay_in_their_ranges() {
        let affine = Affine::canvas([10, 20]).scale(2.0, 4.0).shift(0.1);
        let mut rng = Philox::new(1);
        for _ in 0..200 {
            let warp = affine.draw(&mut rng);
            assert!(warp.shift[0].abs() <= 2.0 && warp.shift[1].abs() <= 1.0);
            assert!((0.25..=0.5).contains(&warp.inverse[0][0]));
            assert_eq!(warp.inverse[0][1], 0.0);
        }
    }

    #[test]
    fn own_sine_and_cosine_equal_the_library_ones() {
        for i in -1800..=1800 {
            let degrees = f64::from(i) / 10.0;
            let (sin, cos) = sin_cos(degrees);
            let (expected_sin, expected_cos) = degrees.to_radians().sin_cos();
            // The library's angle in radians is itself rounded, by up to 5e-16.
            assert!((sin - expected_sin).abs() < 6e-16, "{degrees}");
            assert!((cos - expected_cos).abs() < 6e-16, "{degrees}");
        }
    }

    #[test]
    fn impossible_settings_are_errors() {
        let canvas = Affine::canvas([4, 4]);
        for (affine, field) in [
            (canvas.scale(0.0, 1.0), "scale"),
            (canvas.scale(2.0, 1.0), "scale"),
            (canvas.rotation(f64::NAN), "rotation"),
            (canvas.shear(90.0), "shear"),
            (canvas.shift(-0.1), "shift"),
            (Affine::canvas([0, 4]), "canvas"),
        ] {
            let message = affine.output(1, [2, 2]).unwrap_err().to_string();
            assert!(message.starts_with(field), "{message}");
            assert!(affine.apply(counting([2, 2]), &mut Philox::new(0)).is_err());
        }
    }
}
