//! burn's convolutions, with its backend in plain Rust.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use protocol::{Case, Loaded, Mode, Result};

fn main() -> Result<()> {
    Ok(protocol::serve(load)?)
}

fn load(case: &Case, mode: Mode) -> Result<Box<dyn Loaded>> {
    let device = match mode {
        Mode::Fwd => Device::flex(),
        Mode::FwdBwd => Device::flex().autodiff(),
    };
    let mut convolution = Convolution {
        x: tensor(case.input(), case.input_shape(), &device),
        weight: tensor(case.weight(), case.weight_shape(), &device),
        bias: tensor(case.bias(), [case.co], &device),
        case: case.clone(),
        device,
        gradient: None,
        found: Found::Nothing,
    };
    if mode == Mode::FwdBwd {
        let shape = convolution.forward().dims();
        let gradient = case.output_gradient(shape.iter().product());
        convolution.gradient = Some(tensor(gradient, shape, &convolution.device));
        convolution.x = convolution.x.require_grad();
        convolution.weight = convolution.weight.require_grad();
        convolution.bias = convolution.bias.require_grad();
    }
    Ok(Box::new(convolution))
}

fn tensor<const N: usize>(numbers: Vec<f32>, shape: [usize; N], device: &Device) -> Tensor<N> {
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

struct Convolution {
    case: Case,
    device: Device,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    gradient: Option<Tensor<4>>,
    found: Found,
}

enum Found {
    Nothing,
    Output(Tensor<4>),
    Gradients(Tensor<4>, Tensor<4>, Tensor<1>),
}

impl Convolution {
    fn forward(&self) -> Tensor<4> {
        let Case { s, p, d, g, .. } = self.case;
        let (x, weight, bias) = (self.x.clone(), self.weight.clone(), Some(self.bias.clone()));
        if self.case.transposed() {
            conv_transpose2d(
                x,
                weight,
                bias,
                ConvTransposeOptions::new(s, p, [0, 0], d, g),
            )
        } else {
            conv2d(x, weight, bias, ConvOptions::new(s, p, d, g))
        }
    }
}

impl Loaded for Convolution {
    fn run(&mut self) -> Result<()> {
        self.found = Found::Nothing;
        let y = self.forward();
        self.found = match &self.gradient {
            None => Found::Output(y),
            Some(gradient) => {
                const NONE: &str = "a leaf has no gradient";
                let found = (y * gradient.clone()).sum().backward();
                Found::Gradients(
                    self.x.grad(&found).ok_or(NONE)?,
                    self.weight.grad(&found).ok_or(NONE)?,
                    self.bias.grad(&found).ok_or(NONE)?,
                )
            }
        };
        Ok(self.device.sync()?)
    }

    fn output(&mut self) -> Result<Vec<Vec<f32>>> {
        let numbers = |data: TensorData| data.try_to_vec().map_err(|e| format!("{e:?}"));
        Ok(match &self.found {
            Found::Nothing => return Err("nothing ran".into()),
            Found::Output(y) => vec![numbers(y.to_data())?],
            Found::Gradients(x, weight, bias) => {
                vec![
                    numbers(x.to_data())?,
                    numbers(weight.to_data())?,
                    numbers(bias.to_data())?,
                ]
            }
        })
    }
}
