//! The recorded graph, to print, cost or export.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::function::Description;
use super::node::{LeafId, Node, Origin};
use crate::{DType, Tensor};

/// What was recorded on the way to a tensor, oldest operation first. Prints one operation a line.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The operations, in the order in which they ran.
    pub nodes: Vec<GraphNode>,
}

/// A recorded operation.
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// Position in [`Graph::nodes`].
    pub index: usize,
    /// Name and attributes.
    pub description: Description,
    /// The layer that ran it, if layers said so with [`scope`](super::scope).
    pub path: Option<String>,
    /// Where its inputs come from.
    pub inputs: Vec<GraphInput>,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Type of the output.
    pub dtype: DType,
}

/// An input of a recorded operation.
#[derive(Clone, Debug)]
pub struct GraphInput {
    /// Shape of the input.
    pub shape: Vec<usize>,
    /// Where it comes from.
    pub source: GraphSource,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphSource {
    /// A tensor without history.
    Constant,
    /// A leaf.
    Leaf(LeafId),
    /// The operation at this position in [`Graph::nodes`].
    Node(usize),
}

impl Tensor {
    /// Everything recorded on the way to this tensor.
    #[must_use]
    pub fn graph(&self) -> Graph {
        Graph::of(std::slice::from_ref(self))
    }
}

impl Graph {
    /// Everything recorded on the way to any of these tensors, once.
    #[must_use]
    pub fn of(tensors: &[Tensor]) -> Self {
        let mut nodes: BTreeMap<u64, &Arc<Node>> = BTreeMap::new();
        let mut seen = HashSet::new();
        let roots = tensors.iter().filter_map(|t| match &t.origin {
            Origin::Node(root) => Some(root),
            _ => None,
        });
        let mut stack: Vec<_> = roots.collect();
        while let Some(node) = stack.pop() {
            if seen.insert(node.id) {
                nodes.insert(node.id, node);
                stack.extend(node.edges.iter().filter_map(|edge| match &edge.origin {
                    Origin::Node(node) => Some(node),
                    _ => None,
                }));
            }
        }
        let index: BTreeMap<u64, usize> = nodes.keys().copied().zip(0..).collect();
        let nodes = nodes
            .values()
            .enumerate()
            .map(|(i, node)| GraphNode::new(i, node, &index));
        Self {
            nodes: nodes.collect(),
        }
    }
}

impl GraphNode {
    fn new(at: usize, node: &Node, index: &BTreeMap<u64, usize>) -> Self {
        let inputs = node.edges.iter().map(|edge| GraphInput {
            shape: edge.shape.to_vec(),
            source: match &edge.origin {
                Origin::Constant => GraphSource::Constant,
                Origin::Leaf(id) => GraphSource::Leaf(*id),
                Origin::Node(node) => GraphSource::Node(index[&node.id]),
            },
        });
        Self {
            index: at,
            description: node.function.describe(),
            path: node.path.as_deref().map(str::to_owned),
            inputs: inputs.collect(),
            shape: node.shape.to_vec(),
            dtype: node.dtype,
        }
    }
}

impl fmt::Display for GraphInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            GraphSource::Constant => write!(f, "constant{:?}", self.shape),
            GraphSource::Leaf(id) => write!(f, "{id}{:?}", self.shape),
            GraphSource::Node(index) => write!(f, "%{index}"),
        }
    }
}

impl fmt::Display for GraphNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{} = {}(", self.index, self.description.name)?;
        for (i, input) in self.inputs.iter().enumerate() {
            write!(f, "{}{input}", if i == 0 { "" } else { ", " })?;
        }
        for (i, (name, value)) in self.description.attributes.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { "; " } else { ", " })?;
        }
        write!(f, ") -> {:?} {}", self.shape, self.dtype)?;
        match &self.path {
            Some(path) => write!(f, "  @ {path}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nodes.iter().try_for_each(|node| writeln!(f, "{node}"))
    }
}
