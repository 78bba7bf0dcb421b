//! What each layer of a network costs for one input, read off the recorded graph of a forward pass.
//!
//! Multiply-adds are those of convolutions, linear layers and matrix products, as papers count them: one multiplication
//! with its addition is one, and normalisation, activation and pooling are not counted.

use std::collections::HashMap;

use serde::Serialize;
use striate::Tensor;
use striate::autograd::GraphNode;
use striate::layers::{Module, named_parameters, parameter_count, set_training};

use crate::failure::Failure;

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Layer {
    /// Its path.
    pub(crate) layer: String,
    /// Its operations, views left out.
    pub(crate) op: String,
    /// The shape of its output.
    pub(crate) output: Vec<usize>,
    /// Learned elements of its own.
    pub(crate) parameters: u64,
    /// Multiplications with additions.
    pub(crate) multiply_adds: u64,
}

/// A whole network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cost {
    /// Learned elements; what is used twice counts once.
    pub(crate) parameters: u64,
    /// Multiplications with additions.
    pub(crate) multiply_adds: u64,
    /// Elements of all outputs of all operations.
    pub(crate) activations: u64,
    /// The layers in the order in which they run, then those that do not.
    pub(crate) layers: Vec<Layer>,
}

/// Runs `network` once, in evaluation mode, on zeros of shape `input`.
pub(crate) fn measure(network: &dyn Module, input: [usize; 4]) -> Result<Cost, Failure> {
    set_training(network, false);
    let x = Tensor::zeros(input, striate::DType::F32)?;
    let y = network.forward(&x)?;
    let nodes = y.graph().nodes;
    let mut own = own_parameters(network);
    let mut layers: Vec<Layer> = Vec::new();
    let (mut multiply_adds, mut activations) = (0u64, 0u64);
    for node in &nodes {
        let cost = node_cost(node);
        multiply_adds = multiply_adds.saturating_add(cost);
        activations = activations.saturating_add(product(&node.shape));
        let Some(path) = &node.path else { continue };
        let op = node.description.name;
        match layers.last_mut() {
            Some(last) if last.layer == *path => {
                last.output.clone_from(&node.shape);
                add_op(&mut last.op, op);
                last.multiply_adds = last.multiply_adds.saturating_add(cost);
            }
            _ => layers.push(Layer {
                layer: path.clone(),
                op: if is_view(op) {
                    String::new()
                } else {
                    op.to_owned()
                },
                output: node.shape.clone(),
                // A layer that runs again is listed again, its parameters only once.
                parameters: own.remove(path).map_or(0, |(_, count)| count),
                multiply_adds: cost,
            }),
        }
    }
    let mut unused: Vec<(String, (usize, u64))> = own.into_iter().collect();
    unused.sort_by_key(|(_, (position, _))| *position);
    layers.extend(unused.into_iter().map(|(layer, (_, parameters))| Layer {
        layer,
        op: String::new(),
        output: Vec::new(),
        parameters,
        multiply_adds: 0,
    }));
    let parameters = parameter_count(network) as u64;
    Ok(Cost {
        parameters,
        multiply_adds,
        activations,
        layers,
    })
}

/// Operations that only look at memory in another way.
fn is_view(op: &str) -> bool {
    const VIEWS: [&str; 9] = [
        "reshape",
        "expand",
        "select",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "narrow",
        "flatten",
    ];
    VIEWS.contains(&op)
}

/// Appends an operation to a list of distinct ones.
fn add_op(ops: &mut String, op: &str) {
    if is_view(op) || ops.split(", ").any(|known| known == op) {
        return;
    }
    if !ops.is_empty() {
        ops.push_str(", ");
    }
    ops.push_str(op);
}

/// The number of learned elements directly in each layer, with the layer's place in the network.
fn own_parameters(network: &dyn Module) -> HashMap<String, (usize, u64)> {
    let mut own: HashMap<String, (usize, u64)> = HashMap::new();
    for (position, (name, parameter)) in named_parameters(network).into_iter().enumerate() {
        let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
        own.entry(layer.to_owned()).or_insert((position, 0)).1 += parameter.numel() as u64;
    }
    own
}

fn node_cost(node: &GraphNode) -> u64 {
    let input = |i: usize| node.inputs.get(i).map_or(&[][..], |input| &input.shape);
    let outputs = product(&node.shape);
    let per_output = match node.description.name {
        // Weights are [out, in / groups, kh, kw] and [out, in].
        "conv2d" | "linear" => product(input(1).get(1..).unwrap_or_default()),
        "matmul" => input(0).last().map_or(0, |&n| n as u64),
        _ => 0,
    };
    outputs.saturating_mul(per_output)
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
}

#[cfg(test)]
mod tests {
    use striate::layers::{Conv2dConfig, GlobalAvgPool, LinearConfig, Sequential, VarBuilder};

    use super::*;

    #[test]
    fn costs_are_those_of_the_formulas() {
        let vb = VarBuilder::seeded(0);
        let conv = Conv2dConfig::new(4, 6, 3)
            .groups(2)
            .stride(2)
            .build(&(&vb / 0))
            .unwrap();
        let fc = LinearConfig::new(6, 5).build(&(&vb / 2)).unwrap();
        let network = Sequential::new().push(conv).push(GlobalAvgPool).push(fc);
        let cost = measure(&network, [3, 4, 9, 7]).unwrap();
        // 3 images, 6 channels, 4x3 pixels, (4 / 2) * 3 * 3 products each; then 3 x 5 sums of 6 products.
        let conv = 3 * 6 * 4 * 3 * 2 * 9;
        assert_eq!(
            (cost.layers[0].multiply_adds, cost.layers[0].op.as_str()),
            (conv, "conv2d")
        );
        assert_eq!(cost.layers[0].output, [3, 6, 4, 3]);
        assert_eq!(cost.layers[0].parameters, 6 * 2 * 9 + 6);
        assert_eq!(cost.multiply_adds, conv + 3 * 5 * 6);
        assert_eq!(cost.parameters, 6 * 2 * 9 + 6 + 6 * 5 + 5);
        assert_eq!(
            cost.layers.iter().map(|l| l.parameters).sum::<u64>(),
            cost.parameters
        );
    }

    #[test]
    fn an_input_that_does_not_fit_is_an_error() {
        let network = Conv2dConfig::new(4, 6, 3)
            .build(&VarBuilder::seeded(0))
            .unwrap();
        assert!(measure(&network, [1, 3, 9, 9]).is_err());
        assert!(measure(&network, [1, 4, 2, 2]).is_err());
    }

    #[test]
    fn operations_are_listed_once_without_views() {
        let mut ops = String::new();
        for op in ["mean", "reshape", "relu", "mean"] {
            add_op(&mut ops, op);
        }
        assert_eq!(ops, "mean, relu");
    }
}
