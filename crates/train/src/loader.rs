//! Batches of a data set, prepared ahead of their use.
//!
//! [`Loader::epoch`] gives an epoch's batches in an order that depends on the seed and the epoch alone. With more than one thread
//! they are prepared on a thread of their own, which keeps [`AHEAD`] of them ready; the work itself (reading, warping) is done by
//! the pool that computes the network too, so that no more threads are busy than were asked for. With one thread, or when called
//! from inside the pool, every batch is prepared when it is asked for. Either way the batches are the same.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use striate_kernels::parallel;
use striate_tensor::{Buffer, MemoryFormat, Tensor};

use crate::augment::Transform;
use crate::data::{Dataset, volume};
use crate::error::{Error, Result};
use crate::random::{MAX_EPOCHS, MAX_SAMPLES, Purpose, stream};

/// How many finished batches wait for their use.
pub const AHEAD: usize = 2;

/// What a network is given at once.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, C, H, W]`, f32.
    pub images: Tensor,
    /// `[N]`, i64.
    pub labels: Tensor,
}

/// In which order the samples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the data set has them; the last batch may be smaller.
    Sequential,
    /// Shuffled anew for each epoch; samples that do not fill the last batch are left out of that epoch, unless there are
    /// too few for a single one.
    Shuffled,
}

/// Makes batches of a data set.
#[derive(Clone, Debug)]
pub struct Loader {
    source: Arc<Source>,
    batch_size: usize,
    order: Order,
}

/// What a batch is made from.
#[derive(Debug)]
struct Source {
    data: Arc<dyn Dataset>,
    transform: Arc<dyn Transform>,
    seed: u64,
    channels: usize,
    size: [usize; 2],
}

impl Loader {
    /// Batches of `batch_size` samples of `data`, each changed by `transform`.
    ///
    /// # Errors
    /// When the data set is empty, the batch size is 0, or `transform` cannot be applied to its pictures.
    pub fn new(
        data: Arc<dyn Dataset>,
        transform: Arc<dyn Transform>,
        batch_size: usize,
        order: Order,
        seed: u64,
    ) -> Result<Self> {
        if data.is_empty() || data.len() as u64 >= MAX_SAMPLES {
            let detail = format!("{} samples: at least 1 and below 2^40", data.len());
            return Err(Error::config("data set", detail));
        }
        let (channels, size) = transform.output(data.channels(), data.image_size())?;
        let values = volume(channels, size).and_then(|n| n.checked_mul(batch_size));
        // None and an overflow are both out of range.
        let possible = 1..=isize::MAX as usize / size_of::<f32>();
        if !values.is_some_and(|n| possible.contains(&n)) {
            let [h, w] = size;
            let detail = format!("{batch_size} pictures of {channels}x{h}x{w} make no tensor");
            return Err(Error::config("batch size", detail));
        }
        let source = Source {
            data,
            transform,
            seed,
            channels,
            size,
        };
        Ok(Self {
            source: Arc::new(source),
            batch_size,
            order,
        })
    }

    /// How many batches an epoch has.
    pub fn batches(&self) -> usize {
        let len = self.source.data.len();
        match self.order {
            Order::Sequential => len.div_ceil(self.batch_size),
            Order::Shuffled => (len / self.batch_size).max(1),
        }
    }

    /// How many samples an epoch has.
    pub fn samples(&self) -> usize {
        self.source
            .data
            .len()
            .min(self.batches().saturating_mul(self.batch_size))
    }

    /// How many samples the batches of these numbers have together.
    pub(crate) fn samples_of(&self, batches: Range<usize>) -> usize {
        let end = |batch: usize| batch.saturating_mul(self.batch_size).min(self.samples());
        end(batches.end).saturating_sub(end(batches.start))
    }

    /// The largest number of samples in a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Channels, height and width of what the network is given.
    pub fn input(&self) -> [usize; 3] {
        let [h, w] = self.source.size;
        [self.source.channels, h, w]
    }

    /// What the batches are made of.
    pub fn data(&self) -> &Arc<dyn Dataset> {
        &self.source.data
    }

    /// What is done to each sample.
    pub fn transform(&self) -> &Arc<dyn Transform> {
        &self.source.transform
    }

    /// The batches of an epoch from number `first` on.
    ///
    /// # Errors
    /// When the number of the epoch is 2^22 or more, or the thread cannot be started.
    pub fn epoch(&self, epoch: u64, first: usize) -> Result<Batches> {
        if epoch >= MAX_EPOCHS {
            return Err(Error::config(
                "epoch",
                format!("{epoch}: below {MAX_EPOCHS}"),
            ));
        }
        let mut order: Vec<usize> = (0..self.source.data.len()).collect();
        if self.order == Order::Shuffled {
            stream(self.source.seed, Purpose::Order, epoch, 0).shuffle(&mut order);
        }
        order.truncate(self.samples());
        let job = Job {
            source: Arc::clone(&self.source),
            order,
            batch_size: self.batch_size,
            epoch,
        };
        let left = first..self.batches().max(first);
        let worker = if parallel::threads() > 1 && !parallel::inside_pool() && left.len() > 1 {
            Some(Worker::start(job.clone(), left.clone())?)
        } else {
            None
        };
        Ok(Batches { job, left, worker })
    }
}

/// The batches of an epoch, in order. Dropping it stops their preparation.
#[derive(Debug)]
pub struct Batches {
    job: Job,
    left: Range<usize>,
    worker: Option<Worker>,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let number = self.left.next()?;
        let batch = match &self.worker {
            None => self.job.batch(number),
            Some(worker) => worker.next(),
        };
        if batch.is_err() {
            self.left.start = self.left.end;
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Batches {}

/// A thread that prepares batches until it is dropped.
#[derive(Debug)]
struct Worker {
    /// `None` only while dropping.
    ready: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(job: Job, numbers: Range<usize>) -> Result<Self> {
        let (send, ready) = sync_channel(AHEAD);
        let work = move || {
            for number in numbers {
                let batch = job.batch(number);
                let failed = batch.is_err();
                // A receiver that is gone wants no more.
                if send.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("striate-loader".to_owned())
            .spawn(work)
            .map_err(|e| Error::Mismatch(format!("cannot start the loader's thread: {e}")))?;
        Ok(Self {
            ready: Some(ready),
            thread: Some(thread),
        })
    }

    fn next(&self) -> Result<Batch> {
        let stopped = || Error::Mismatch("the loader's thread stopped".to_owned());
        let ready = self.ready.as_ref().ok_or_else(stopped)?;
        ready.recv().map_err(|_| stopped())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, and it ends.
        self.ready = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The samples of an epoch, cut into batches.
#[derive(Clone, Debug)]
struct Job {
    source: Arc<Source>,
    order: Vec<usize>,
    batch_size: usize,
    epoch: u64,
}

impl Job {
    fn batch(&self, number: usize) -> Result<Batch> {
        let start = number.saturating_mul(self.batch_size).min(self.order.len());
        let end = start.saturating_add(self.batch_size).min(self.order.len());
        self.source.batch(&self.order[start..end], self.epoch)
    }
}

impl Source {
    fn batch(&self, indices: &[usize], epoch: u64) -> Result<Batch> {
        let image = volume(self.channels, self.size).unwrap_or(0);
        let mut values =
            Buffer::<f32>::recycled(indices.len() * image).map_err(striate_tensor::Error::from)?;
        let mut labels: Vec<Result<i64>> = indices.iter().map(|_| Ok(0)).collect();
        parallel::for_each_chunk2(
            (&mut values, image),
            (&mut labels, 1),
            |i, values, label| {
                label[0] = self.sample(indices[i], epoch, values);
            },
        );
        let labels: Vec<i64> = labels.into_iter().collect::<Result<_>>()?;
        let [h, w] = self.size;
        let shape = [indices.len(), self.channels, h, w];
        Ok(Batch {
            images: Tensor::from_buffer(values, shape, MemoryFormat::RowMajor)?,
            labels: Tensor::from_vec(labels, [indices.len()])?,
        })
    }

    /// Writes the values of one changed sample and returns its label.
    fn sample(&self, index: usize, epoch: u64, values: &mut [f32]) -> Result<i64> {
        let sample = self.data.get(index)?;
        let mut rng = stream(self.seed, Purpose::Augment, epoch, index as u64);
        let image = self.transform.apply(sample.image, &mut rng)?;
        if image.channels() != self.channels || image.size() != self.size {
            let (got, [h, w]) = (image.channels(), image.size());
            let [eh, ew] = self.size;
            return Err(Error::Mismatch(format!(
                "sample {index} became {got}x{h}x{w} instead of {}x{eh}x{ew}",
                self.channels
            )));
        }
        values.copy_from_slice(image.values());
        i64::try_from(sample.label).map_err(|_| Error::Mismatch("a label is too large".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Affine, Pipeline, Shift};
    use crate::data::{Image, ImageSet, Sample, digits};

    fn loader(batch_size: usize, order: Order) -> Loader {
        let (train, _) = digits::split().unwrap();
        let warp = Affine::canvas([12, 10])
            .scale(0.8, 1.5)
            .rotation(20.0)
            .shift(0.1);
        let transform = Arc::new(Pipeline::new().then(warp));
        Loader::new(Arc::new(train), transform, batch_size, order, 3).unwrap()
    }

    fn contents(batches: Batches) -> Vec<(Vec<f32>, Vec<i64>)> {
        let read = |b: Result<Batch>| {
            let b = b.unwrap();
            (b.images.to_vec().unwrap(), b.labels.to_vec().unwrap())
        };
        batches.map(read).collect()
    }

    fn on_one_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap()
            .install(f)
    }

    #[test]
    fn the_batches_do_not_depend_on_threads_or_on_where_they_start() {
        let loader = loader(100, Order::Shuffled);
        let ahead = contents(loader.epoch(2, 0).unwrap());
        assert_eq!(ahead.len(), 14);
        assert_eq!(
            on_one_thread(|| contents(loader.epoch(2, 0).unwrap())),
            ahead
        );
        assert_eq!(contents(loader.epoch(2, 5).unwrap()), ahead[5..]);
        assert_eq!(contents(loader.epoch(2, 14).unwrap()), []);
        assert_eq!(contents(loader.epoch(2, 99).unwrap()), []);
        assert_ne!(contents(loader.epoch(3, 0).unwrap())[0], ahead[0]);
    }

    #[test]
    fn sequential_batches_hold_every_sample_in_order() {
        let loader = loader(1000, Order::Sequential);
        let batches: Vec<Batch> = loader.epoch(0, 0).unwrap().map(|b| b.unwrap()).collect();
        let shapes: Vec<&[usize]> = batches.iter().map(|b| b.images.shape()).collect();
        assert_eq!(shapes, [[1000, 1, 12, 10], [442, 1, 12, 10]]);
        let expected: Vec<i64> = (0..1442)
            .map(|i| loader.data().label(i).unwrap() as i64)
            .collect();
        let labels = batches
            .iter()
            .flat_map(|b| b.labels.to_vec::<i64>().unwrap());
        assert_eq!(labels.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_shuffled_epoch_has_whole_batches_of_distinct_samples() {
        let pixels: Vec<u8> = (0..10).collect();
        let classes = vec!["x".to_owned()];
        let set = ImageSet::new(pixels, vec![0; 10], 1, [1, 1], 1 << 7, classes).unwrap();
        let set: Arc<dyn Dataset> = Arc::new(set);
        let make = |size| {
            Loader::new(
                Arc::clone(&set),
                Arc::new(Pipeline::new()),
                size,
                Order::Shuffled,
                1,
            )
        };
        let loader = make(4).unwrap();
        assert_eq!(
            (loader.batches(), loader.samples(), loader.input()),
            (2, 8, [1, 1, 1])
        );
        let mut seen: Vec<u8> = contents(loader.epoch(0, 0).unwrap())
            .into_iter()
            .flat_map(|(values, _)| values.into_iter().map(|v| (v * 128.0) as u8))
            .collect();
        assert_eq!(seen.len(), 8);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
        let large = make(11).unwrap();
        assert_eq!((large.batches(), large.samples()), (1, 10));
        assert!(make(0).is_err());
        assert!(make(usize::MAX).is_err());
    }

    /// A data set with a file that cannot be read.
    #[derive(Debug)]
    struct Broken(Vec<String>);

    impl Dataset for Broken {
        fn len(&self) -> usize {
            10
        }

        fn image_size(&self) -> [usize; 2] {
            [1, 1]
        }

        fn channels(&self) -> usize {
            1
        }

        fn classes(&self) -> &[String] {
            &self.0
        }

        fn label(&self, _: usize) -> Result<usize> {
            Ok(0)
        }

        fn get(&self, index: usize) -> Result<Sample> {
            match index {
                5 => Err(Error::Mismatch("file 5 is damaged".to_owned())),
                7 => Ok(Sample {
                    image: Image::filled(1, [2, 1], 0.0)?,
                    label: 0,
                }),
                _ => Ok(Sample {
                    image: Image::filled(1, [1, 1], 0.0)?,
                    label: 0,
                }),
            }
        }
    }

    #[test]
    fn an_error_comes_through_and_ends_the_epoch() {
        let none = Arc::new(Pipeline::new());
        let data = Arc::new(Broken(vec!["x".to_owned()]));
        let loader = Loader::new(data, none, 2, Order::Sequential, 0).unwrap();
        let message = |batches: Batches| -> Vec<String> {
            let text = |b: Result<Batch>| b.map_or_else(|e| e.to_string(), |_| "fine".to_owned());
            batches.map(text).collect()
        };
        let expected = ["fine", "fine", "file 5 is damaged"];
        assert_eq!(message(loader.epoch(0, 0).unwrap()), expected);
        assert_eq!(
            on_one_thread(|| message(loader.epoch(0, 0).unwrap())),
            expected
        );
        let other = message(loader.epoch(0, 3).unwrap());
        assert_eq!(other, ["sample 7 became 1x2x1 instead of 1x1x1"]);
        assert!(loader.epoch(MAX_EPOCHS, 0).is_err());
    }

    #[test]
    fn dropping_the_batches_ends_the_thread() {
        let loader = loader(10, Order::Shuffled);
        for used in 0..4 {
            let mut batches = loader.epoch(0, 0).unwrap();
            batches.by_ref().take(used).for_each(|b| drop(b.unwrap()));
            drop(batches);
            assert_eq!(
                Arc::strong_count(&loader.source),
                1,
                "the thread let go of its data"
            );
        }
    }

    #[test]
    fn a_transform_that_does_not_fit_is_an_error() {
        let (train, _) = digits::split().unwrap();
        let fine = Arc::new(Pipeline::new().then(Shift { limit: [1, 1] }));
        let train = Arc::new(train);
        assert!(Loader::new(train.clone(), fine, 10, Order::Shuffled, 0).is_ok());
        let crop = crate::augment::CentreCrop { size: [9, 9] };
        let large = Arc::new(Pipeline::new().then(crop));
        assert!(Loader::new(train, large, 10, Order::Shuffled, 0).is_err());
    }
}
