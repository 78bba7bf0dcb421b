//! Any geometry of a transposed convolution is refused with an error or computed like the reference.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_fuzz::{compare, is_small, nhwc, numbers, policy};
use striate_kernels::conv_transpose2d::{self, ConvTranspose2dGeometry, PackedWeights, reference};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::view::{View, ViewMut};

#[derive(Arbitrary, Debug)]
struct Problem {
    batch: usize,
    channels: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    output_padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    /// Whether the numbers are taken as they are, to try overflow, or folded into a computable range.
    raw: bool,
    level: u8,
    fast: bool,
}

impl Problem {
    fn folded(mut self) -> Self {
        if self.raw {
            return self;
        }
        self.batch %= 3;
        self.groups = 1 + self.groups % 8;
        for c in &mut self.channels {
            *c = (1 + *c % 48) * self.groups;
        }
        self.size = self.size.map(|n| n % 10);
        self.kernel = self.kernel.map(|k| k % 7);
        self.stride = self.stride.map(|s| s % 4);
        self.padding = self.padding.map(|p| p % 6);
        self.output_padding = self.output_padding.map(|p| p % 4);
        self.dilation = self.dilation.map(|d| d % 4);
        self
    }
}

fuzz_target!(|problem: Problem| {
    let p = problem.folded();
    let Ok(g) = ConvTranspose2dGeometry::new(
        p.batch, p.channels[0], p.size, p.channels[1], p.kernel, p.stride, p.padding, p.output_padding, p.dilation,
        p.groups,
    ) else {
        return;
    };
    if !is_small(g.multiply_adds(), [g.x_len(), g.y_len(), g.weight_len()]) {
        return;
    }
    let policy = policy(p.level, p.fast);
    let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.weight_len(), 2), numbers(g.y_len(), 3));
    let weight = View::nchw(&w, g.weight_shape()).expect("the geometry's length");
    let ok = "valid arguments";

    let (mut y, mut expected) = (vec![0.0; g.y_len()], vec![0.0; g.y_len()]);
    let epilogue = Epilogue::default();
    conv_transpose2d::forward(policy, &g, &x, &w, &epilogue, &mut y).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.y_shape()).expect(ok);
    reference::forward(&g, &nhwc(&x, g.x_shape()), &weight, None, &mut out).expect(ok);
    let terms = g.taps() * g.group_in_channels();
    compare("forward", policy, &g, terms, [&y, &expected]);
    let packed = PackedWeights::new(policy, &g, &w).expect(ok);
    packed.forward(&g, &x, &epilogue, &mut y).expect(ok);
    compare("forward with kept weights", policy, &g, terms, [&y, &expected]);

    let (mut dx, mut expected) = (vec![0.0; g.x_len()], vec![0.0; g.x_len()]);
    conv_transpose2d::backward_input(policy, &g, &dy, &w, &mut dx).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.x_shape()).expect(ok);
    reference::backward_input(&g, &nhwc(&dy, g.y_shape()), &weight, &mut out).expect(ok);
    let terms = g.taps() * g.group_out_channels();
    compare("gradient of the input", policy, &g, terms, [&dx, &expected]);

    let (mut dw, mut expected) = (vec![0.0; g.weight_len()], vec![0.0; g.weight_len()]);
    conv_transpose2d::backward_weight(policy, &g, &x, &dy, &mut dw).expect(ok);
    let mut out = ViewMut::nchw(&mut expected, g.weight_shape()).expect(ok);
    reference::backward_weight(&g, &nhwc(&x, g.x_shape()), &nhwc(&dy, g.y_shape()), &mut out).expect(ok);
    let terms = (g.x_len() / g.in_channels()).max(g.y_len() / g.out_channels());
    compare("gradient of the weights", policy, &g, terms, [&dw, &expected]);
});
