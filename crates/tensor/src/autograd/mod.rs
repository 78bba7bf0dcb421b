//! Reverse-mode automatic differentiation.
//!
//! Every operation on a tensor that tracks gradients leaves a node behind: the operation, what it
//! saved, and an edge to the origin of each input.
//!
//! ```text
//!     w (leaf) ──► mul #1 ──► sum #2 ◄── loss
//!     x (constant)
//! ```
//!
//! `loss.backward()` visits nodes from the youngest to the oldest, which is a topological order
//! because an operation is always younger than its inputs. Each node turns the gradient of its
//! output into gradients of its inputs; those of leaves are returned as [`Gradients`]. What a node
//! saved is freed as the visit passes.

mod backward;
mod checkpoint;
mod function;
mod grad_mode;
mod gradcheck;
mod graph;
pub(crate) mod node;
mod scope;
mod shapes_only;

pub use backward::Gradients;
pub use checkpoint::{checkpoint, is_recomputing};
pub use function::{
    Description, Function, VariadicFunction, apply, apply_variadic, gradients, reject,
};
pub use grad_mode::{is_grad_enabled, no_grad};
pub use gradcheck::{Gradcheck, gradcheck};
pub use graph::{Graph, GraphInput, GraphNode, GraphSource};
pub use node::LeafId;
pub use scope::{LayerTime, Observed, observe, profile, scope};
pub(crate) use shapes_only::is_shapes_only;
pub use shapes_only::shapes_only;

#[cfg(test)]
mod tests;
