//! `striate graft-cost`: what every plug-in would cost a network, measured.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use striate::kernels::parallel;
use striate::layers::{self, Identity, Module, Place, VarBuilder, catalog, set_training};
use striate::models::{Plugin, graft, slots};
use striate::{Philox, Tensor, current_level, no_grad};

use crate::args::{count, seconds};
use crate::dims::joined;
use crate::failure::Failure;
use crate::network::{self, Network, Slots};
use crate::output::{Output, grouped, note, table};
use crate::signal;

/// Rounds that are not counted, and the least number that is.
const WARM_UP: usize = 2;
const LEAST: usize = 5;

/// What new plug-ins are drawn from.
const SEED: u64 = 0;

/// Measure what every plug-in would cost a network on this machine
#[derive(Args, Debug)]
#[command(
    after_help = "Each module that keeps the shape of a map is grafted into all slots of that place, and the network runs by turns with and without
it: the times are medians over the turns. Multiply-adds are those of the whole batch. Ctrl-C ends with what is measured so far.

Examples:
  striate graft-cost resnet50
  striate graft-cost resnet18 --place stage --size 96 --batch 8 --json
  striate graft-cost mobilenet_v2 --module se --module cbam:reduction=8 --seconds 5"
)]
pub(crate) struct GraftCost {
    /// The network: `striate models` lists them
    #[arg(value_name = "MODEL")]
    model: String,

    #[command(flatten)]
    slots: Slots,

    /// Where in a block: standard, pre, post, identity, conv3x3, or behind a stage
    #[arg(long, default_value = "standard", value_parser = network::place)]
    place: Place,

    /// The blocks, for example layer3.* [default: all that have the place free]
    #[arg(long, value_name = "PATTERN")]
    at: Option<String>,

    /// Only this module, with its arguments; may be given again [default: every module of `striate modules`]
    #[arg(long, value_name = "MODULE")]
    module: Vec<String>,

    /// Height and width of the images [default: what the network is meant for]
    #[arg(long, value_name = "N", value_parser = count)]
    size: Option<NonZeroUsize>,

    /// How many images a batch has
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    batch: NonZeroUsize,

    /// Measure each module for about this long
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
}

#[derive(Serialize)]
struct Measured {
    module: String,
    /// How many slots it was put into.
    slots: usize,
    /// In how many of them behind a learned factor, since it is not the identity by itself.
    blended: usize,
    parameters: usize,
    multiply_adds: u64,
    added_ms: f64,
    plain_ms: f64,
    grafted_ms: f64,
    rounds: usize,
}

#[derive(Serialize)]
struct LeftOut {
    module: String,
    left_out: String,
}

/// The network without plug-ins and one that gets them.
struct Pair {
    plain: Box<dyn Module>,
    grafted: Box<dyn Module>,
    /// The blocks that get one.
    blocks: Vec<Arc<str>>,
    place: Place,
    x: Tensor,
    /// Parameters and multiply-adds without.
    cost: [u64; 2],
}

impl GraftCost {
    pub(crate) fn run(&self, out: &mut Output) -> Result<(), Failure> {
        let plugins = self.plugins()?;
        let pair = self.pair()?;
        let stop = signal::stop_flag_saying(
            "interrupted: finishing this run, then telling what is measured (Ctrl-C again stops at once)",
            "Ctrl-C will end without telling what is measured",
        );
        let (mut measured, mut left_out) = (Vec::new(), Vec::new());
        for (i, (text, plugin)) in plugins.iter().enumerate() {
            let module = text.clone();
            match pair.graft(plugin) {
                Ok(blended) => {
                    note(format!("{}/{} {text}", i + 1, plugins.len()));
                    measured.extend(pair.measure(module, blended, self.seconds, &stop)?);
                }
                Err(reason) => left_out.push(LeftOut {
                    module,
                    left_out: Failure::work(reason).message().to_owned(),
                }),
            }
            pair.clear();
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        measured.sort_by(|a, b| a.added_ms.total_cmp(&b.added_ms));
        self.tell(&pair, &measured, &left_out, out)?;
        let told = measured.len() + left_out.len();
        if told < plugins.len() {
            let all = plugins.len();
            return Err(Failure::work(format!(
                "interrupted after {told} of {all} modules"
            )));
        }
        Ok(())
    }

    /// What is to be measured, with how it was asked for.
    fn plugins(&self) -> Result<Vec<(String, Plugin)>, Failure> {
        let mut texts = self.module.clone();
        if texts.is_empty() {
            texts.extend(catalog::entries().map(|entry| entry.name.to_owned()));
        }
        texts
            .into_iter()
            .map(|text| {
                let plugin = Plugin::parse(&text).map_err(Failure::usage)?;
                Ok((text, plugin))
            })
            .collect()
    }

    fn pair(&self) -> Result<Pair, Failure> {
        let network = Network {
            model: self.model.clone(),
            slots: self.slots.clone(),
        };
        let [channels, h, w] = network.info()?.input;
        let [h, w] = self.size.map_or([h, w], |size| [size.get(); 2]);
        let input = [self.batch.get(), channels, h, w];
        let blocks = self.blocks(&network.build(channels, None, &VarBuilder::zeros())?)?;
        let build = || {
            let built = network.build(channels, None, &VarBuilder::seeded(SEED))?;
            set_training(&built, false);
            Ok::<_, Failure>(built)
        };
        let (plain, grafted) = (build()?, build()?);
        let summary = layers::summary(&plain, &input)?;
        Ok(Pair {
            plain,
            grafted,
            blocks,
            place: self.place,
            x: Tensor::randn(input, &mut Philox::new(SEED))?,
            cost: [summary.parameters as u64, summary.multiply_adds],
        })
    }

    /// The blocks that have the place free, or that the pattern asks for; the network is of no use afterwards.
    fn blocks(&self, network: &dyn Module) -> Result<Vec<Arc<str>>, Failure> {
        if let Some(pattern) = &self.at {
            let empty = Plugin::new("empty", |_, _| Ok(Identity));
            let grafted =
                graft(network, pattern, self.place, &empty, SEED).map_err(Failure::usage)?;
            return Ok(grafted.into_iter().map(|g| g.block).collect());
        }
        let all = slots(network);
        let (free, taken): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(|slot| slot.place() == self.place)
            .partition(|slot| slot.is_empty());
        if let (true, Some(taken)) = (free.is_empty(), taken.first()) {
            let (model, place) = (&self.model, network::place_name(self.place));
            let occupant = taken.occupant().unwrap_or_default();
            return Err(Failure::usage(format!(
                "in {model} every {place} slot is taken by {occupant}"
            )));
        }
        if free.is_empty() {
            let mut there: Vec<&str> = Vec::new();
            for slot in &all {
                let name = network::place_name(slot.place());
                if !there.contains(&name) {
                    there.push(name);
                }
            }
            let (model, place) = (&self.model, network::place_name(self.place));
            return Err(Failure::usage(match there.as_slice() {
                [] => format!("{model} has no slots"),
                there => format!("{model} has no {place} slots; it has {}", there.join(", ")),
            }));
        }
        Ok(free.iter().map(|slot| Arc::clone(slot.path())).collect())
    }

    fn tell(
        &self,
        pair: &Pair,
        measured: &[Measured],
        left_out: &[LeftOut],
        out: &mut Output,
    ) -> Result<(), Failure> {
        measured.iter().try_for_each(|m| out.object(m))?;
        left_out.iter().try_for_each(|l| out.object(l))?;
        let heading = ["module", "parameters", "multiply-adds", "ms added", "%", ""];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(measured.iter().map(|m| {
            vec![
                m.module.clone(),
                grouped(m.parameters as u64),
                grouped(m.multiply_adds),
                format!("{:.3}", m.added_ms),
                format!("{:.1}", 100.0 * m.added_ms / m.plain_ms),
                if m.blended > 0 { "blended" } else { "" }.to_owned(),
            ]
        }));
        let plain = measured.iter().map(|m| m.plain_ms);
        let place = network::place_name(self.place);
        out.text(format!(
            "{} {}, {} {place} {}, {}, {} threads, {:.3} ms without",
            self.model,
            joined(pair.x.shape()),
            pair.blocks.len(),
            if pair.blocks.len() == 1 {
                "slot"
            } else {
                "slots"
            },
            current_level()?,
            parallel::threads(),
            median(plain.collect()),
        ))?;
        table(&rows).iter().try_for_each(|line| out.text(line))?;
        left_out
            .iter()
            .try_for_each(|l| out.text(format!("left out: {}: {}", l.module, l.left_out)))
    }
}

impl Pair {
    /// Puts the plug-in into every block; how often behind a learned factor.
    fn graft(&self, plugin: &Plugin) -> striate::Result<usize> {
        let mut blended = 0;
        for block in &self.blocks {
            let new = graft(&self.grafted, block, self.place, plugin, SEED)?;
            blended += new.iter().filter(|g| g.blended).count();
        }
        set_training(&self.grafted, false);
        // What works on the map that `graft` tries may still not fit this network's.
        layers::summary(&self.grafted, self.x.shape())?;
        Ok(blended)
    }

    fn clear(&self) {
        clear(&self.grafted, self.place, &self.blocks);
    }

    /// The cost of what stands in the slots; nothing if it was interrupted before there was enough.
    fn measure(
        &self,
        module: String,
        blended: usize,
        budget: Duration,
        stop: &AtomicBool,
    ) -> Result<Option<Measured>, Failure> {
        let summary = layers::summary(&self.grafted, self.x.shape())?;
        let networks = [&self.plain, &self.grafted];
        let mut times = [Vec::new(), Vec::new()];
        let mut start = Instant::now();
        for round in 0.. {
            if round == WARM_UP {
                times.iter_mut().for_each(Vec::clear);
                start = Instant::now();
            }
            if round >= WARM_UP + LEAST && start.elapsed() >= budget {
                break;
            }
            // Whoever runs first finds the other's data in the caches: they take turns.
            for which in [round % 2, (round + 1) % 2] {
                if stop.load(Ordering::SeqCst) {
                    return Ok(None);
                }
                let one = Instant::now();
                black_box(no_grad(|| networks[which].forward(&self.x))?);
                times[which].push(1e3 * one.elapsed().as_secs_f64());
            }
        }
        let rounds = times[0].len();
        let [plain_ms, grafted_ms] = times.map(median);
        let [parameters, multiply_adds] = self.cost;
        Ok(Some(Measured {
            module,
            slots: self.blocks.len(),
            blended,
            parameters: summary.parameters - parameters as usize,
            multiply_adds: summary.multiply_adds.saturating_sub(multiply_adds),
            added_ms: grafted_ms - plain_ms,
            plain_ms,
            grafted_ms,
            rounds,
        }))
    }
}

/// Empties the slots of these blocks at that place.
fn clear(network: &dyn Module, place: Place, blocks: &[Arc<str>]) {
    for slot in slots(network) {
        if slot.place() == place && blocks.contains(slot.path()) {
            slot.clear();
        }
    }
}

/// The middle one; 0 of none.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
