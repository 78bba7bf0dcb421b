//! Elementwise functions, as a fraction of the speed of a copy.

use striate_benches::report::{Report, Work};
use striate_benches::shapes;
use striate_kernels::elementwise::{Binary, BinaryGeometry, Unary, binary, unary};
use striate_simd::Level;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut report = Report::new()?;
    for shape in shapes::read::<1>("elementwise")? {
        let [len] = shape.numbers;
        let (x, mut y) = (vec![0.5_f32; len], vec![0.0_f32; len]);
        let g = BinaryGeometry::new(&[len], &[1], &[1], &[1])?;
        for level in Level::available() {
            for (name, op) in [
                ("relu", Unary::Relu),
                ("exp", Unary::Exp),
                ("silu", Unary::Silu),
            ] {
                let run = || unary(level, op, &x, &mut y).expect("equal lengths");
                let work = Work::Bytes(8.0 * len as f64);
                report.measure(
                    level,
                    &shape.name,
                    &format!("f32-{name}-{level}"),
                    work,
                    run,
                    None,
                );
            }
            let run = || binary(level, Binary::AddRelu, &g, &x, &x, &mut y).expect("it fits");
            let work = Work::Bytes(12.0 * len as f64);
            report.measure(
                level,
                &shape.name,
                &format!("f32-add-relu-{level}"),
                work,
                run,
                None,
            );
        }
    }
    report.finish();
    Ok(())
}
