//! What a network is taught: a data set, how its pictures are changed, and what must be done to a new picture before the
//! network can be asked about it.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use striate::train::augment::{Affine, Axis, Flip, Normalise, Pipeline, RandomCrop, Transform};
use striate::train::data::folder::{Colours, read};
use striate::train::data::{Dataset, Image, Picture, Subset};
use striate::train::loader::{Loader, Order};
use striate::train::trainer::Data;
use striate::{Philox, Tensor};

use crate::failure::Failure;
use crate::source::{Source, Split};

/// The height and width that small pictures are brought to.
const CANVAS: [usize; 2] = [32, 32];
/// How many pictures the mean and the deviation are measured on.
const MEASURED: usize = 2048;
const MEASURED_BATCH: usize = 256;
/// How much larger scans of digits are drawn: at random for training and test, and for a new picture so that it may have a margin.
const DIGITS_SCALES: [f64; 2] = [2.0, 3.5];
const DIGITS_SCALE: f64 = 3.2;

/// What a network expects of a picture. Kept with a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// 1 for grey, 3 for red, green and blue.
    pub(crate) channels: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// The height and width of the pictures it learnt from, which a new one is brought to first.
    pub(crate) picture: [usize; 2],
    /// What the short side of a picture is scaled to before the middle is cut out, if not to cover `picture`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) short: Option<usize>,
    /// How much larger they are put in the middle of the input; around them is black.
    pub(crate) scale: f64,
    /// The mean of each channel, of values from 0 (black) to 1.
    pub(crate) mean: Vec<f32>,
    /// The standard deviation of each channel.
    pub(crate) std: Vec<f32>,
}

/// A data set with what is done to its pictures.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) data: Data,
    pub(crate) view: View,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Test,
}

impl Task {
    /// Reads `source`. Pictures of a folder become `side` pixels high and wide. `limit` keeps the first pictures only.
    pub(crate) fn new(source: &Source, side: usize, limit: Option<usize>) -> Result<Self, Failure> {
        let Split { train, test } = source.load([side, side], limit)?;
        let changes = |part| recipe(source, side, part);
        let (channels, size) = changes(Part::Train).output(train.channels(), train.image_size())?;
        let normalise = measure(&train, changes(Part::Train))?;
        let view = View {
            channels,
            size,
            picture: train.image_size(),
            short: None,
            scale: if *source == Source::Digits {
                DIGITS_SCALE
            } else {
                1.0
            },
            mean: normalise.mean().to_vec(),
            std: normalise.std().to_vec(),
        };
        let with_view =
            |part| -> Arc<dyn Transform> { Arc::new(changes(part).then(normalise.clone())) };
        let [train_transform, test_transform] = [Part::Train, Part::Test].map(with_view);
        Ok(Self {
            data: Data {
                train,
                train_transform,
                test,
                test_transform,
            },
            view,
        })
    }
}

/// How pictures are varied for training, and brought to the same size for the test.
///
/// A scan of a digit is 8 pixels wide and says nothing about where it was on the page: it is put anywhere on the canvas,
/// for the test too, at places that the seed decides.
fn recipe(source: &Source, side: usize, part: Part) -> Pipeline {
    let canvas = Affine::canvas(CANVAS);
    let pipeline = Pipeline::new();
    match (source, part) {
        (Source::Digits, _) => {
            let [low, high] = DIGITS_SCALES;
            pipeline.then(canvas.scale(low, high).rotation(15.0).shift(0.1))
        }
        (Source::Mnist(_), Part::Train) => {
            pipeline.then(canvas.scale(0.9, 1.15).rotation(12.0).shift(0.06))
        }
        (Source::FashionMnist(_), Part::Train) => pipeline.then(canvas.shift(0.06)).then(mirror()),
        (Source::Mnist(_) | Source::FashionMnist(_), Part::Test) => pipeline.then(canvas),
        (Source::Cifar10(_), Part::Train) => pipeline
            .then(RandomCrop {
                size: CANVAS,
                padding: 4,
            })
            .then(mirror()),
        (Source::Pictures(_), Part::Train) => pipeline
            .then(RandomCrop {
                size: [side, side],
                padding: side / 8,
            })
            .then(mirror()),
        (Source::Cifar10(_) | Source::Pictures(_), Part::Test) => pipeline,
    }
}

fn mirror() -> Flip {
    Flip {
        axis: Axis::Horizontal,
        probability: 0.5,
    }
}

/// The normalisation that gives each channel mean 0 and deviation 1, from at most [`MEASURED`] pictures evenly spread
/// over `data`.
fn measure(data: &Arc<dyn Dataset>, changes: Pipeline) -> Result<Normalise, Failure> {
    let count = data.len().min(MEASURED);
    let indices = (0..count).map(|i| i * data.len() / count).collect();
    let some = Subset::new(Arc::clone(data), indices)?;
    let loader = Loader::new(
        Arc::new(some),
        Arc::new(changes),
        MEASURED_BATCH,
        Order::Sequential,
        0,
    )?;
    let [channels, height, width] = loader.input();
    let (mut sum, mut square) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    for batch in loader.epoch(0, 0)? {
        let values = batch?.images.to_vec::<f32>()?;
        for (i, plane) in values.chunks_exact(height * width).enumerate() {
            for &v in plane {
                sum[i % channels] += f64::from(v);
                square[i % channels] += f64::from(v) * f64::from(v);
            }
        }
    }
    let pixels = (count * height * width) as f64;
    let mean: Vec<f64> = sum.iter().map(|s| s / pixels).collect();
    let deviations = mean
        .iter()
        .zip(&square)
        .map(|(m, q)| (q / pixels - m * m).max(0.0).sqrt());
    // A channel without contrast keeps its scale.
    let std = deviations
        .map(|d| if d > 1e-6 { d as f32 } else { 1.0 })
        .collect();
    Ok(Normalise::new(
        mean.into_iter().map(|m| m as f32).collect(),
        std,
    )?)
}

impl View {
    /// Reads a picture file as the network sees it: grey or coloured, scaled to cover the size of the pictures it learnt
    /// from, what stands over cut off, and put in the middle of the input; with `invert` dark becomes bright first.
    pub(crate) fn read(&self, path: &Path, invert: bool) -> Result<Image, Failure> {
        let colours = if self.channels == 1 {
            Colours::Grey
        } else {
            Colours::Rgb
        };
        let mut image = match self.short {
            None => read(path, self.picture, colours)?,
            Some(short) => {
                let picture = Picture::read(path)?;
                let picture = match colours {
                    Colours::Grey => picture.into_grey(),
                    Colours::Rgb => picture.into_rgb(),
                };
                let centre = picture.centre(short, self.picture);
                centre.map_err(|e| Failure::work(format!("{}: {e}", path.display())))?
            }
        };
        if invert {
            image.values_mut().iter_mut().for_each(|v| *v = 1.0 - *v);
        }
        Ok(Affine::canvas(self.size)
            .scale(self.scale, self.scale)
            .apply(image, &mut Philox::new(0))?)
    }

    /// A picture as a batch of one, normalised as in training.
    pub(crate) fn tensor(&self, image: &Image) -> Result<Tensor, Failure> {
        let normalise = Normalise::new(self.mean.clone(), self.std.clone())?;
        let image = normalise.apply(image.clone(), &mut Philox::new(0))?;
        let [height, width] = image.size();
        let shape = [1, image.channels(), height, width];
        Ok(Tensor::from_vec(image.values().to_vec(), shape)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_digits_come_normalised_on_a_canvas() {
        let task = Task::new(&Source::Digits, 64, None).unwrap();
        let View {
            channels,
            size,
            mean,
            std,
            ..
        } = &task.view;
        assert_eq!((*channels, *size), (1, [32, 32]));
        assert!(
            mean[0] > 0.05 && mean[0] < 0.4 && std[0] > 0.1,
            "{mean:?} {std:?}"
        );
        let loader = Loader::new(
            task.data.train,
            task.data.train_transform,
            500,
            Order::Shuffled,
            1,
        )
        .unwrap();
        let batch = loader.epoch(0, 0).unwrap().next().unwrap().unwrap();
        let values = batch.images.to_vec::<f32>().unwrap();
        let average = values.iter().sum::<f32>() / values.len() as f32;
        assert!(average.abs() < 0.1, "{average}");
    }

    #[test]
    fn a_file_is_seen_as_in_training() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let white = Picture::new([20, 40], 1, vec![255; 800]).unwrap();
        fs::write(&path, white.to_png().unwrap()).unwrap();
        let view = View {
            channels: 1,
            size: [10, 8],
            picture: [8, 8],
            short: None,
            scale: 1.0,
            mean: vec![0.5],
            std: vec![0.25],
        };
        let bright = view.tensor(&view.read(&path, false).unwrap()).unwrap();
        assert_eq!(bright.shape(), [1, 1, 10, 8]);
        let values = bright.to_vec::<f32>().unwrap();
        let (edge, middle) = ([-2.0; 8], [2.0; 64]);
        assert_eq!(values, [&edge[..], &middle, &edge].concat());
        let dark = view.tensor(&view.read(&path, true).unwrap()).unwrap();
        assert_eq!(dark.to_vec::<f32>().unwrap(), [-2.0; 80]);
        let missing = view.read(&folder.path().join("b.png"), false).unwrap_err();
        assert!(missing.message().contains("b.png"), "{missing:?}");
    }
}
