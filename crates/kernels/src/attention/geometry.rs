//! The sizes of an attention.

use super::OP;
use crate::geometry::{GeometryError, element_count};

/// Queries `[batch, queries, depth]` that are compared with keys `[batch, keys, depth]` and gather values
/// `[batch, keys, values]`, all dense and row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionGeometry {
    batch: usize,
    queries: usize,
    keys: usize,
    depth: usize,
    values: usize,
}

impl AttentionGeometry {
    /// `depth` numbers are compared, `values` gathered.
    ///
    /// # Errors
    /// If there are no keys, they have no elements, or an operand cannot be addressed.
    pub fn new(
        batch: usize,
        [queries, keys]: [usize; 2],
        [depth, values]: [usize; 2],
    ) -> Result<Self, GeometryError> {
        for (field, size) in [("keys", keys), ("depth", depth), ("values", values)] {
            if size == 0 {
                let rule = "it must be at least 1";
                return Err(GeometryError::new(OP, field, "0".to_owned(), rule));
            }
        }
        element_count(OP, "q", &[batch, queries, depth])?;
        element_count(OP, "k", &[batch, keys, depth])?;
        element_count(OP, "v", &[batch, keys, values])?;
        element_count(OP, "y", &[batch, queries, values])?;
        Ok(Self {
            batch,
            queries,
            keys,
            depth,
            values,
        })
    }

    /// The number of problems.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of queries of each.
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// The number of keys of each.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The length of a query and of a key.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The length of a value.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The number of elements of the queries.
    pub fn q_len(&self) -> usize {
        self.batch * self.queries * self.depth
    }

    /// The number of elements of the keys.
    pub fn k_len(&self) -> usize {
        self.batch * self.keys * self.depth
    }

    /// The number of elements of the values.
    pub fn v_len(&self) -> usize {
        self.batch * self.keys * self.values
    }

    /// The number of elements of the result.
    pub fn y_len(&self) -> usize {
        self.batch * self.queries * self.values
    }

    /// The number of queries of the whole batch.
    pub fn rows(&self) -> usize {
        self.batch * self.queries
    }
}
