//! Matrix products, beside `matrixmultiply`.

use striate_benches::report::{Report, Work};
use striate_benches::shapes;
use striate_kernels::KernelError;
use striate_kernels::epilogue::Epilogue;
use striate_kernels::gemm::{Matrix, MatrixMut, PackedB, Write, sgemm};
use striate_simd::Level;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut report = Report::new()?;
    for shape in shapes::read::<3>("gemm")? {
        let [m, k, n] = shape.numbers;
        let (a, b, mut c) = (vec![0.5; m * k], vec![0.25; k * n], vec![0.0; m * n]);
        let (a, b) = (Matrix::new(&a, m, k)?, Matrix::new(&b, k, n)?);
        let work = Work::Flops(2.0 * (m * k * n) as f64);
        for level in Level::available() {
            let name = format!("f32-gemm-{level}");
            let mut product = || multiply(level, a, b, &mut c).expect("shapes that fit");
            if let Level::Portable(_) = level {
                // Is matrixmultiply.
                report.measure(level, &shape.name, &name, work, product, None);
                continue;
            }
            product();
            let mut target = vec![0.0; m * n];
            let portable = Level::parse("portable")?;
            let mut peer = || multiply(portable, a, b, &mut target).expect("shapes that fit");
            report.measure(level, &shape.name, &name, work, product, Some(&mut peer));
            let packed = PackedB::for_rows(level, b, m)?;
            let product = || {
                let c = MatrixMut::new(&mut c, m, n).expect("a matrix of this size");
                packed
                    .multiply(a, &Epilogue::NONE, c)
                    .expect("shapes that fit");
            };
            let name = format!("f32-gemm-packed-{level}");
            report.measure(level, &shape.name, &name, work, product, None);
        }
    }
    report.finish();
    Ok(())
}

fn multiply(level: Level, a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) -> Result<(), KernelError> {
    let ([m, _], [_, n]) = (a.shape(), b.shape());
    sgemm(level, a, b, Write::Replace, MatrixMut::new(c, m, n)?)
}
