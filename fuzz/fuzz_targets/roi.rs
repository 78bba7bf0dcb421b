//! Any pooling of regions, whatever the regions and offsets, is refused with an error or computed like its formula.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use striate_fuzz::{close, fractions, is_small, level, wide};
use striate_kernels::real::Real;
use striate_kernels::roi::{self, Inputs, RoiGeometry, RoiOffsets, RoiSampling};
use striate_simd::Level;

#[derive(Arbitrary, Debug)]
struct Problem {
    input: [usize; 4],
    bins: [usize; 2],
    groups: Option<[usize; 2]>,
    offsets: Option<(usize, [usize; 2])>,
    scale: f32,
    samples: usize,
    sampling: u8,
    /// The corners of the regions, four numbers each.
    corners: Vec<f32>,
    raw: bool,
    level: u8,
}

impl Problem {
    fn folded(mut self) -> Self {
        if self.raw {
            return self;
        }
        self.bins = self.bins.map(|n| n % 5);
        let groups = self.groups.as_mut().map_or(1, |groups| {
            *groups = groups.map(|n| n % 4);
            groups[0] * groups[1]
        });
        let classes = self.offsets.as_mut().map_or(1, |(classes, parts)| {
            *parts = parts.map(|n| n % 4);
            *classes %= 4;
            *classes
        });
        self.input = [1 + self.input[0] % 2, self.input[1] % 9 * groups * classes, self.input[2] % 12, self.input[3] % 12];
        self.samples %= 5;
        self.corners.iter_mut().for_each(|c| *c = if c.is_finite() { *c % 50.0 } else { *c });
        self
    }

    fn geometry(&self, rois: usize) -> Option<RoiGeometry> {
        let sampling = match self.sampling % 4 {
            0 => RoiSampling::Align { ratio: self.samples, aligned: true },
            1 => RoiSampling::Align { ratio: self.samples, aligned: false },
            2 => RoiSampling::Pixels,
            _ => RoiSampling::Steps(self.samples),
        };
        let mut g = RoiGeometry::new("roi", self.input, rois, self.bins, self.scale.into(), sampling).ok()?;
        if let Some(groups) = self.groups {
            g = g.with_groups("roi", groups).ok()?;
        }
        if let Some((classes, parts)) = self.offsets {
            g = g.with_offsets("roi", RoiOffsets { classes, parts, gamma: 0.1 }).ok()?;
        }
        Some(g)
    }
}

/// The value, and the gradients by images and offsets.
fn run<R: Real>(level: Level, g: &RoiGeometry, [rois, offsets, x, dy]: [&[R]; 4]) -> [Vec<R>; 3] {
    let (ok, inputs) = ("valid arguments", Inputs { rois, offsets });
    let (mut y, mut dx, mut doffsets) = (vec![R::NAN; dy.len()], vec![R::NAN; x.len()], vec![R::NAN; offsets.len()]);
    roi::forward(level, g, &inputs, x, &mut y).expect(ok);
    roi::backward_input(level, g, &inputs, dy, &mut dx).expect(ok);
    roi::backward_offsets(level, g, &inputs, x, dy, &mut doffsets).expect(ok);
    [y, dx, doffsets]
}

fuzz_target!(|problem: Problem| {
    let p = problem.folded();
    let rois = p.corners.len() / 4;
    let Some(g) = p.geometry(rois) else {
        return;
    };
    let [x_len, y_len] = [g.input(), g.output()].map(|shape| shape.iter().product());
    let offsets_len = g.offset_shape().iter().product();
    if rois > 16 || p.input[0] == 0 || p.samples > 8 || !is_small(0.0, [x_len, y_len, offsets_len]) {
        return;
    }
    let level = level(p.level);
    let regions: Vec<f32> = p
        .corners
        .chunks_exact(4)
        .enumerate()
        .flat_map(|(i, corners)| [&[(i % p.input[0]) as f32], corners].concat())
        .collect();
    let (offsets, x, dy) = (fractions(offsets_len, 1), fractions(x_len, 2), fractions(y_len, 3));
    let [y, dx, _] = run(level, &g, [&regions, &offsets, &x, &dy]);
    let [exact_y, exact_dx, _] = run(level, &g, [&wide(&regions), &wide(&offsets), &wide(&x), &wide(&dy)]);
    close("pooling of regions", &g, 16, &y, &exact_y);
    close("gradient of the images", &g, y_len, &dx, &exact_dx);

    let plain = RoiGeometry::new("roi", p.input, rois, p.bins, p.scale.into(), RoiSampling::Pixels);
    let plain = plain.expect("it was valid with other options");
    let len = plain.output().iter().product();
    if len > 1 << 18 {
        return;
    }
    let (mut y, mut dx) = (vec![f32::NAN; len], vec![f32::NAN; x.len()]);
    roi::largest(level, &plain, &regions, &x, &mut y).expect("valid arguments");
    assert!(y.iter().all(|v| *v == 0.0 || x.contains(v)), "a largest pixel is a pixel: {plain:?}");
    let dy = fractions(len, 4);
    roi::largest_backward(level, &plain, &regions, &x, &dy, &mut dx).expect("valid arguments");
});
