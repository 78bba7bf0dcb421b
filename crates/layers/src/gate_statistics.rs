//! What channel gates do on average, for each class: the analysis of the squeeze-and-excitation
//! paper ("role of excitation").

use std::collections::BTreeMap;

use striate_tensor::{Error, Result};

use crate::nearest;
use crate::probe::{Probe, ProbeKind};

/// Collects the channel gates of a network over a data set.
///
/// ```text
/// let (y, probes) = probe::record(|| model.forward(&images));
/// statistics.add(&probes, &labels)?;
/// ...
/// let gates = statistics.get("SE_4_6")?;
/// ```
#[derive(Clone, Debug)]
pub struct GateStatistics {
    classes: usize,
    layers: BTreeMap<String, Sums>,
}

/// Sums over the samples of one layer.
#[derive(Clone, Debug)]
struct Sums {
    channels: usize,
    /// Class by class, channel by channel.
    by_class: Vec<f64>,
    samples: Vec<u64>,
    squares: Vec<f64>,
}

/// The gates of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// The mean gate of each class, channel by channel; `None` for a class without samples.
    pub by_class: Vec<Option<Vec<f64>>>,
    /// The mean over all samples, channel by channel.
    pub mean: Vec<f64>,
    /// The standard deviation over all samples, channel by channel.
    pub std: Vec<f64>,
    /// Number of samples.
    pub samples: u64,
}

impl GateStatistics {
    /// Nothing collected yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            layers: BTreeMap::new(),
        }
    }

    /// Adds the channel gates of a batch; other probes are passed over.
    ///
    /// # Errors
    /// A label is no class, the number of labels is not that of the samples, or a layer has
    /// another number of channels than before.
    pub fn add(&mut self, probes: &[Probe], labels: &[i64]) -> Result<()> {
        let class = |&label: &i64| {
            usize::try_from(label)
                .ok()
                .filter(|&l| l < self.classes)
                .ok_or_else(|| {
                    Error::index(
                        "GateStatistics",
                        format!("label {label} of {} classes", self.classes),
                    )
                })
        };
        let labels: Vec<usize> = labels.iter().map(class).collect::<Result<_>>()?;
        for probe in probes.iter().filter(|p| p.kind == ProbeKind::ChannelGate) {
            let [n, channels] = probe.tensor.dims_array("GateStatistics")?;
            if n != labels.len() {
                let detail = format!(
                    "{} labels for gates of shape [{n}, {channels}]",
                    labels.len()
                );
                return Err(Error::shape("GateStatistics", detail).at(&probe.path));
            }
            let sums = self
                .layers
                .entry(probe.path.to_string())
                .or_insert_with(|| Sums {
                    channels,
                    by_class: vec![0.0; self.classes * channels],
                    samples: vec![0; self.classes],
                    squares: vec![0.0; channels],
                });
            if sums.channels != channels {
                let detail = format!("{channels} channels, {} before", sums.channels);
                return Err(Error::shape("GateStatistics", detail).at(&probe.path));
            }
            sums.add(
                &probe
                    .tensor
                    .to_dtype(striate_tensor::DType::F64)?
                    .to_vec()?,
                &labels,
            );
        }
        Ok(())
    }

    /// The paths of the layers seen.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }

    /// The gates of a layer, by its path or by its name in the paper.
    ///
    /// # Errors
    /// No such layer was seen; the text names the nearest.
    pub fn get(&self, name: &str) -> Result<Gates> {
        let found = self
            .layers
            .iter()
            .find(|(p, _)| *p == name || paper_name(p).as_deref() == Some(name));
        match found {
            Some((_, sums)) => Ok(sums.gates()),
            None => {
                let near = nearest(name, self.layers());
                let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
                Err(Error::msg(format!(
                    "no layer {name:?} emitted channel gates{near}"
                )))
            }
        }
    }
}

impl Sums {
    fn add(&mut self, gates: &[f64], labels: &[usize]) {
        for (row, &label) in gates.chunks_exact(self.channels.max(1)).zip(labels) {
            self.samples[label] += 1;
            let sums = &mut self.by_class[label * self.channels..][..self.channels];
            for ((sum, square), &g) in sums.iter_mut().zip(&mut self.squares).zip(row) {
                *sum += g;
                *square += g * g;
            }
        }
    }

    fn gates(&self) -> Gates {
        let samples: u64 = self.samples.iter().sum();
        let n = (samples as f64).max(1.0);
        let rows = || self.by_class.chunks_exact(self.channels.max(1));
        let mean: Vec<f64> = (0..self.channels)
            .map(|c| rows().map(|row| row[c]).sum::<f64>() / n)
            .collect();
        let variance = mean
            .iter()
            .zip(&self.squares)
            .map(|(m, s)| (s / n - m * m).max(0.0));
        let class = |(row, &count): (&[f64], &u64)| {
            (count > 0).then(|| row.iter().map(|s| s / count as f64).collect())
        };
        Gates {
            by_class: rows().zip(&self.samples).map(class).collect(),
            std: variance.map(f64::sqrt).collect(),
            mean,
            samples,
        }
    }
}

/// The paper's name of the attention in a block: `layer2.0.se` is `SE_3_1` (stage 2 is the
/// first residual stage, blocks count from 1).
#[must_use]
pub fn paper_name(path: &str) -> Option<String> {
    let mut segments = path.split('.').skip_while(|s| !s.starts_with("layer"));
    let stage: usize = segments.next()?.strip_prefix("layer")?.parse().ok()?;
    let block: usize = segments.next()?.parse().ok()?;
    Some(format!(
        "SE_{}_{}",
        stage.checked_add(1)?,
        block.checked_add(1)?
    ))
}
