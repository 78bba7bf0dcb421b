//! How work is cut into tasks.

use std::ops::Range;

/// Work worth a task of its own, in units of one `f32` read, computed on and written: some tens of microseconds.
const TASK_COST: usize = 1 << 15;

/// A fixed division of `items` equal items into tasks of `per_task` items, the last possibly with fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    items: usize,
    per_task: usize,
}

impl Cut {
    /// Tasks of about the same, worthwhile cost, from the cost of one item in units of one `f32` read, computed on
    /// and written.
    pub fn new(items: usize, cost_per_item: usize) -> Self {
        Self {
            items,
            per_task: (TASK_COST / cost_per_item.max(1)).max(1),
        }
    }

    /// Tasks of exactly `per_task` items (at least one).
    pub fn every(items: usize, per_task: usize) -> Self {
        Self {
            items,
            per_task: per_task.max(1),
        }
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.items.div_ceil(self.per_task)
    }

    /// The number of items of every task but the last.
    pub fn per_task(&self) -> usize {
        self.per_task
    }

    /// The items of a task.
    pub fn range(&self, task: usize) -> Range<usize> {
        let start = (task * self.per_task).min(self.items);
        start..(start + self.per_task).min(self.items)
    }
}
