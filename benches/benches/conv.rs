//! Convolutions: the forward pass with packed weights, beside `matrixmultiply` on a product of the
//! same size, and both gradients.

use striate_benches::report::{Report, Work};
use striate_benches::shapes;
use striate_kernels::conv2d::{
    Conv2dGeometry, PackedWeights, backward_input, backward_weight, backward_weight_nchw, choose,
};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::gemm::{Matrix, MatrixMut, Write, sgemm};
use striate_kernels::geometry::Layout;
use striate_kernels::{Accuracy, KernelError, Policy};
use striate_simd::Level;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut report = Report::new()?;
    let portable = Level::parse("portable")?;
    for shape in shapes::read::<9>("conv")? {
        let [n, c, h, w, filters, kernel, stride, padding, groups] = shape.numbers;
        let (stride, padding) = ([stride; 2], [padding; 4]);
        let kernel = [kernel; 2];
        let size = [h, w];
        let g = Conv2dGeometry::new(n, c, size, filters, kernel, stride, padding, [1; 2], groups)?;
        let work = Work::Flops(2.0 * g.multiply_adds());
        // Networks read images with contiguous rows and everything else with contiguous channels.
        let input = if c < 8 { Layout::Nchw } else { Layout::Nhwc };
        let (x, weight) = (vec![0.5; g.x_len()], vec![0.25; g.weight_len()]);
        let (mut y, dy) = (vec![0.0; g.y_len()], vec![0.125; g.y_len()]);
        let (mut dx, mut dweight) = (vec![0.0; g.x_len()], vec![0.0; g.weight_len()]);

        let [rows, terms, columns] = [
            g.y_len() / filters,
            g.group_in_channels() * g.taps(),
            g.group_out_channels(),
        ];
        let (a, b) = (vec![0.5; rows * terms], vec![0.25; terms * columns]);
        let (a, b) = (
            Matrix::new(&a, rows, terms)?,
            Matrix::new(&b, terms, columns)?,
        );
        let mut product = vec![0.0; rows * columns];
        let ways =
            |level| [Accuracy::Fast, Accuracy::Strict].map(|accuracy| Policy { level, accuracy });
        for policy in Level::available().into_iter().flat_map(ways) {
            let level = policy.level;
            let packed = PackedWeights::new(policy, &g, input, &weight)?;
            let name = packed.algorithm().name(&g, level);
            let fast = choose(&g, input, level, Accuracy::Fast);
            if policy.accuracy == Accuracy::Strict && packed.algorithm() == fast {
                continue;
            }
            let mut peer = || {
                for _ in 0..groups {
                    let c = MatrixMut::new(&mut product, rows, columns).expect("its size");
                    sgemm(portable, a, b, Write::Replace, c).expect("shapes that fit");
                }
            };
            let forward = || check(packed.forward(&g, &x, &Epilogue::NONE, &mut y));
            report.measure(level, &shape.name, &name, work, forward, Some(&mut peer));
            let inputs = || check(backward_input(policy, &g, &dy, &weight, &mut dx));
            report.measure(
                level,
                &shape.name,
                &format!("{name}-dx"),
                work,
                inputs,
                None,
            );
            let gradient = match input {
                Layout::Nhwc => backward_weight,
                Layout::Nchw => backward_weight_nchw,
            };
            let weights = || check(gradient(policy, &g, &x, &dy, &mut dweight));
            report.measure(
                level,
                &shape.name,
                &format!("{name}-dw"),
                work,
                weights,
                None,
            );
        }
    }
    report.finish();
    Ok(())
}

/// What is measured was given lengths that fit.
fn check(result: Result<(), KernelError>) {
    result.expect("lengths that fit");
}
