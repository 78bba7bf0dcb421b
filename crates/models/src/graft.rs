//! Plug-ins put into a network that exists, and taken out again.

use std::sync::Arc;

use striate_layers::module::{Part, walk};
use striate_layers::{
    Init, Layer, Module, Parameter, Place, Slot, VarBuilder, Visitor, evaluating, nearest,
    parameter_count, path_matches,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Error, Philox, Result, Tensor, no_grad};

use crate::Plugin;

/// A plug-in that [`graft`] put into a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grafted {
    /// The block.
    pub block: Arc<str>,
    /// Where in the block.
    pub place: Place,
    /// Learned numbers that came with it.
    pub parameters: usize,
    /// Whether it was blended in: a new module that is not the identity by itself gets a learned factor
    /// `blend`, 0 at first, of its difference from the identity.
    pub blended: bool,
}

/// Puts a plug-in into every block whose path matches `pattern`, at that place, such that the network computes
/// what it did before: its accuracy is untouched until it is trained.
///
/// `pattern` is a path in which `*` stands for any part of a name: `layer3.*` for all blocks of a stage, or
/// `layer3` with [`Place::Stage`]. The parts are named `BLOCK.NAME.*` and drawn from `seed`.
///
/// ```
/// use striate_layers::{Place, VarBuilder};
/// use striate_models::{Plugin, ResNetConfig, graft, prune};
///
/// # fn main() -> striate_tensor::Result<()> {
/// let net = ResNetConfig::resnet18().classes(10).build(&VarBuilder::seeded(0))?;
/// let grafted = graft(&net, "layer3.*", Place::Standard, &Plugin::cbam(), 1)?;
/// assert_eq!(grafted.len(), 2);
/// assert_eq!(prune(&net, "layer3.*"), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// No slot matches, one is taken, a block has a part of the plug-in's name, or the plug-in does not fit or changes
/// the shape of a map. The network is as it was then.
pub fn graft(
    network: &dyn Layer,
    pattern: &str,
    place: Place,
    plugin: &Plugin,
    seed: u64,
) -> Result<Vec<Grafted>> {
    let all = slots(network);
    let matching: Vec<&Slot> = all
        .iter()
        .filter(|slot| slot.place() == place && path_matches(pattern, slot.path()))
        .collect();
    if matching.is_empty() {
        return Err(no_match(&all, pattern, place));
    }
    if let Some(taken) = matching.iter().find(|slot| !slot.is_empty()) {
        let text = format!(
            "{place:?} is taken by {}",
            taken.occupant().unwrap_or_default()
        );
        return Err(Error::msg(text).at(taken.path()));
    }
    check_names(network, &matching, plugin.name())?;
    let mut new = Vec::new();
    for slot in matching {
        let vb = slot
            .path()
            .split('.')
            .fold(VarBuilder::seeded(seed), |vb, name| vb / name);
        let module = plugin.build(slot.channels(), &vb)?;
        let blended = !is_identity(&*module, slot.channels()).map_err(|e| e.at(slot.path()))?;
        let module: Box<dyn Module> = if blended {
            Box::new(Blend::new(module, &(vb / plugin.name()))?)
        } else {
            module
        };
        new.push((slot, module, blended));
    }
    new.into_iter()
        .map(|(slot, module, blended)| {
            let parameters = parameter_count(&module);
            slot.fill(slot.part(plugin.name()), module)?;
            Ok(Grafted {
                block: Arc::clone(slot.path()),
                place,
                parameters,
                blended,
            })
        })
        .collect()
}

/// Takes every plug-in out of the blocks whose path matches `pattern`; how many there were.
pub fn prune(network: &dyn Layer, pattern: &str) -> usize {
    let all = slots(network);
    all.iter()
        .filter(|slot| path_matches(pattern, slot.path()) && slot.clear())
        .count()
}

/// The slots of a network, in order.
#[must_use]
pub fn slots(network: &dyn Layer) -> Vec<Slot> {
    let mut slots = Vec::new();
    walk(network, &mut |_, part| {
        if let Part::Slot(slot) = part {
            slots.push(slot.clone());
        }
    });
    slots
}

/// Two parts of one name would be one in a state dict.
fn check_names(network: &dyn Layer, slots: &[&Slot], name: &str) -> Result<()> {
    let parts: Vec<String> = slots
        .iter()
        .map(|slot| match &**slot.path() {
            "" => name.to_owned(),
            block => format!("{block}.{name}"),
        })
        .collect();
    let mut taken = None;
    walk(network, &mut |path, _| {
        let within = |part: &&String| {
            let below = path.strip_prefix(part.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        taken = taken.or_else(|| parts.iter().find(within));
    });
    let Some(part) = taken else { return Ok(()) };
    let text = format!("{part} is there already: the plug-in needs another name than {name:?}");
    Err(Error::msg(text))
}

fn no_match(slots: &[Slot], pattern: &str, place: Place) -> Error {
    let there: Vec<&str> = slots
        .iter()
        .filter(|slot| slot.place() == place)
        .map(|slot| &**slot.path())
        .collect();
    let text = match (
        there.first(),
        there.last(),
        nearest(pattern, there.iter().copied()),
    ) {
        (Some(first), Some(last), near) => {
            let near = near.map_or(String::new(), |n| format!("; nearest: {n}"));
            format!(
                "no {place:?} slot matches {pattern:?}: there are {}, {first} to {last}{near}",
                there.len()
            )
        }
        _ => format!("the network has no {place:?} slots"),
    };
    Error::msg(text)
}

/// Whether a new module gives back its input, bit for bit; in evaluation, which leaves its statistics alone.
fn is_identity(module: &dyn Module, channels: usize) -> Result<bool> {
    let x = Tensor::randn([2, channels, 8, 8], &mut Philox::new(0))?;
    let same = || -> Result<bool> {
        let y = no_grad(|| module.forward(&x))?;
        if y.shape() != x.shape() {
            let text = format!(
                "the plug-in makes {:?} of {:?}: what stands in a slot must keep the shape",
                y.shape(),
                x.shape()
            );
            return Err(Error::msg(text));
        }
        Ok(y.to_vec::<f32>()? == x.to_vec::<f32>()?)
    };
    evaluating(module, same)
}

/// `x + blend * (plugin(x) - x)`, the identity as long as `blend` is 0.
#[derive(Debug)]
struct Blend {
    path: Arc<str>,
    blend: Parameter,
    plugin: Box<dyn Module>,
}

impl Blend {
    fn new(plugin: Box<dyn Module>, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            path: Arc::clone(vb.path()),
            blend: vb.parameter("blend", &[1], Init::ZEROS)?,
            plugin,
        })
    }
}

impl Layer for Blend {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("blend", &self.blend);
        self.plugin.visit(v);
    }
}

impl Module for Blend {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let difference = self.plugin.forward(x)?.sub(x)?;
            x.add(&difference.mul(&self.blend.tensor())?)
        })
    }
}
