//! Cases of single ops: which function a name stands for, and with which attributes.

use serde_json::Value;
use striate::{
    Conv2dOptions, ConvTranspose2dOptions, Divisor, Interpolation, PoolOptions, Result, RoiOptions,
    SampleMode, SamplePadding, Tensor,
};
use striate_testkit::CaseFile;

use super::{Computed, tensor};

/// More inputs than any op has: the number is a bound for what a file can ask for.
const MAX_INPUTS: usize = 16;

/// An op's name in PyTorch and how it is computed here from a case's arguments.
type Entry = (&'static str, fn(&Arguments<'_>) -> Result<Tensor>);

/// Every op that cases can name.
const OPS: &[Entry] = &[
    ("abs", |a| a.x(0)?.abs()),
    ("adaptive_avg_pool2d", |a| {
        a.x(0)?.adaptive_avg_pool2d(a.pair("output_size", None)?)
    }),
    ("adaptive_max_pool2d", |a| {
        a.x(0)?.adaptive_max_pool2d(a.pair("output_size", None)?)
    }),
    ("affine_grid", |a| {
        let [_, _, h, w] = a.sizes("size")?;
        a.x(0)?.affine_grid([h, w], a.flag("align_corners", false)?)
    }),
    ("avg_pool2d", |a| {
        let include = a.flag("count_include_pad", true)?;
        let divisor = if include {
            Divisor::IncludePad
        } else {
            Divisor::ExcludePad
        };
        a.x(0)?.avg_pool2d(pool(a)?, divisor)
    }),
    ("batch_norm", batch_norm),
    ("conv2d", |a| {
        let options = Conv2dOptions::default()
            .stride(a.pair("stride", Some([1; 2]))?)
            .padding(a.pair("padding", Some([0; 2]))?)
            .dilation(a.pair("dilation", Some([1; 2]))?)
            .groups(a.count("groups", Some(1))?);
        a.x(0)?.conv2d(a.x(1)?, a.optional(2), options)
    }),
    ("conv_transpose2d", |a| {
        let options = ConvTranspose2dOptions::default()
            .stride(a.pair("stride", Some([1; 2]))?)
            .padding(a.pair("padding", Some([0; 2]))?)
            .output_padding(a.pair("output_padding", Some([0; 2]))?)
            .dilation(a.pair("dilation", Some([1; 2]))?)
            .groups(a.count("groups", Some(1))?);
        a.x(0)?.conv_transpose2d(a.x(1)?, a.optional(2), options)
    }),
    ("cross_entropy", |a| {
        a.x(0)?
            .cross_entropy(a.x(1)?, a.number("label_smoothing", 0.0)?)
    }),
    ("deform_conv2d", |a| {
        let weight = a.x(2)?;
        let per_group = weight.dim(1)?.max(1);
        let options = Conv2dOptions::default()
            .stride(a.pair("stride", Some([1; 2]))?)
            .padding(a.pair("padding", Some([0; 2]))?)
            .dilation(a.pair("dilation", Some([1; 2]))?)
            .groups(a.x(0)?.dim(1)? / per_group);
        a.x(0)?
            .deform_conv2d(a.x(1)?, weight, a.optional(3), a.optional(4), options)
    }),
    ("exp", |a| a.x(0)?.exp()),
    ("gelu", |a| a.x(0)?.gelu()),
    ("grid_sample", |a| {
        let mode = a.name(
            "mode",
            &[
                ("bilinear", SampleMode::Bilinear),
                ("nearest", SampleMode::Nearest),
                ("bicubic", SampleMode::Bicubic),
            ],
        )?;
        let padding = a.name(
            "padding_mode",
            &[
                ("zeros", SamplePadding::Zeros),
                ("border", SamplePadding::Border),
                ("reflection", SamplePadding::Reflection),
            ],
        )?;
        let corners = a.flag("align_corners", false)?;
        a.x(0)?.grid_sample(a.x(1)?, mode, padding, corners)
    }),
    ("group_norm", |a| {
        let eps = a.number("eps", 1e-5)?;
        a.x(0)?.group_norm(
            a.count("num_groups", None)?,
            a.optional(1),
            a.optional(2),
            eps,
        )
    }),
    ("hardsigmoid", |a| a.x(0)?.hardsigmoid()),
    ("hardswish", |a| a.x(0)?.hardswish()),
    ("interpolate", |a| {
        let align_corners = a.flag("align_corners", false)?;
        let way = a.name(
            "mode",
            &[
                ("nearest", Interpolation::Nearest),
                ("bilinear", Interpolation::Bilinear { align_corners }),
                ("bicubic", Interpolation::Bicubic { align_corners }),
            ],
        )?;
        a.x(0)?.interpolate(a.pair("size", None)?, way)
    }),
    ("layer_norm", |a| {
        let shape = a.x(1)?.shape();
        a.x(0)?
            .layer_norm(shape, a.optional(1), a.optional(2), a.number("eps", 1e-5)?)
    }),
    ("leaky_relu", |a| {
        a.x(0)?.leaky_relu(a.number("negative_slope", 0.01)?)
    }),
    ("linear", |a| a.x(0)?.linear(a.x(1)?, a.optional(2))),
    ("log_softmax", |a| a.x(0)?.log_softmax(a.dim("dim")?)),
    ("matmul", |a| a.x(0)?.matmul(a.x(1)?)),
    ("max_pool2d", |a| a.x(0)?.max_pool2d(pool(a)?)),
    ("mish", |a| a.x(0)?.mish()),
    ("neg", |a| a.x(0)?.neg()),
    ("relu", |a| a.x(0)?.relu()),
    ("relu6", |a| a.x(0)?.relu6()),
    ("roi_align", |a| {
        // Torchvision's negative ratio means what its zero does.
        let ratio = a.attribute("sampling_ratio", "a number", Some(0), |ratio| {
            usize::try_from(ratio.as_i64()?.max(0)).ok()
        })?;
        let options = RoiOptions::new(a.pair("output_size", None)?)
            .spatial_scale(a.number("spatial_scale", 1.0)?)
            .sampling_ratio(ratio)
            .aligned(a.flag("aligned", false)?);
        a.x(0)?.roi_align(a.x(1)?, options)
    }),
    ("roi_pool", |a| {
        let options = RoiOptions::new(a.pair("output_size", None)?)
            .spatial_scale(a.number("spatial_scale", 1.0)?);
        a.x(0)?.roi_pool(a.x(1)?, options)
    }),
    ("sigmoid", |a| a.x(0)?.sigmoid()),
    ("silu", |a| a.x(0)?.silu()),
    ("softmax", |a| a.x(0)?.softmax(a.dim("dim")?)),
    ("softplus", |a| a.x(0)?.softplus()),
    ("square", |a| a.x(0)?.square()),
    ("tanh", |a| a.x(0)?.tanh()),
];

/// Computes the output and the gradients of the inputs.
pub(super) fn run(case: &CaseFile) -> std::result::Result<Computed, String> {
    let Some((_, function)) = OPS.iter().find(|(name, _)| *name == case.name) else {
        return Err(format!("no op is called \"{}\" here", case.name));
    };
    replay(case, *function).map_err(|e| e.to_string())
}

fn replay(case: &CaseFile, function: fn(&Arguments<'_>) -> Result<Tensor>) -> Result<Computed> {
    let arguments = Arguments::new(case)?;
    let y = function(&arguments)?;
    let mut computed = Computed::from([("output.0".to_owned(), y.detach())]);
    if let Some(grad) = case.tensors.get("grad_output.0") {
        let mut grads = y.backward_with(&tensor(grad)?)?;
        for (i, input) in arguments.inputs.iter().enumerate() {
            if let Some(grad) = input.as_ref().and_then(|input| grads.remove(input)) {
                computed.insert(format!("grad.input.{i}"), grad);
            }
        }
    }
    Ok(computed)
}

/// The inputs and attributes of a case.
struct Arguments<'a> {
    /// By position; an optional argument that is absent is `None`.
    inputs: Vec<Option<Tensor>>,
    config: &'a Value,
}

impl<'a> Arguments<'a> {
    /// Inputs whose gradient is expected track it.
    fn new(case: &'a CaseFile) -> Result<Self> {
        let mut inputs = Vec::new();
        for (index, value) in case.group("input.") {
            let at: usize = index
                .parse()
                .ok()
                .filter(|&at| at < MAX_INPUTS)
                .ok_or_else(|| {
                    striate::Error::msg(format!("input.{index} is no position of an argument"))
                })?;
            let expects_gradient = case.tensors.contains_key(&format!("grad.input.{index}"));
            inputs.resize(inputs.len().max(at + 1), None);
            inputs[at] = Some(tensor(value)?.requires_grad(expects_gradient)?);
        }
        Ok(Self {
            inputs,
            config: &case.config,
        })
    }

    /// An input that must be there.
    fn x(&self, at: usize) -> Result<&Tensor> {
        self.optional(at)
            .ok_or_else(|| striate::Error::msg(format!("the case lacks input.{at}")))
    }

    fn optional(&self, at: usize) -> Option<&Tensor> {
        self.inputs.get(at)?.as_ref()
    }

    fn attribute<T>(
        &self,
        name: &str,
        expected: &str,
        default: Option<T>,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let wrong = |what: String| striate::Error::msg(format!("attribute \"{name}\" {what}"));
        match self.config.get(name) {
            Some(value) => read(value).ok_or_else(|| wrong(format!("is {value}, not {expected}"))),
            None => default.ok_or_else(|| wrong("is missing".to_owned())),
        }
    }

    fn number(&self, name: &str, default: f64) -> Result<f64> {
        self.attribute(name, "a number", Some(default), Value::as_f64)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        self.attribute(name, "true or false", Some(default), Value::as_bool)
    }

    fn count(&self, name: &str, default: Option<usize>) -> Result<usize> {
        self.attribute(name, "a count", default, count)
    }

    fn pair(&self, name: &str, default: Option<[usize; 2]>) -> Result<[usize; 2]> {
        self.attribute(name, "two counts", default, |value| {
            match value.as_array()?.as_slice() {
                [h, w] => Some([count(h)?, count(w)?]),
                _ => None,
            }
        })
    }

    /// The sizes of an image.
    fn sizes(&self, name: &str) -> Result<[usize; 4]> {
        self.attribute(name, "four counts", None, |value| {
            let sizes: Option<Vec<usize>> = value.as_array()?.iter().map(count).collect();
            sizes?.try_into().ok()
        })
    }

    /// What an attribute's word stands for.
    fn name<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T> {
        self.attribute(name, "one of its words", None, |value| {
            let word = value.as_str()?;
            words
                .iter()
                .find(|(w, _)| *w == word)
                .map(|&(_, meaning)| meaning)
        })
    }

    /// A dimension of input 0; a negative one counts from the end.
    fn dim(&self, name: &str) -> Result<usize> {
        let rank = self.x(0)?.rank();
        self.attribute(name, "a dimension", None, |value| {
            let dim = value.as_i64()?;
            let dim = if dim < 0 {
                dim.checked_add_unsigned(rank as u64)?
            } else {
                dim
            };
            usize::try_from(dim).ok()
        })
    }
}

fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn pool(a: &Arguments<'_>) -> Result<PoolOptions> {
    let kernel = a.pair("kernel_size", None)?;
    Ok(PoolOptions::new(kernel)
        .stride(a.pair("stride", Some(kernel))?)
        .padding(a.pair("padding", Some([0; 2]))?)
        .dilation(a.pair("dilation", Some([1; 2]))?)
        .ceil_mode(a.flag("ceil_mode", false)?))
}

/// Inputs are `x, running_mean, running_var, weight, bias`.
fn batch_norm(a: &Arguments<'_>) -> Result<Tensor> {
    let (weight, bias, eps) = (a.optional(3), a.optional(4), a.number("eps", 1e-5)?);
    if a.flag("training", false)? {
        Ok(a.x(0)?.batch_norm_train(weight, bias, eps)?.0)
    } else {
        a.x(0)?.batch_norm_eval(a.x(1)?, a.x(2)?, weight, bias, eps)
    }
}
