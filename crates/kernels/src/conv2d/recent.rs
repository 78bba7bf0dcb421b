//! The last choices of a thread: a network asks the same questions again and again, and its smallest convolutions take no
//! longer than their predictions.

/// Questions that are remembered.
const REMEMBERED: usize = 64;

/// Questions and their answers.
#[derive(Debug)]
pub(super) struct Recent<Q, A> {
    answers: Vec<(Q, A)>,
    /// The oldest one, once there are [`REMEMBERED`].
    oldest: usize,
}

impl<Q: Copy + PartialEq, A: Copy> Recent<Q, A> {
    pub(super) const fn new() -> Self {
        Self {
            answers: Vec::new(),
            oldest: 0,
        }
    }

    /// What `answer` makes of the question, or made of it before.
    pub(super) fn answer(&mut self, question: Q, answer: impl Fn(&Q) -> A) -> A {
        let known = self.answers.iter().find(|(asked, _)| *asked == question);
        if let Some((_, answer)) = known {
            return *answer;
        }
        let answer = (question, answer(&question));
        if self.answers.len() < REMEMBERED {
            self.answers.push(answer);
        } else {
            self.answers[self.oldest] = answer;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        answer.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_remembered_is_what_was_answered() {
        let (mut recent, asked) = (Recent::new(), Cell::new(0));
        let square = |&n: &usize| {
            asked.set(asked.get() + 1);
            n * n
        };
        // More questions than are remembered, twice.
        let count = REMEMBERED + 9;
        for n in (0..count).chain(0..count) {
            for _ in 0..2 {
                assert_eq!(recent.answer(n, square), n * n);
            }
        }
        assert_eq!(recent.answers.len(), REMEMBERED);
        assert_eq!(asked.get(), 2 * count);
    }
}
