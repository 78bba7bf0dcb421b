//! Pictures as files have them: JPEG and PNG, eight bits a channel.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::{Error, Malformed, Result, malformed};

/// The largest side of a picture that is read.
pub const MAX_SIDE: u32 = 1 << 15;

/// What memory the decoding of one picture may take, in bytes.
pub const MAX_DECODED: usize = 1 << 29;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG_SIGNATURE: &[u8] = b"\xff\xd8\xff";

/// Rows of pixels, top to bottom; the channels of a pixel lie side by side: one of brightness, or red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    size: [usize; 2],
    channels: usize,
    bytes: Vec<u8>,
}

impl Picture {
    /// A picture of `size` (height and width) with 1 or 3 `channels`.
    ///
    /// # Errors
    /// When there are other `channels`, or `bytes` does not hold `height * width * channels` values.
    pub fn new(size: [usize; 2], channels: usize, bytes: Vec<u8>) -> Result<Self> {
        let [h, w] = size;
        let len = h.checked_mul(w).and_then(|n| n.checked_mul(channels));
        if !matches!(channels, 1 | 3) || len != Some(bytes.len()) {
            return Err(Error::Mismatch(format!(
                "a picture of {h}x{w} pixels and {channels} channels (1 or 3) cannot have {} values",
                bytes.len()
            )));
        }
        Ok(Self {
            size,
            channels,
            bytes,
        })
    }

    /// Reads a JPEG or PNG file, whatever its name. Transparency is dropped, and 16 bits become 8.
    ///
    /// # Errors
    /// When the file cannot be read, is no picture, is damaged, or is larger than [`MAX_SIDE`] or [`MAX_DECODED`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::decode(&bytes).map_err(|e| Error::malformed(path, e))
    }

    /// Decodes a JPEG or PNG file in memory, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// When the bytes are no picture, are damaged, or stand for one larger than [`MAX_SIDE`] or [`MAX_DECODED`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.starts_with(PNG_SIGNATURE) {
            decode_png(bytes)
        } else if bytes.starts_with(JPEG_SIGNATURE) {
            decode_jpeg(bytes)
        } else {
            Err(malformed!("neither a JPEG nor a PNG file"))
        }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// When the picture has no pixels, or more on a side than the format can name.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let [h, w] = self.size;
        let refused = |reason: String| Error::Mismatch(format!("a picture of {h}x{w}: {reason}"));
        let [height, width] = [h, w].map(|n| u32::try_from(n).unwrap_or(0));
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(match self.channels {
            1 => ColorType::Grayscale,
            _ => ColorType::Rgb,
        });
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(|e| refused(e.to_string()))?;
        writer
            .write_image_data(&self.bytes)
            .and_then(|()| writer.finish())
            .map_err(|e| refused(e.to_string()))?;
        Ok(file)
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All values, row after row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All values, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// One channel of brightness, `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601, in Pillow's fixed point).
    pub fn into_grey(self) -> Self {
        if self.channels == 1 {
            return self;
        }
        let luma = |rgb: &[u8]| {
            let weighted = rgb.iter().zip([19_595, 38_470, 7_471]);
            let sum: u32 = weighted.map(|(&v, weight)| u32::from(v) * weight).sum();
            ((sum + 0x8000) >> 16) as u8
        };
        Self {
            channels: 1,
            bytes: self.bytes.chunks_exact(3).map(luma).collect(),
            ..self
        }
    }

    /// Three channels; those of a grey picture are equal.
    pub fn into_rgb(self) -> Self {
        if self.channels == 3 {
            return self;
        }
        Self {
            channels: 3,
            bytes: self.bytes.iter().flat_map(|&v| [v; 3]).collect(),
            ..self
        }
    }
}

/// Refuses a picture that is too large to be decoded.
fn check_size(width: usize, height: usize) -> Result<(), Malformed> {
    let side = MAX_SIDE as usize;
    // Four channels of two bytes are the most that a file has.
    if width > side || height > side || width * height > MAX_DECODED / 8 {
        return Err(malformed!(
            "{width}x{height} pixels are too many: a side has at most {MAX_SIDE}, all {}",
            MAX_DECODED / 8
        ));
    }
    Ok(())
}

fn decode_png(bytes: &[u8]) -> Result<Picture, Malformed> {
    let failed = |e: png::DecodingError| malformed!("{e}");
    let limits = png::Limits { bytes: MAX_DECODED };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let len = reader.output_buffer_size().unwrap_or(usize::MAX);
    if len > MAX_DECODED {
        return Err(malformed!("{width}x{height} pixels take too much memory"));
    }
    let mut decoded = vec![0; len];
    reader.next_frame(&mut decoded).map_err(failed)?;
    let (stored, kept) = match reader.output_color_type().0 {
        ColorType::Grayscale => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgba => (4, 3),
        ColorType::Rgb | ColorType::Indexed => (3, 3),
    };
    if kept < stored {
        let pixels = decoded.chunks_exact(stored);
        decoded = pixels.flat_map(|pixel| &pixel[..kept]).copied().collect();
    }
    Picture::new([height, width], kept, decoded).map_err(|e| malformed!("{e}"))
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture, Malformed> {
    let failed = |e: zune_jpeg::errors::DecodeErrors| {
        // Some messages are longer than a line.
        let message = e.to_string();
        malformed!("{}", message.lines().next().unwrap_or("damaged"))
    };
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let Some(info) = decoder.info() else {
        return Err(malformed!("the header has no size"));
    };
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    let (colours, channels) = match info.components {
        1 => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let decoded = decoder.decode().map_err(failed)?;
    Picture::new([height, width], channels, decoded).map_err(|e| malformed!("{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 x 2 pixels of (255, 0, 51), written by Pillow at quality 95.
    const RED: &[u8] = include_bytes!("testdata/red.jpg");

    fn stripes() -> Picture {
        let bytes = (0..3 * 2 * 3).map(|i| 14 * i as u8).collect();
        Picture::new([2, 3], 3, bytes).unwrap()
    }

    #[test]
    fn png_files_keep_every_value() {
        let file = stripes().to_png().unwrap();
        assert_eq!(Picture::decode(&file).unwrap(), stripes());
        let grey = stripes().into_grey();
        assert_eq!(Picture::decode(&grey.to_png().unwrap()).unwrap(), grey);
        assert!(Picture::new([0, 3], 1, vec![]).unwrap().to_png().is_err());
    }

    #[test]
    fn jpeg_files_are_near() {
        let red = Picture::decode(RED).unwrap();
        assert_eq!((red.size(), red.channels()), ([2, 4], 3));
        for pixel in red.bytes().chunks_exact(3) {
            let distance = pixel.iter().zip([255, 0, 51]);
            assert!(
                distance.into_iter().all(|(&a, b)| a.abs_diff(b) <= 3),
                "{pixel:?}"
            );
        }
    }

    #[test]
    fn grey_is_pillows() {
        let picture = Picture::new([1, 3], 3, vec![255, 0, 51, 10, 200, 30, 255, 255, 255]);
        assert_eq!(picture.unwrap().into_grey().bytes(), [82, 124, 255]);
        let grey = Picture::new([1, 2], 1, vec![7, 9]).unwrap();
        assert_eq!(grey.into_rgb().bytes(), [7, 7, 7, 9, 9, 9]);
    }

    #[test]
    fn damaged_files_are_refused() {
        let png = stripes().to_png().unwrap();
        for file in [&png[..], RED] {
            for len in [0, 4, 20, file.len() / 2, file.len() - 20] {
                let error = Picture::decode(&file[..len]).unwrap_err().to_string();
                assert!(!error.is_empty() && !error.contains('\n'), "{len}: {error}");
            }
        }
        assert!(
            Picture::decode(b"GIF89a")
                .unwrap_err()
                .to_string()
                .contains("neither")
        );
        // A header that claims 2^31 - 1 columns.
        let mut wide = png;
        wide[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let checksum = crc(&wide[12..29]);
        wide[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = Picture::decode(&wide).unwrap_err().to_string();
        assert!(error.contains("too many"), "{error}");
    }

    /// The checksum of a PNG chunk.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}
