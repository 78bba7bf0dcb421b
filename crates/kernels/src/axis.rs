//! Which positions of one axis meet: the inputs that each output is made of, and the outputs that each input is in.

/// For each position of one side the positions of the other side that it meets, each with what connects them.
#[derive(Clone, Debug)]
pub(crate) struct Axis<T> {
    ends: Vec<usize>,
    meetings: Vec<(usize, T)>,
}

impl<T: Copy> Axis<T> {
    /// The lists of all positions, in their order.
    pub(crate) fn collect(lists: impl Iterator<Item = impl Iterator<Item = (usize, T)>>) -> Self {
        let (mut ends, mut meetings) = (Vec::new(), Vec::new());
        for list in lists {
            meetings.extend(list);
            ends.push(meetings.len());
        }
        Self { ends, meetings }
    }

    /// For each of `others` positions of the other side those of this side that meet it, in ascending order.
    pub(crate) fn reversed(&self, others: usize) -> Self {
        let mut lists = vec![Vec::new(); others];
        for position in 0..self.ends.len() {
            for &(other, connection) in self.of(position) {
                lists[other].push((position, connection));
            }
        }
        Self::collect(lists.into_iter().map(Vec::into_iter))
    }

    /// What the position meets.
    pub(crate) fn of(&self, position: usize) -> &[(usize, T)] {
        let start = position
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.meetings[start..self.ends[position]]
    }

    /// How many meetings there are for a position, on average and rounded up.
    pub(crate) fn density(&self) -> usize {
        self.meetings.len().div_ceil(self.ends.len().max(1))
    }

    /// From the first to the last that a position meets, at most, with all between them.
    pub(crate) fn span(&self) -> usize {
        let span = |position| match self.of(position) {
            [(first, _), .., (last, _)] => last + 1 - first,
            few => few.len(),
        };
        (0..self.ends.len()).map(span).max().unwrap_or(0)
    }
}
