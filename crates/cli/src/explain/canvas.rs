//! Rectangles, text and enlarged pictures on an image.

use striate::train::data::Picture;

use super::font;

pub(super) type Colour = [u8; 3];

pub(super) const WHITE: Colour = [255, 255, 255];
pub(super) const INK: Colour = [40, 40, 48];
pub(super) const FAINT: Colour = [216, 218, 224];

/// Coloured pixels to draw on.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    width: u32,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A canvas whose pixels have the colours that `colour` tells for their column and row.
    pub(crate) fn from_fn(
        [width, height]: [u32; 2],
        mut colour: impl FnMut(u32, u32) -> Colour,
    ) -> Self {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self {
            width,
            pixels: places.map(|(x, y)| colour(x, y)).collect(),
        }
    }

    /// Width and height.
    pub(super) fn size(&self) -> [u32; 2] {
        let height = self.pixels.len().checked_div(self.width as usize);
        [self.width, height.unwrap_or(0) as u32]
    }

    /// The colour at a column and row inside.
    pub(super) fn pixel(&self, x: u32, y: u32) -> Colour {
        self.pixels[self.place(x, y)]
    }

    /// The colour at a column and row inside, to change.
    pub(super) fn pixel_mut(&mut self, x: u32, y: u32) -> &mut Colour {
        let place = self.place(x, y);
        &mut self.pixels[place]
    }

    fn place(&self, x: u32, y: u32) -> usize {
        y as usize * self.width as usize + x as usize
    }

    /// The drawing as a PNG file.
    pub(crate) fn to_png(&self) -> striate::train::Result<Vec<u8>> {
        let [width, height] = self.size().map(|n| n as usize);
        Picture::new([height, width], 3, self.pixels.concat())?.to_png()
    }
}

/// Fills a rectangle; what lies outside of the image is left out.
pub(super) fn fill(
    image: &mut Canvas,
    [x, y]: [u32; 2],
    [width, height]: [u32; 2],
    colour: Colour,
) {
    let [columns, rows] = image.size();
    let right = x.saturating_add(width).min(columns);
    let bottom = y.saturating_add(height).min(rows);
    for row in y..bottom {
        for column in x..right {
            *image.pixel_mut(column, row) = colour;
        }
    }
}

/// Writes text with dots of `dot` by `dot` pixels; `[x, y]` is its top left corner.
pub(super) fn text(image: &mut Canvas, [x, y]: [u32; 2], dot: u32, colour: Colour, text: &str) {
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
    image: &mut Canvas,
    [x, y]: [u32; 2],
    side: u32,
    picture: &Canvas,
) -> [u32; 2] {
    let [width, height] = picture.size();
    if width == 0 || height == 0 {
        return [0, 0];
    }
    let longest = width.max(height);
    let [drawn_w, drawn_h] = [width, height].map(|n| (n * side / longest).max(1));
    for row in 0..drawn_h {
        for column in 0..drawn_w {
            let pixel = picture.pixel(column * width / drawn_w, row * height / drawn_h);
            fill(image, [x + column, y + row], [1, 1], pixel);
        }
    }
    [drawn_w, drawn_h]
}
