//! Rectangles, text and enlarged pictures on an image.

use image::{Rgb, RgbImage};

use super::font;

pub(super) type Colour = [u8; 3];

pub(super) const WHITE: Colour = [255, 255, 255];
pub(super) const INK: Colour = [40, 40, 48];
pub(super) const FAINT: Colour = [216, 218, 224];

/// Fills a rectangle; what lies outside of the image is left out.
pub(super) fn fill(
    image: &mut RgbImage,
    [x, y]: [u32; 2],
    [width, height]: [u32; 2],
    colour: Colour,
) {
    let right = x.saturating_add(width).min(image.width());
    let bottom = y.saturating_add(height).min(image.height());
    for row in y..bottom {
        for column in x..right {
            image.put_pixel(column, row, Rgb(colour));
        }
    }
}

/// Writes text with dots of `dot` by `dot` pixels; `[x, y]` is its top left corner.
pub(super) fn text(image: &mut RgbImage, [x, y]: [u32; 2], dot: u32, colour: Colour, text: &str) {
    for (i, letter) in text.chars().enumerate() {
        let left = x + i as u32 * font::ADVANCE * dot;
        for (row, bits) in font::glyph(letter).into_iter().enumerate() {
            for column in (0..5).filter(|c| bits & (0b10000 >> c) != 0) {
                fill(
                    image,
                    [left + column * dot, y + row as u32 * dot],
                    [dot, dot],
                    colour,
                );
            }
        }
    }
}

/// The width of a text in pixels.
pub(super) fn text_width(dot: u32, text: &str) -> u32 {
    text.chars().count() as u32 * font::ADVANCE * dot
}

/// As much of a text as fits into `width` pixels.
pub(super) fn clipped(dot: u32, text: &str, width: u32) -> String {
    text.chars()
        .take((width / (font::ADVANCE * dot)) as usize)
        .collect()
}

/// Draws `picture` with its pixels as squares, as large as fits into a square of `side`, and returns the size drawn.
pub(super) fn picture(
    image: &mut RgbImage,
    [x, y]: [u32; 2],
    side: u32,
    picture: &RgbImage,
) -> [u32; 2] {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return [0, 0];
    }
    let longest = width.max(height);
    let [drawn_w, drawn_h] = [width, height].map(|n| (n * side / longest).max(1));
    for row in 0..drawn_h {
        for column in 0..drawn_w {
            let pixel = picture.get_pixel(column * width / drawn_w, row * height / drawn_h);
            fill(image, [x + column, y + row], [1, 1], pixel.0);
        }
    }
    [drawn_w, drawn_h]
}
