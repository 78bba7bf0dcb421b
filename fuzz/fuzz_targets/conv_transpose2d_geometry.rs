//! Any geometry of a transposed convolution is refused with an error or computed like the reference.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_kernels::conv_transpose2d::{self, ConvTranspose2dGeometry, PackedWeights, reference};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::view::{View, ViewMut};
use striate_kernels::{Accuracy, Policy};
use striate_simd::Level;

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

/// Small integers: every sum of products is exact, so results must be equal where nothing but such sums is computed.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}

/// How far results may be from sums of `terms` products of two numbers up to 5.
fn bound(accuracy: Accuracy, terms: usize) -> f32 {
    match accuracy {
        Accuracy::Strict => 0.0,
        // The bound of Winograd's algorithms, `docs/numerics.md`.
        _ => 40.0 * 2.0_f32.powi(-24) * 25.0 * terms as f32,
    }
}

fn compare(what: &str, y: &[f32], expected: &[f32], bound: f32) {
    for (i, (y, e)) in y.iter().zip(expected).enumerate() {
        assert!((y - e).abs() <= bound, "{what}: {y} is not {e} at {i}");
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
    if g.multiply_adds() > 3e6 || g.x_len() > 1 << 18 || g.y_len() > 1 << 18 || g.weight_len() > 1 << 18 {
        return;
    }
    let levels = Level::available();
    let level = levels[usize::from(p.level) % levels.len()];
    let accuracy = if p.fast { Accuracy::Fast } else { Accuracy::Strict };
    let policy = Policy { level, accuracy };
    let (x, w, dy) = (numbers(g.x_len(), 1), numbers(g.weight_len(), 2), numbers(g.y_len(), 3));
    let view = |data, shape| View::nhwc(data, shape).expect("the geometry's length");
    let weight = View::nchw(&w, g.weight_shape()).expect("the geometry's length");
    let ok = "valid arguments";

    let (mut y, mut expected) = (vec![0.0; g.y_len()], vec![0.0; g.y_len()]);
    let epilogue = Epilogue::default();
    conv_transpose2d::forward(policy, &g, &x, &w, &epilogue, &mut y).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.y_shape()).expect(ok);
    reference::forward(&g, &view(&x, g.x_shape()), &weight, None, &mut out).expect(ok);
    let limit = bound(accuracy, g.taps() * g.group_in_channels());
    compare(&format!("forward, {policy:?}, {g:?}"), &y, &expected, limit);
    let packed = PackedWeights::new(policy, &g, &w).expect(ok);
    packed.forward(&g, &x, &epilogue, &mut y).expect(ok);
    compare(&format!("forward with kept weights, {policy:?}, {g:?}"), &y, &expected, limit);

    let (mut dx, mut expected) = (vec![0.0; g.x_len()], vec![0.0; g.x_len()]);
    conv_transpose2d::backward_input(policy, &g, &dy, &w, &mut dx).expect(ok);
    let mut out = ViewMut::nhwc(&mut expected, g.x_shape()).expect(ok);
    reference::backward_input(&g, &view(&dy, g.y_shape()), &weight, &mut out).expect(ok);
    let limit = bound(accuracy, g.taps() * g.group_out_channels());
    compare(&format!("gradient of the input, {policy:?}, {g:?}"), &dx, &expected, limit);

    let (mut dw, mut expected) = (vec![0.0; g.weight_len()], vec![0.0; g.weight_len()]);
    conv_transpose2d::backward_weight(policy, &g, &x, &dy, &mut dw).expect(ok);
    let mut out = ViewMut::nchw(&mut expected, g.weight_shape()).expect(ok);
    reference::backward_weight(&g, &view(&x, g.x_shape()), &view(&dy, g.y_shape()), &mut out).expect(ok);
    let terms = (g.x_len() / g.in_channels()).max(g.y_len() / g.out_channels());
    let limit = bound(accuracy, terms);
    compare(&format!("gradient of the weights, {policy:?}, {g:?}"), &dw, &expected, limit);
});
