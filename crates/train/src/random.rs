//! Which random numbers are used for what: a stream of the seed's generator for each purpose, epoch and sample.
//!
//! A stream's key depends on nothing but these, so that the numbers are the same in any order, on any number of threads,
//! and after a resume.

use striate_tensor::Philox;

/// What random numbers are for: the upper two bits of the stream's key.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// How the samples of a batch are mixed.
    Mix = 0,
    /// The order of the samples of an epoch.
    Order = 1,
    /// The changes of a sample in an epoch.
    Augment = 2,
    /// What a model draws in a training step: dropout and its like.
    Step = 3,
}

/// Below this an epoch's number and a sample's index share a key without overlap.
pub(crate) const MAX_EPOCHS: u64 = 1 << 22;
pub(crate) const MAX_SAMPLES: u64 = 1 << 40;

/// The generator for a purpose; `epoch` is below [`MAX_EPOCHS`], `index` below [`MAX_SAMPLES`].
pub(crate) fn stream(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> Philox {
    let key = (purpose as u64) << 62 | (epoch % MAX_EPOCHS) << 40 | (index % MAX_SAMPLES);
    Philox::new(seed).stream(key)
}

/// The generator of what mixes a batch. Not key 0, which is the seed's own sequence.
pub(crate) fn mix_stream(seed: u64, epoch: u64, batch: u64) -> Philox {
    stream(seed, Purpose::Mix, epoch, batch + 1)
}

/// The generator of a training step, counted from the start of the run.
pub(crate) fn step_stream(seed: u64, step: u64) -> Philox {
    Philox::new(seed).stream((Purpose::Step as u64) << 62 | step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_epoch_and_sample_has_its_own_numbers() {
        let mut first: Vec<u64> = Vec::new();
        for purpose in [Purpose::Order, Purpose::Augment] {
            for epoch in [0, 1, MAX_EPOCHS - 1] {
                for index in [0, 1, MAX_SAMPLES - 1] {
                    first.push(stream(7, purpose, epoch, index).next_u64());
                }
            }
        }
        first.extend((0..3).map(|batch| mix_stream(7, batch / 2, batch).next_u64()));
        first.push(Philox::new(7).next_u64());
        first.extend((0..3).map(|step| step_stream(7, step).next_u64()));
        first.push(stream(8, Purpose::Order, 0, 0).next_u64());
        let count = first.len();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), count);
    }
}
