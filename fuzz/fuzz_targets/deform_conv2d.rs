//! Any deformable convolution, whatever its offsets, is refused with an error or computed like its formula, forward and backward.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_fuzz::{close, fractions, is_small, level, wide};
use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::deform_conv2d::{self, DeformConv2dGeometry, Inputs, PackedWeights, reference};

#[derive(Arbitrary, Debug)]
struct Problem {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
    offset_groups: usize,
    masked: bool,
    /// Some of the offsets; the others are up to two pixels.
    offsets: Vec<f32>,
    raw: bool,
    level: u8,
}

impl Problem {
    fn folded(mut self) -> Self {
        if self.raw {
            return self;
        }
        self.batch %= 3;
        self.groups = 1 + self.groups % 3;
        self.offset_groups = 1 + self.offset_groups % 3;
        for c in &mut self.channels {
            *c = (1 + *c % 12) * self.groups * self.offset_groups;
        }
        self.size = self.size.map(|n| n % 10);
        self.kernel = self.kernel.map(|k| k % 5);
        self.stride = self.stride.map(|s| s % 4);
        self.padding = self.padding.map(|p| p % 4);
        self.dilation = self.dilation.map(|d| d % 4);
        self
    }
}

fuzz_target!(|problem: Problem| {
    let p = problem.folded();
    let conv = Conv2dGeometry::new(
        p.batch, p.channels[0], p.size, p.channels[1], p.kernel, p.stride, p.padding, p.dilation, p.groups,
    );
    let Ok(g) = conv.and_then(|conv| DeformConv2dGeometry::new(conv, p.offset_groups)) else {
        return;
    };
    let conv = *g.conv();
    let [offset_len, mask_len] = [g.offset_shape(), g.mask_shape()].map(|shape| shape.iter().product());
    let lengths = [conv.x_len().max(conv.y_len()), conv.weight_len(), offset_len];
    if !is_small(conv.multiply_adds(), lengths) {
        return;
    }
    let (level, ok) = (level(p.level), "valid arguments");
    let (x, w, dy) = (fractions(conv.x_len(), 1), fractions(conv.weight_len(), 2), fractions(conv.y_len(), 3));
    let mut offset: Vec<f32> = fractions(offset_len, 4).iter().map(|v| 2.0 * v).collect();
    for (own, given) in offset.iter_mut().zip(&p.offsets) {
        *own = *given;
    }
    let mask = p.masked.then(|| fractions(mask_len, 5));
    let inputs = Inputs { x: &x, offset: &offset, mask: mask.as_deref() };
    let packed = PackedWeights::new(level, &g, &w).expect(ok);
    let mut y = vec![f32::NAN; conv.y_len()];
    deform_conv2d::forward(level, &g, &inputs, &packed, None, &mut y).expect(ok);
    let (mut dx, mut doffset, mut dmask) =
        (vec![f32::NAN; x.len()], vec![f32::NAN; offset_len], vec![f32::NAN; mask_len]);
    deform_conv2d::backward_input(level, &g, &inputs, &w, &dy, [&mut dx, &mut doffset, &mut dmask]).expect(ok);
    let mut dw = vec![f32::NAN; w.len()];
    deform_conv2d::backward_weight(level, &g, &inputs, &dy, &mut dw).expect(ok);
    if !p.offsets.is_empty() {
        return;
    }
    let (wide_x, wide_offset, wide_mask) = (wide(&x), wide(&offset), mask.as_deref().map(wide));
    let inputs = Inputs { x: &wide_x, offset: &wide_offset, mask: wide_mask.as_deref() };
    let mut exact = vec![f64::NAN; y.len()];
    reference::forward(&g, &inputs, &wide(&w), None, &mut exact);
    close("deform_conv2d", &g, w.len(), &y, &exact);
    let mut exact = vec![f64::NAN; w.len()];
    deform_conv2d::backward_weight(level, &g, &inputs, &wide(&dy), &mut exact).expect(ok);
    close("gradient of the weights", &g, y.len(), &dw, &exact);
    let mut exact = vec![f64::NAN; x.len()];
    let mut others = [vec![0.0; offset_len], vec![0.0; mask_len]];
    let [a, b] = &mut others;
    deform_conv2d::backward_input(level, &g, &inputs, &wide(&w), &wide(&dy), [&mut exact, a, b]).expect(ok);
    close("gradient of the input", &g, y.len() * conv.taps(), &dx, &exact);
});
