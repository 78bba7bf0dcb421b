//! What a call of a convolution costs beside its kernel: one image, one thread, microseconds.
//!
//! `kernel` runs packed weights, `packing` packs them first; `call` is the tensor's operation with a weight
//! that does not change, `record` the same with gradients recorded, and `update` with a weight that
//! changes before each call.

use std::hint::black_box;
use std::time::Instant;
use striate_kernels::conv2d::{Conv2dGeometry, PackedWeights, forward};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::geometry::Layout;
use striate_tensor::{Conv2dOptions, Philox, Tensor, current_level, no_grad};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Input channels, output channels, image, kernel, groups.
const SHAPES: [[usize; 5]; 8] = [
    [16, 16, 8, 1, 1],
    [16, 16, 8, 3, 1],
    [64, 64, 14, 3, 64],
    [64, 64, 56, 3, 1],
    [256, 256, 14, 3, 1],
    [512, 512, 7, 3, 1],
    [2048, 512, 7, 1, 1],
    [128, 128, 28, 3, 32],
];

fn main() -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| {
        let columns = ["kernel", "packing", "call", "record", "update"];
        eprintln!(
            "{:<20}{}",
            "microseconds",
            columns.map(|c| format!("{c:>9}")).concat()
        );
        SHAPES.into_iter().try_for_each(measure)
    })
}

fn measure([inputs, outputs, size, k, groups]: [usize; 5]) -> Result<(), Failure> {
    let level = current_level()?;
    let pad = k / 2;
    let g = Conv2dGeometry::new(
        1, inputs, [size; 2], outputs, [k; 2], [1; 2], [pad; 4], [1; 2], groups,
    )?;
    let mut random = Philox::new(0);
    let x = Tensor::randn(g.x_shape(), &mut random)?.channels_last()?;
    let mut w = Tensor::randn(g.weight_shape(), &mut random)?;
    let leaf = Tensor::randn(g.weight_shape(), &mut random)?.requires_grad(true)?;
    let options = Conv2dOptions::default().padding(pad).groups(groups);
    let weights = w.to_vec::<f32>()?;
    let packed = PackedWeights::new(level, &g, Layout::Nhwc, &weights)?;
    let mut y = vec![0.0; g.y_len()];
    let image = x.memory::<f32>()?;
    let times = [
        time(|| packed.forward(&g, image, &Epilogue::NONE, &mut y))?,
        time(|| forward(level, &g, image, &weights, &Epilogue::NONE, &mut y))?,
        time(|| no_grad(|| x.conv2d(&w, None, options)).map(black_box))?,
        time(|| x.conv2d(&leaf, None, options).map(black_box))?,
        time(|| {
            w.update_slice(|w: &mut [f32]| w[0] += 1.0)?;
            x.conv2d(&w, None, options).map(black_box)
        })?,
    ];
    let name = format!("{inputs}-{outputs}@{size} {k}x{k} g{groups}");
    eprintln!("{name:<20}{}", times.map(|t| format!("{t:>9.2}")).concat());
    Ok(())
}

/// The median of some runs of some milliseconds, in microseconds a call.
fn time<R, E>(mut call: impl FnMut() -> Result<R, E>) -> Result<f64, E> {
    const RUNS: usize = 9;
    let start = Instant::now();
    for _ in 0..3 {
        call()?;
    }
    let calls = (0.024 / start.elapsed().as_secs_f64()) as usize + 1;
    let mut times = [0.0; RUNS];
    for time in &mut times {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        *time = 1e6 * start.elapsed().as_secs_f64() / calls as f64;
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
