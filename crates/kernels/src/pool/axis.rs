//! Which positions of one axis meet: the inputs under the window of each output, and the outputs whose windows an input
//! is under.

use crate::geometry::{AdaptivePoolGeometry, PoolGeometry};

/// For each position of one side the positions of the other side that it meets, each with the number of the tap that
/// connects them.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    ends: Vec<usize>,
    meetings: Vec<(usize, usize)>,
}

impl Axis {
    /// For each output the inputs under its window.
    pub(super) fn of_windows(g: &PoolGeometry, axis: usize) -> Self {
        let inputs = |o| {
            g.taps_inside(axis, o)
                .map(move |t| (g.position(axis, o, t), t))
        };
        Self::collect((0..g.output()[2 + axis]).map(inputs))
    }

    /// For each output the inputs that it covers; the input is its own tap.
    pub(super) fn of_cells(g: &AdaptivePoolGeometry, axis: usize) -> Self {
        let inputs = |o| g.covered(axis, o).map(|i| (i, i));
        Self::collect((0..g.output()[2 + axis]).map(inputs))
    }

    /// For each of `inputs` positions the outputs that meet it, in ascending order.
    pub(super) fn reversed(&self, inputs: usize) -> Self {
        let mut outputs = vec![Vec::new(); inputs];
        for o in 0..self.ends.len() {
            for &(i, tap) in self.of(o) {
                outputs[i].push((o, tap));
            }
        }
        Self::collect(outputs.into_iter().map(Vec::into_iter))
    }

    /// What the position meets.
    pub(super) fn of(&self, position: usize) -> &[(usize, usize)] {
        let start = position
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.meetings[start..self.ends[position]]
    }

    fn collect(lists: impl Iterator<Item = impl Iterator<Item = (usize, usize)>>) -> Self {
        let (mut ends, mut meetings) = (Vec::new(), Vec::new());
        for list in lists {
            meetings.extend(list);
            ends.push(meetings.len());
        }
        Self { ends, meetings }
    }
}
