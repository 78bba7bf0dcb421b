//! Convolutions in a row, of which the maps in between are never whole: the inside of an inverted residual.
//!
//! ```text
//! wide     = pointwise(x)            left out, if x is wide
//! filtered = depthwise(wide)
//! y        = pointwise(filtered)     or filtered itself
//! ```
//!
//! The wide maps are several times as large as what goes in and comes out, and leave a second-level cache long before
//! they are read. So the output is computed in bands of rows, through copies of the rows of the maps that a band needs:
//! those stay in the cache. Rows that two bands of a task read are computed once and moved; those that two tasks read are
//! computed by both.
//!
//! Every element is computed as by the convolutions one after the other, so that it has the same bits.

use super::packed::PackedWeights;
use super::{Conv2dGeometry, OP};
use crate::disjoint::DisjointMut;
use crate::dwconv;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::geometry::GeometryError;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::Buffer;

/// Elements of the rows that a band keeps: half of a second-level cache of 1 MB.
const BAND: usize = 1 << 17;

/// Elements of the wide maps of all images that caches do not keep until they are read again.
const FAR: usize = 1 << 18;

/// Tasks that are enough for the threads there may be.
const TASKS: usize = 4;

/// Rows of a task that are worth computing one more.
const WORTH: usize = 8;

/// One of the convolutions, and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Its shape.
    pub geometry: Conv2dGeometry,
    /// Its weights.
    pub weights: &'a PackedWeights,
    /// What follows it.
    pub epilogue: Epilogue<'a>,
}

/// Convolutions of which each reads what the one before computes.
#[derive(Debug)]
pub struct Chain<'a> {
    links: &'a [Link<'a>],
    parts: Parts<&'a Link<'a>>,
    plan: Plan,
}

/// The roles in a chain.
#[derive(Clone, Copy, Debug)]
struct Parts<L> {
    widen: Option<L>,
    depthwise: L,
    narrow: Option<L>,
}

impl<'a, L> Parts<&'a L> {
    /// The parts of a chain that can be computed in bands.
    fn of(links: &'a [L], geometry: impl Fn(&L) -> &Conv2dGeometry) -> Option<Self> {
        let (widen, depthwise, narrow) = match links {
            [a, b] if is_depthwise(geometry(a)) => (None, a, Some(b)),
            [a, b] => (Some(a), b, None),
            [a, b, c] => (Some(a), b, Some(c)),
            _ => return None,
        };
        let mut pointwise = [widen, narrow].into_iter().flatten();
        let joined = links.windows(2).all(|pair| {
            let [from, to] = [geometry(&pair[0]), geometry(&pair[1])];
            from.y_shape() == to.x_shape()
        });
        let suits = is_depthwise(geometry(depthwise))
            && pointwise.all(|link| is_pointwise(geometry(link)))
            && joined;
        suits.then_some(Self {
            widen,
            depthwise,
            narrow,
        })
    }
}

fn is_pointwise(g: &Conv2dGeometry) -> bool {
    let plain = [g.kernel(), g.stride()] == [[1; 2]; 2] && g.padding() == [0; 4];
    plain && g.groups() == 1 && g.in_size().iter().all(|&len| len > 0)
}

fn is_depthwise(g: &Conv2dGeometry) -> bool {
    let each = g.groups() > 1 && g.groups() == g.in_channels() && g.groups() == g.out_channels();
    // Each row of the output reads some of the input.
    let [top, bottom, ..] = g.padding();
    each && top.max(bottom) < span(g)
}

/// Rows that one row of the output reads.
fn span(g: &Conv2dGeometry) -> usize {
    g.dilation()[0] * (g.kernel()[0] - 1) + 1
}

/// How the rows of the output are cut.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Rows of an image into tasks.
    tasks: Cut,
    /// Rows of a band.
    rows: usize,
}

impl Plan {
    /// The cut, if bands are faster than whole maps. A pure function of the shapes.
    fn new(parts: &Parts<&Conv2dGeometry>) -> Option<Self> {
        let g = parts.depthwise;
        let [[h, w], [out_h, out_w]] = [g.in_size(), g.out_size()];
        let channels = g.in_channels();
        let most = g.x_len().max(g.y_len());
        // What is read once more for each band is the weights.
        let of_pixel = parts.widen.map_or(0, |g| g.in_channels())
            + parts.narrow.map_or(0, |g| g.out_channels());
        if most < FAR || of_pixel > h * w || out_h == 0 {
            return None;
        }
        let (wide_row, row) = (
            if parts.widen.is_some() {
                w * channels
            } else {
                0
            },
            if parts.narrow.is_some() {
                out_w * channels
            } else {
                0
            },
        );
        let (span, stride) = (span(g), g.stride()[0]);
        // (rows - 1) * stride + span rows of the wide map for `rows` of the output.
        let first = span.checked_mul(wide_row)?.checked_add(row)?;
        let more = (BAND.checked_sub(first)?) / (stride * wide_row + row).max(1);
        let rows = (1 + more).min(out_h);
        // The depthwise convolution computes pairs of rows.
        let rows = rows - if rows > 1 { rows % 2 } else { 0 };
        let again = if parts.widen.is_some() {
            span.saturating_sub(stride)
        } else {
            0
        };
        let least = (WORTH * again).div_ceil(stride).max(rows);
        let most = TASKS.div_ceil(g.batch().max(1)).min(out_h / least);
        // An even number, so that two threads end together.
        let tasks = if most < 2 { 1 } else { most - most % 2 };
        Some(Self {
            tasks: Cut::every(out_h, out_h.div_ceil(tasks)),
            rows,
        })
    }
}

impl<'a> Chain<'a> {
    /// Whether convolutions one after the other, of such shapes, are computed faster in bands.
    pub fn suits(geometries: &[Conv2dGeometry]) -> bool {
        let parts = Parts::of(geometries, |g| g);
        parts.is_some_and(|parts| Plan::new(&parts).is_some())
    }

    /// A chain, if it [suits](Self::suits) bands and the weights are in the order of a product and of a depthwise convolution.
    pub fn new(links: &'a [Link<'a>]) -> Option<Self> {
        let parts = Parts::of(links, |link| &link.geometry)?;
        let plan = Plan::new(&Parts {
            widen: parts.widen.map(|link| &link.geometry),
            depthwise: &parts.depthwise.geometry,
            narrow: parts.narrow.map(|link| &link.geometry),
        })?;
        let level = parts.depthwise.weights.level();
        let mut pointwise = [parts.widen, parts.narrow].into_iter().flatten();
        let suits = links.iter().all(|link| link.weights.level() == level)
            && parts.depthwise.weights.depthwise().is_some()
            && pointwise.all(|link| link.weights.pointwise(&link.geometry, &[]).is_some());
        suits.then_some(Self { links, parts, plan })
    }

    /// Computes `y` (NHWC) from `x` (NHWC).
    ///
    /// # Errors
    /// If a slice does not have its geometry's length, weights were packed for another convolution, a residual is not
    /// the last convolution's, or memory runs out.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
        let Plan { tasks, rows } = self.plan;
        let g = &self.parts.depthwise.geometry;
        self.check(x, y)?;
        let row = y.len() / (g.batch() * g.out_size()[0]).max(1);
        let y = DisjointMut::new(y);
        parallel::try_for_each(g.batch() * tasks.tasks(), |task| {
            let (image, lines) = (task / tasks.tasks(), tasks.range(task % tasks.tasks()));
            let first = image * g.out_size()[0];
            let mut out = y.range((first + lines.start) * row..(first + lines.end) * row);
            let mut task = Task::new(self, image, x)?;
            for start in lines.clone().step_by(rows) {
                let band = start..(start + rows).min(lines.end);
                let place = (start - lines.start) * row..(band.end - lines.start) * row;
                task.band(band, &mut out[place])?;
            }
            Ok(())
        })
    }

    /// Checks all lengths, that the weights serve the geometries, and that only the output has a residual.
    fn check(&self, x: &[f32], y: &[f32]) -> Result<(), KernelError> {
        let g = |i: usize| &self.links[i].geometry;
        check_len(OP, "x", x.len(), g(0).x_len())?;
        check_len(OP, "y", y.len(), g(self.links.len() - 1).y_len())?;
        for (i, link) in self.links.iter().enumerate() {
            let channels = g(i).out_channels();
            link.weights.check_geometry(g(i))?;
            link.epilogue
                .check(OP, g(i).y_len() / channels, channels, channels)?;
            if i + 1 < self.links.len() && link.epilogue.residual.is_some() {
                let rule = "only the last convolution of a chain has one";
                return Err(GeometryError::new(OP, "residual", i.to_string(), rule).into());
            }
        }
        Ok(())
    }
}

/// Bands of an image, one after the other.
struct Task<'c> {
    parts: Parts<&'c Link<'c>>,
    image: usize,
    x: &'c [f32],
    wide: Wide<'c>,
    /// Rows of the filtered map, if that is not the output.
    filtered: Buffer<f32>,
}

/// What the depthwise convolution reads.
enum Wide<'c> {
    /// Whole images.
    Whole,
    /// Some rows of the image.
    Rows(Rows<'c>),
}

struct Rows<'c> {
    link: &'c Link<'c>,
    data: Buffer<f32>,
    held: Range<usize>,
}

impl<'c> Task<'c> {
    fn new(chain: &'c Chain<'_>, image: usize, x: &'c [f32]) -> Result<Self, KernelError> {
        let parts = chain.parts;
        let g = &parts.depthwise.geometry;
        let rows = chain.plan.rows;
        let needed = ((rows - 1) * g.stride()[0] + span(g)).min(g.in_size()[0]);
        let wide = match parts.widen {
            None => Wide::Whole,
            Some(link) => Wide::Rows(Rows {
                link,
                data: Buffer::recycled(needed * g.in_size()[1] * g.in_channels())?,
                held: 0..0,
            }),
        };
        let filtered = parts
            .narrow
            .map_or(0, |_| rows * g.out_size()[1] * g.in_channels());
        let len = x.len() / g.batch();
        Ok(Self {
            parts,
            image,
            x: &x[image * len..][..len],
            wide,
            filtered: Buffer::recycled(filtered)?,
        })
    }

    /// Computes some rows of the image's output.
    fn band(&mut self, rows: Range<usize>, out: &mut [f32]) -> Result<(), KernelError> {
        let Link {
            geometry: g,
            weights,
            epilogue,
        } = self.parts.depthwise;
        let level = weights.level();
        let weights = weights.depthwise().unwrap_or_default();
        let (needed, g) = part(g, &rows)?;
        let source = match &mut self.wide {
            Wide::Whole => {
                let row = g.in_size()[1] * g.in_channels();
                &self.x[needed.start * row..needed.end * row]
            }
            Wide::Rows(wide) => wide.fetch(self.x, needed),
        };
        let Some(link) = self.parts.narrow else {
            dwconv::forward_here(level, &g, source, weights, epilogue, out);
            return Ok(());
        };
        let filtered = &mut self.filtered[..g.y_len()];
        dwconv::forward_here(level, &g, source, weights, epilogue, filtered);
        let place = self.image * link.geometry.out_size()[0] + rows.start;
        let place = place * (out.len() / rows.len());
        let residual = link.epilogue.residual.map(|all| &all[place..][..out.len()]);
        link.multiply(filtered, &link.epilogue.residual(residual), out);
        Ok(())
    }
}

impl Rows<'_> {
    /// The rows `needed`, of which those that were needed last time are there.
    fn fetch(&mut self, x: &[f32], needed: Range<usize>) -> &[f32] {
        let g = &self.link.geometry;
        let [from, to] = [g.in_channels(), g.out_channels()].map(|c| c * g.in_size()[1]);
        // Bands go down: what is held begins no later.
        let kept = self.held.end.saturating_sub(needed.start);
        if kept > 0 {
            let first = needed.start - self.held.start;
            self.data.copy_within(first * to..(first + kept) * to, 0);
        }
        let fresh = &mut self.data[kept * to..needed.len() * to];
        let pixels = &x[(needed.start + kept) * from..needed.end * from];
        self.link.multiply(pixels, &self.link.epilogue, fresh);
        self.held = needed;
        &self.data[..self.held.len() * to]
    }
}

impl Link<'_> {
    /// A pointwise convolution of some pixels.
    fn multiply(&self, pixels: &[f32], epilogue: &Epilogue<'_>, out: &mut [f32]) {
        if let Some(product) = self.weights.pointwise(&self.geometry, pixels) {
            product.run_here(self.weights.level(), epilogue, out);
        }
    }
}

/// The rows that some rows of the output of a depthwise convolution read, and the convolution of those alone.
fn part(
    g: &Conv2dGeometry,
    rows: &Range<usize>,
) -> Result<(Range<usize>, Conv2dGeometry), GeometryError> {
    let [height, width] = g.in_size();
    let [top, _, left, right] = g.padding();
    // Counted from the first row of the padding.
    let start = rows.start * g.stride()[0];
    let end = (rows.end - 1) * g.stride()[0] + span(g);
    let needed = start.saturating_sub(top)..(end - top).min(height);
    let padding = [
        top.saturating_sub(start),
        end.saturating_sub(top + height),
        left,
        right,
    ];
    let channels = g.in_channels();
    let size = [needed.len(), width];
    let part = Conv2dGeometry::new(
        1,
        channels,
        size,
        channels,
        g.kernel(),
        g.stride(),
        padding,
        g.dilation(),
        channels,
    )?;
    Ok((needed, part))
}

#[cfg(test)]
mod tests {
    use super::super::Algorithm;
    use super::super::tests::{Problem, square};
    use super::*;
    use crate::epilogue::Activation;
    use crate::geometry::Layout;
    use crate::testing::{Random, on_threads};
    use proptest::prelude::*;
    use striate_simd::Level;

    /// A convolution of a chain, its weights and what follows it.
    struct Part {
        geometry: Conv2dGeometry,
        weights: PackedWeights,
        numbers: [Vec<f32>; 2],
        activation: Activation,
    }

    impl Part {
        fn new(level: Level, geometry: Conv2dGeometry, activation: Activation) -> Self {
            let weight = Problem::new(geometry, Random::normals).weight;
            let algorithm = if geometry.groups() > 1 {
                Algorithm::Depthwise
            } else {
                Algorithm::Pointwise
            };
            let weights =
                PackedWeights::with_algorithm(level, &geometry, Layout::Nhwc, &weight, algorithm);
            let mut random = Random::new(geometry.out_channels() as u64);
            Self {
                geometry,
                weights: weights.unwrap(),
                numbers: [0; 2].map(|_| random.normals(geometry.out_channels())),
                activation,
            }
        }

        fn link<'a>(&'a self, residual: Option<&'a [f32]>) -> Link<'a> {
            Link {
                geometry: self.geometry,
                weights: &self.weights,
                epilogue: Epilogue::NONE
                    .scale(Some(&self.numbers[0]))
                    .bias(Some(&self.numbers[1]))
                    .residual(residual)
                    .activation(self.activation),
            }
        }
    }

    /// One convolution after the other, and in bands cut in any way.
    fn check(parts: &[Part], tasks: usize, rows: usize) {
        let [first, .., last] = parts else {
            panic!("a chain has two ends");
        };
        let mut random = Random::new(9);
        let x = random.normals(first.geometry.x_len());
        let residual = random.normals(last.geometry.y_len());
        let links: Vec<Link<'_>> = parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                part.link((i + 1 == parts.len() && parts.len() > 2).then_some(&residual))
            })
            .collect();
        let mut expected = x.clone();
        for link in &links {
            let mut y = vec![f32::NAN; link.geometry.y_len()];
            let forward = link
                .weights
                .forward(&link.geometry, &expected, &link.epilogue, &mut y);
            forward.unwrap();
            expected = y;
        }
        let of = Parts::of(&links, |link| &link.geometry).expect("a chain");
        let lines = of.depthwise.geometry.out_size()[0];
        let chain = Chain {
            links: &links,
            parts: of,
            plan: Plan {
                tasks: Cut::every(lines, tasks),
                rows,
            },
        };
        for y in on_threads(|| {
            let mut y = vec![f32::NAN; expected.len()];
            chain.forward(&x, &mut y).unwrap();
            y
        }) {
            let what = format!("{rows} of {tasks} rows of {:?}", of.depthwise.geometry);
            assert!(y == expected, "{what}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn bands_change_no_bit(
            [batch, narrow, wide] in [1_usize..3, 1..20, 2..40],
            size in [1_usize..12, 1..12],
            kernel in [1_usize..6, 1..6],
            stride in [1_usize..4, 1..4],
            padding in prop::array::uniform4(0_usize..5),
            dilation in 1_usize..3,
            [tasks, rows] in [1_usize..7, 1..7],
            [widens, narrows] in any::<[bool; 2]>(),
        ) {
            let depthwise = Conv2dGeometry::new(
                batch, wide, size, wide, kernel, stride, padding, [dilation; 2], wide,
            );
            let pointwise = |from, size, to| {
                Conv2dGeometry::new(batch, from, size, to, [1; 2], [1; 2], [0; 4], [1; 2], 1).unwrap()
            };
            prop_assume!(depthwise.as_ref().is_ok_and(is_depthwise));
            let depthwise = depthwise.unwrap();
            prop_assume!(depthwise.y_len() > 0);
            for level in Level::available() {
                let mut parts = Vec::new();
                if widens || !narrows {
                    parts.push(Part::new(level, pointwise(narrow, size, wide), Activation::Relu6));
                }
                parts.push(Part::new(level, depthwise, Activation::HardSwish));
                if narrows {
                    let last = pointwise(wide, depthwise.out_size(), narrow + 3);
                    parts.push(Part::new(level, last, Activation::Silu));
                }
                check(&parts, tasks, rows.min(tasks));
            }
        }
    }

    #[test]
    fn wide_maps_are_cut_into_bands_that_fit() {
        let chain = |batch, size, [from, wide, to]: [usize; 3], stride| {
            let g = [
                square(batch, from, size, wide, 1, 1, 1),
                square(batch, wide, size, wide, 3, stride, wide),
                square(batch, wide, size.div_ceil(stride), to, 1, 1, 1),
            ];
            let [widen, depthwise, narrow] = g.each_ref();
            Plan::new(&Parts {
                widen: Some(widen),
                depthwise,
                narrow: Some(narrow),
            })
        };
        let plan = chain(1, 112, [16, 96, 24], 2).expect("more than a cache holds");
        let rows = plan.rows;
        assert!((2 * rows + 1) * 112 * 96 + rows * 56 * 96 <= BAND);
        assert!(plan.tasks.tasks() % 2 == 0 && rows % 2 == 0);
        assert!(chain(1, 14, [64, 384, 64], 1).is_none(), "a cache holds it");
        assert!(chain(8, 14, [64, 384, 64], 1).is_some());
        assert!(
            chain(8, 7, [160, 960, 160], 1).is_none(),
            "the weights are more"
        );
        assert!(
            chain(1, 40_000, [2, 64, 2], 1).is_none(),
            "a row is too long"
        );
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let depthwise = square(1, 64, 128, 64, 3, 1, 64);
        let widen = square(1, 16, 128, 64, 1, 1, 1);
        let narrow = square(1, 64, 128, 16, 1, 1, 1);
        assert!(Chain::suits(&[widen, depthwise, narrow]));
        assert!(Chain::suits(&[widen, depthwise]) && Chain::suits(&[depthwise, narrow]));
        for other in [
            &[widen, narrow][..],
            &[depthwise],
            &[],
            &[depthwise, depthwise],
            &[narrow, depthwise, narrow],
            &[widen, depthwise, square(1, 64, 128, 16, 3, 1, 1)],
            &[square(1, 16, 128, 64, 1, 1, 4), depthwise],
        ] {
            assert!(!Chain::suits(other), "{other:?}");
        }
        let level = Level::detect();
        let [widen, depthwise] = [widen, depthwise].map(|g| Part::new(level, g, Activation::None));
        let wrong = vec![0.0; depthwise.geometry.y_len()];
        let links = [widen.link(Some(&wrong)), depthwise.link(None)];
        let mut y = wrong.clone();
        let chain = Chain::new(&links).expect("it suits");
        let x = vec![0.0; widen.geometry.x_len()];
        let error = chain.forward(&x, &mut y).expect_err("a residual inside");
        assert!(error.to_string().contains("residual"), "{error}");
        let links = [widen.link(None), depthwise.link(None)];
        let chain = Chain::new(&links).expect("it suits");
        assert!(chain.forward(&x[1..], &mut y).is_err() && chain.forward(&x, &mut y[1..]).is_err());
        assert!(chain.forward(&x, &mut y).is_ok());
    }
}
