//! Any geometry is refused with an error or computed like the reference, forward and backward.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_kernels::conv2d::{self, Conv2dGeometry, reference};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

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
    /// Whether the numbers are taken as they are, to try overflow, or folded into a computable range.
    raw: bool,
    level: u8,
}

impl Problem {
    fn folded(mut self) -> Self {
        if self.raw {
            return self;
        }
        self.batch %= 3;
        self.groups = 1 + self.groups % 8;
        for c in &mut self.channels {
            *c = (1 + *c % 12) * self.groups;
        }
        self.size = self.size.map(|n| n % 14);
        self.kernel = self.kernel.map(|k| k % 6);
        self.stride = self.stride.map(|s| s % 4);
        self.padding = self.padding.map(|p| p % 8);
        self.dilation = self.dilation.map(|d| d % 4);
        self
    }
}

/// Small integers: every sum is exact, so results must be equal.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}

fuzz_target!(|problem: Problem| {
    let p = problem.folded();
    let Ok(g) = Conv2dGeometry::new(
        p.batch, p.channels[0], p.size, p.channels[1], p.kernel, p.stride, p.padding, p.dilation, p.groups,
    ) else {
        return;
    };
    if g.multiply_adds() > 3e6 || g.x_len() > 1 << 18 || g.y_len() > 1 << 18 || g.weight_len() > 1 << 18 {
        return;
    }
    let levels = Level::available();
    let level = levels[usize::from(p.level) % levels.len()];
    let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.weight_len(), 2), numbers(g.y_len(), 3));
    let view = |data, shape| View::nhwc(data, shape).expect("the geometry's length");
    let weight = View::nchw(&w, g.weight_shape()).expect("the geometry's length");
    let ok = "valid arguments";

    let (mut y, mut expected) = (vec![0.0; g.y_len()], vec![0.0; g.y_len()]);
    conv2d::forward(level, &g, &x, &w, &Epilogue::default(), &mut y).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.y_shape()).expect(ok);
    reference::forward(&g, &view(&x, g.x_shape()), &weight, None, &mut out).expect(ok);
    assert_eq!(y, expected, "forward at {level} of {g:?}");

    let (mut dx, mut expected) = (vec![0.0; g.x_len()], vec![0.0; g.x_len()]);
    conv2d::backward_input(level, &g, &dy, &w, &mut dx).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.x_shape()).expect(ok);
    reference::backward_input(&g, &view(&dy, g.y_shape()), &weight, &mut out).expect(ok);
    assert_eq!(dx, expected, "gradient of the input at {level} of {g:?}");

    let (mut dw, mut expected) = (vec![0.0; g.weight_len()], vec![0.0; g.weight_len()]);
    conv2d::backward_weight(level, &g, &x, &dy, &mut dw).expect(ok);
    let mut out = ViewMut::nchw(&mut expected, g.weight_shape()).expect(ok);
    reference::backward_weight(&g, &view(&x, g.x_shape()), &view(&dy, g.y_shape()), &mut out).expect(ok);
    assert_eq!(dw, expected, "gradient of the weights at {level} of {g:?}");
});
