//! What a network is made of and what it costs, layer by layer.
//!
//! Counting rule: a multiply-add of a convolution, a linear layer or a matrix product is 1; their
//! biases, and everything else, are elementwise work and counted apart, one operation for each
//! element that an op reads or writes, whichever are more. Moving data is free.

use std::fmt;

use striate_tensor::autograd::{Graph, GraphNode, shapes_only};
use striate_tensor::{DType, Result, Tensor};

use crate::module::{Part, evaluating, named_parameters, parameter_count, walk};
use crate::{Layer, Module};

/// The cost of one forward pass.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Shape of the input.
    pub input: Vec<usize>,
    /// Shape of the output.
    pub output: Vec<usize>,
    /// The layers, in the order in which they run.
    pub layers: Vec<LayerSummary>,
    /// Learned elements; one that is used twice counts once.
    pub parameters: usize,
    /// Elements that are tracked and not learned.
    pub buffers: usize,
    /// Multiply-adds of convolutions, linear layers and matrix products.
    pub multiply_adds: u64,
    /// All other operations.
    pub elementwise: u64,
    /// Bytes of all results of operations: what a training step keeps at least.
    pub activation_bytes: u64,
}

/// The cost of one layer, without that of its children.
#[derive(Clone, Debug)]
pub struct LayerSummary {
    /// Its path; empty for operations of the network itself.
    pub path: String,
    /// Its operations, each named once.
    pub operations: Vec<&'static str>,
    /// Shape of its last result; empty if it did not run.
    pub output: Vec<usize>,
    /// Learned elements.
    pub parameters: usize,
    /// Multiply-adds of convolutions, linear layers and matrix products.
    pub multiply_adds: u64,
    /// All other operations.
    pub elementwise: u64,
}

/// Runs `module` in evaluation mode on an f32 input of zeros of that shape, without computing its convolutions,
/// and counts.
///
/// # Errors
/// The input does not fit the network.
pub fn summary(module: &dyn Module, input: &[usize]) -> Result<Summary> {
    let x = Tensor::zeros(input, DType::F32)?.requires_grad(true)?;
    let y = shapes_only(|| evaluating(module, || module.forward(&x)))?;
    Ok(Summary::of(module, input, &[y]))
}

impl Summary {
    /// Counts what was recorded on the way to the outputs of `layer`.
    pub(crate) fn of(layer: &dyn Layer, input: &[usize], outputs: &[Tensor]) -> Self {
        let mut summary = Self {
            input: input.to_vec(),
            output: outputs.first().map_or(&[][..], Tensor::shape).to_vec(),
            layers: Vec::new(),
            parameters: parameter_count(layer),
            buffers: 0,
            multiply_adds: 0,
            elementwise: 0,
            activation_bytes: 0,
        };
        for node in &Graph::of(outputs).nodes {
            summary.add(node);
        }
        for (name, p) in named_parameters(layer) {
            let path = name.rsplit_once('.').map_or("", |(path, _)| path);
            summary.layer(path).parameters += p.numel();
        }
        walk(layer, &mut |_, part| {
            if let Part::Buffer(b) = part {
                summary.buffers += b.shape().iter().product::<usize>();
            }
        });
        summary
    }

    fn layer(&mut self, path: &str) -> &mut LayerSummary {
        let at = self
            .layers
            .iter()
            .position(|l| l.path == path)
            .unwrap_or_else(|| {
                self.layers.push(LayerSummary {
                    path: path.to_owned(),
                    operations: Vec::new(),
                    output: Vec::new(),
                    parameters: 0,
                    multiply_adds: 0,
                    elementwise: 0,
                });
                self.layers.len() - 1
            });
        &mut self.layers[at]
    }

    fn add(&mut self, node: &GraphNode) {
        let (multiply_adds, elementwise) = cost(node);
        self.multiply_adds += multiply_adds;
        self.elementwise += elementwise;
        if !moves_data(node) {
            self.activation_bytes += count(&node.shape) * node.dtype.size() as u64;
        }
        let layer = self.layer(node.path.as_deref().unwrap_or_default());
        layer.multiply_adds += multiply_adds;
        layer.elementwise += elementwise;
        layer.output.clone_from(&node.shape);
        if !moves_data(node) && !layer.operations.contains(&node.description.name) {
            layer.operations.push(node.description.name);
        }
    }
}

fn moves_data(node: &GraphNode) -> bool {
    const MOVES: [&str; 8] = [
        "reshape",
        "permute",
        "expand",
        "narrow",
        "cat",
        "index_select",
        "pad2d",
        "to_dtype",
    ];
    MOVES.contains(&node.description.name)
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().map(|&d| d as u64).product()
}

/// The number that an operation has under a name.
fn attribute(node: &GraphNode, name: &str) -> Option<u64> {
    let mut attributes = node.description.attributes.iter();
    attributes.find(|a| a.0 == name)?.1.parse().ok()
}

/// Multiply-adds of products, and everything else.
fn cost(node: &GraphNode) -> (u64, u64) {
    let output = count(&node.shape);
    let input = |i: usize| node.inputs.get(i).map_or(&[][..], |x| x.shape.as_slice());
    // Both kinds of weight are [out, ...]: the rest is what one output sums over.
    let weight = || input(1).iter().skip(1).map(|&d| d as u64).product::<u64>();
    let bias = if node.inputs.len() > 2 { output } else { 0 };
    match node.description.name {
        "conv2d" | "linear" => (output * weight(), bias),
        // Every input is multiplied with the weights of its channel.
        "conv_transpose2d" => (count(input(0)) * weight(), bias),
        // The weights are those of each image.
        "conv2d_per_sample" => {
            let weight = input(1).iter().skip(2).map(|&d| d as u64);
            (output * weight.product::<u64>(), bias)
        }
        // Image and offsets come before the weight.
        "deform_conv2d" => {
            let weight = input(2).iter().skip(1).map(|&d| d as u64);
            (output * weight.product::<u64>(), bias)
        }
        // Every query meets every key, and every value.
        "attention" => match (input(0), input(2)) {
            ([_, _, depth], &[_, values, _]) => {
                let (queries, values) = (count(input(0)) / *depth.max(&1) as u64, values as u64);
                (queries * values * *depth as u64 + output * values, 0)
            }
            _ => (0, output),
        },
        // Every pixel meets the query, and is gathered.
        "attention_pool" => (2 * count(input(0)), 0),
        // The channels of a group share a kernel.
        "involution" => {
            let [channels, kernels] = [0, 1].map(|i| input(i).get(1).map_or(0, |&c| c as u64));
            let group_channels = channels / attribute(node, "groups").unwrap_or(channels).max(1);
            (output / channels.max(1) * kernels * group_channels, 0)
        }
        "matmul" | "mixture" => (output * input(0).last().map_or(0, |&k| k as u64), 0),
        // Depthwise, with a fixed filter.
        "blur2d" => (output * attribute(node, "terms").unwrap_or(0), 0),
        // The maxima before it are elementwise.
        "max_blur_pool2d" => (
            output * attribute(node, "terms").unwrap_or(0),
            count(input(0)),
        ),
        _ if moves_data(node) => (0, 0),
        _ => (
            0,
            node.inputs
                .iter()
                .map(|x| count(&x.shape))
                .fold(output, u64::max),
        ),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .layers
            .iter()
            .map(|l| l.path.len())
            .max()
            .unwrap_or(0)
            .max(5);
        writeln!(
            f,
            "{:width$}  {:>20}  {:>12}  {:>15}",
            "layer", "output", "parameters", "multiply-adds"
        )?;
        for l in &self.layers {
            let output = format!("{:?}", l.output);
            writeln!(
                f,
                "{:width$}  {output:>20}  {:>12}  {:>15}",
                l.path, l.parameters, l.multiply_adds
            )?;
        }
        let output = format!("{:?}", self.output);
        writeln!(
            f,
            "{:width$}  {output:>20}  {:>12}  {:>15}",
            "total", self.parameters, self.multiply_adds
        )
    }
}
