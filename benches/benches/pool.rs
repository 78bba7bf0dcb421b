//! Pooling of channels-last images, as a fraction of the speed of a copy.

use striate_benches::report::{Report, Work};
use striate_benches::shapes;
use striate_kernels::geometry::{PoolGeometry, PoolWindow};
use striate_kernels::pool::{Divisor, average, max, max_backward};
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut report = Report::new()?;
    for shape in shapes::read::<7>("pool")? {
        let [n, c, h, w, kernel, stride, padding] = shape.numbers;
        let window = PoolWindow {
            padding: [padding; 4],
            ..PoolWindow::new(kernel, stride)
        };
        let g = PoolGeometry::new("max_pool2d", [n, c, h, w], window)?;
        let (x, mut y) = (vec![0.5_f32; g.input_len()], vec![0.0_f32; g.output_len()]);
        let (mut taps, mut dx) = (vec![0_u8; y.len()], vec![0.0_f32; x.len()]);
        let work = Work::Bytes(4.0 * (x.len() + y.len()) as f64);
        let x = View::nhwc(&x, g.input())?;
        for level in Level::available() {
            let run = || {
                let mut y = ViewMut::nhwc(&mut y, g.output()).expect("its size");
                max(level, &g, &x, &mut y, None).expect("it fits");
            };
            report.measure(
                level,
                &shape.name,
                &format!("f32-maxpool-{level}"),
                work,
                run,
                None,
            );
            let run = || {
                let mut y = ViewMut::nhwc(&mut y, g.output()).expect("its size");
                let mut taps = ViewMut::nhwc(&mut taps, g.output()).expect("its size");
                max(level, &g, &x, &mut y, Some(&mut taps)).expect("it fits");
            };
            report.measure(
                level,
                &shape.name,
                &format!("f32-maxpool-taps-{level}"),
                work,
                run,
                None,
            );
            let run = || {
                let taps = View::nhwc(&taps, g.output()).expect("its size");
                let dy = View::nhwc(&y, g.output()).expect("its size");
                let mut dx = ViewMut::nhwc(&mut dx, g.input()).expect("its size");
                max_backward(level, &g, &taps, &dy, &mut dx).expect("it fits");
            };
            report.measure(
                level,
                &shape.name,
                &format!("f32-maxpool-backward-{level}"),
                work,
                run,
                None,
            );
            let run = || {
                let mut y = ViewMut::nhwc(&mut y, g.output()).expect("its size");
                average(level, &g, Divisor::ExcludePad, &x, &mut y).expect("it fits");
            };
            report.measure(
                level,
                &shape.name,
                &format!("f32-avgpool-{level}"),
                work,
                run,
                None,
            );
        }
    }
    report.finish();
    Ok(())
}
