//! Functions of tensors.

use protocol::{Given, Loaded, Mode, Operation, Result};
use striate::{
    Conv2dOptions, Divisor, Interpolation, PoolOptions, RoiOptions, SampleMode, SamplePadding,
    Tensor,
};

use crate::run::{Forward, Training, laid_out};

type Function = Box<dyn Fn(&[Tensor]) -> striate::Result<Tensor>>;

/// The function with its inputs.
pub fn load(case: &Operation, mode: Mode) -> Result<Box<dyn Loaded>> {
    let function = function(case)?;
    let inputs = case
        .inputs()
        .into_iter()
        .map(laid_out)
        .collect::<Result<Vec<_>>>()?;
    let trained = |given: &Given| mode == Mode::FwdBwd && matches!(given, Given::Numbers { .. });
    let inputs: Vec<Tensor> = inputs
        .iter()
        .zip(&case.given)
        .map(|(x, given)| x.requires_grad(trained(given)))
        .collect::<striate::Result<_>>()?;
    let leaves = inputs
        .iter()
        .zip(&case.given)
        .filter(|(_, given)| trained(given));
    let leaves = leaves.map(|(x, _)| x.clone()).collect();
    let run = move || Ok(vec![function(&inputs)?]);
    Ok(match mode {
        Mode::Fwd => Box::new(Forward::new(run)),
        Mode::FwdBwd => Box::new(Training::new(leaves, run)?),
    })
}

fn function(case: &Operation) -> Result<Function> {
    let number = |name: &str| case.attributes[name].as_u64().unwrap_or(0) as usize;
    let window = || {
        let options = PoolOptions::new(number("kernel")).stride(number("stride"));
        options.padding(number("padding"))
    };
    Ok(match case.op.as_str() {
        "max_pool2d" => {
            let window = window();
            Box::new(move |x| x[0].max_pool2d(window))
        }
        "avg_pool2d" => {
            let window = window();
            Box::new(move |x| x[0].avg_pool2d(window, Divisor::IncludePad))
        }
        "adaptive_avg_pool2d" => {
            let size = [number("size"); 2];
            Box::new(move |x| x[0].adaptive_avg_pool2d(size))
        }
        "grid_sample" => {
            Box::new(|x| x[0].grid_sample(&x[1], SampleMode::Bilinear, SamplePadding::Zeros, false))
        }
        "interpolate" => {
            let scale = number("scale");
            let mode = Interpolation::Bilinear {
                align_corners: false,
            };
            Box::new(move |x| {
                x[0].interpolate([x[0].shape()[2] * scale, x[0].shape()[3] * scale], mode)
            })
        }
        "deform_conv2d" => {
            let options = Conv2dOptions::default().padding(number("padding"));
            Box::new(move |x| x[0].deform_conv2d(&x[1], &x[2], x.get(3), None, options))
        }
        "roi_align" => {
            let options = RoiOptions::new(number("size"))
                .sampling_ratio(number("sampling_ratio"))
                .aligned(true);
            Box::new(move |x| x[0].roi_align(&x[1], options))
        }
        "batch_norm_eval" => Box::new(|x| {
            let (mean, variance) = (x[2].zeros_like()?, x[1].ones_like()?);
            x[0].batch_norm_eval(&mean, &variance, Some(&x[1]), Some(&x[2]), 1e-5)
        }),
        "batch_norm_train" => {
            Box::new(|x| Ok(x[0].batch_norm_train(Some(&x[1]), Some(&x[2]), 1e-5)?.0))
        }
        "softmax" => Box::new(|x| x[0].softmax(1)),
        "relu" => Box::new(|x| x[0].relu()),
        "sigmoid" => Box::new(|x| x[0].sigmoid()),
        "silu" => Box::new(|x| x[0].silu()),
        "gelu" => Box::new(|x| x[0].gelu()),
        "exp" => Box::new(|x| x[0].exp()),
        "tanh" => Box::new(|x| x[0].tanh()),
        "add" => Box::new(|x| x[0].add(&x[1])),
        op => return Err(format!("no function is called {op}").into()),
    })
}
