//! Padded pieces of an image with few channels.
//!
//! With one or three channels a tap is too short to be worth a loop of its own. So the taps and the
//! channels become one reduction of `channels * taps` elements: a rectangle of the image is copied
//! with its padding, channel by channel, and element `k` of the reduction lies at a fixed distance
//! `offsets[k]` from the pixel's place in the copy. The copy stays in the caches.

use super::Conv2dGeometry;
use crate::gemm::microkernel::Offsets;
use crate::geometry::Layout;
use std::ops::Range;

/// Output pixels of a band, about.
const PIXELS: usize = 512;

/// Most elements of the copy: a quarter of a second-level cache of 1 MB.
const MAX_LEN: usize = 1 << 16;

/// How the outputs of all images are cut into bands, and what a band reads.
#[derive(Clone, Debug)]
pub(super) struct Bands {
    g: Conv2dGeometry,
    input: Layout,
    /// Output rows and columns of a band.
    size: [usize; 2],
    /// Rows and columns of a channel of the copy.
    copy: [usize; 2],
    /// Bands of an image, down and across.
    count: [usize; 2],
    /// The element that the reduction's `k`-th term reads, in the weights' own order.
    pub(super) offsets: Offsets,
}

/// Output pixels of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) image: usize,
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Bands {
    /// The cut, if the kernel is small enough; the size of the image does not matter.
    pub(super) fn new(g: &Conv2dGeometry, input: Layout) -> Option<Self> {
        let [kernel_h, kernel_w] =
            [0, 1].map(|axis| (g.kernel()[axis] - 1) * g.dilation()[axis] + 1);
        let lines = g.in_channels().checked_mul(kernel_h)?;
        if lines.checked_mul(kernel_w)? > MAX_LEN {
            return None;
        }
        let [oh, ow] = g.out_size();
        let fitting = (MAX_LEN / lines - kernel_w) / g.stride()[1] + 1;
        let columns = ow.min(PIXELS).min(fitting);
        let width = (columns - 1) * g.stride()[1] + kernel_w;
        // Lines follow one another in the output only if they are whole.
        let rows = if columns < ow {
            1
        } else {
            let fitting = MAX_LEN / (width * g.in_channels()) - kernel_h;
            (PIXELS / columns)
                .min(fitting / g.stride()[0] + 1)
                .clamp(1, oh)
        };
        let size = [rows, columns];
        let copy = [(rows - 1) * g.stride()[0] + kernel_h, width];
        let [kh, kw] = g.kernel();
        let mut offsets = Vec::with_capacity(g.in_channels() * g.taps());
        for channel in 0..g.in_channels() {
            for ky in 0..kh {
                let row = channel * copy[0] + ky * g.dilation()[0];
                offsets.extend((0..kw).map(|kx| row * copy[1] + kx * g.dilation()[1]));
            }
        }
        let count = [oh.div_ceil(size[0]), ow.div_ceil(size[1])];
        Some(Self {
            g: *g,
            input,
            size,
            copy,
            count,
            offsets: Offsets::new(offsets),
        })
    }

    /// The number of bands, of all images.
    pub(super) fn count(&self) -> usize {
        self.g.batch() * self.count[0] * self.count[1]
    }

    /// The most pixels of a band.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Elements of the copy of a band.
    pub(super) fn copy_len(&self) -> usize {
        self.g.in_channels() * self.copy[0] * self.copy[1]
    }

    /// Where the copy holds the first tap of output pixel `[y, x]` of the band.
    pub(super) fn place(&self, [y, x]: [usize; 2]) -> usize {
        y * self.g.stride()[0] * self.copy[1] + x * self.g.stride()[1]
    }

    /// The band number `index`.
    pub(super) fn band(&self, index: usize) -> Band {
        let [down, across] = self.count;
        let part = |axis: usize, index: usize| {
            let start = index * self.size[axis];
            start..(start + self.size[axis]).min(self.g.out_size()[axis])
        };
        Band {
            image: index / across / down,
            rows: part(0, index / across % down),
            columns: part(1, index % across),
        }
    }

    /// Copies what a band reads, zeros for the padding.
    pub(super) fn fill(&self, band: &Band, x: &[f32], copy: &mut [f32]) {
        let g = &self.g;
        let ([h, w], channels) = (g.in_size(), g.in_channels());
        let image = &x[band.image * h * w * channels..][..h * w * channels];
        let [height, width] = self.copy;
        // The first row and column of the copy, in a padded image.
        let [y0, x0] = [
            band.rows.start * g.stride()[0],
            band.columns.start * g.stride()[1],
        ];
        let [top, _, left, _] = g.padding();
        // Columns of the copy that lie inside the image.
        let inside = left.saturating_sub(x0).min(width)..(left + w).saturating_sub(x0).min(width);
        let first = (x0 + inside.start).saturating_sub(left);
        for (row, copy) in copy[..channels * height * width]
            .chunks_exact_mut(width)
            .enumerate()
        {
            let (channel, y) = (row / height, y0 + row % height);
            let Some(y) = y.checked_sub(top).filter(|&y| y < h) else {
                copy.fill(0.0);
                continue;
            };
            copy[..inside.start].fill(0.0);
            copy[inside.end..].fill(0.0);
            let copy = &mut copy[inside.clone()];
            match self.input {
                Layout::Nchw => {
                    let start = (channel * h + y) * w + first;
                    copy.copy_from_slice(&image[start..start + copy.len()]);
                }
                Layout::Nhwc => {
                    let pixels = image[(y * w + first) * channels..].iter().skip(channel);
                    copy.iter_mut()
                        .zip(pixels.step_by(channels))
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}
