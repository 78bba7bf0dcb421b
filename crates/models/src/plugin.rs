//! What can stand in the slots of a network.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use striate_layers::catalog::{self, Catalogued};
use striate_layers::{
    BamConfig, CbamConfig, CondConv2dConfig, Conv2dConfig, DeformConv2dConfig, DynamicConv2dConfig,
    EcaConfig, Layer, Module, OdConv2dConfig, Rounding, SqueezeExciteConfig, VarBuilder, Visitor,
};
use striate_tensor::{Error, Result, Tensor};

type Make = dyn Fn(usize, &VarBuilder) -> Result<Box<dyn Module>> + Send + Sync;

/// A module that keeps the shape of a map, for any number of channels.
///
/// ```
/// use striate_layers::VarBuilder;
/// use striate_models::Plugin;
///
/// # fn main() -> striate_tensor::Result<()> {
/// let eca = Plugin::eca();
/// let same = Plugin::parse("eca")?;
/// let narrow = Plugin::parse("cbam:reduction=8")?;
/// for plugin in [eca, same, narrow] {
///     plugin.build(64, &VarBuilder::seeded(0))?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Plugin {
    name: String,
    make: Arc<Make>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// A plug-in of one's own: `make` gets the channels of the map. Its parts are named `name`.
    pub fn new<M: Module + 'static>(
        name: impl Into<String>,
        make: impl Fn(usize, &VarBuilder) -> Result<M> + Send + Sync + 'static,
    ) -> Self {
        let make = move |channels, vb: &VarBuilder| -> Result<Box<dyn Module>> {
            Ok(Box::new(make(channels, vb)?))
        };
        Self {
            name: name.into(),
            make: Arc::new(make),
        }
    }

    /// Squeeze-and-excitation with this reduction, rounded down.
    #[must_use]
    pub fn se(reduction: usize) -> Self {
        Self::new("se", move |c, vb| {
            SqueezeExciteConfig::new(c).reduction(reduction).build(vb)
        })
    }

    /// Squeeze-and-excitation as timm has it: a sixteenth of the channels, to the nearest multiple of 8.
    #[must_use]
    pub fn se_timm() -> Self {
        let rounding = Rounding::DivisibleBy(8);
        Self::new("se", move |c, vb| {
            SqueezeExciteConfig::new(c).rounding(rounding).build(vb)
        })
    }

    /// Efficient channel attention, named `se` as in timm's networks.
    #[must_use]
    pub fn eca() -> Self {
        Self::new("se", |c, vb| EcaConfig::new(c).build(vb))
    }

    /// CBAM with the paper's reduction of 16 and kernel of 7.
    #[must_use]
    pub fn cbam() -> Self {
        Self::new("cbam", |c, vb| CbamConfig::new(c).build(vb))
    }

    /// The bottleneck attention module.
    #[must_use]
    pub fn bam() -> Self {
        Self::new("bam", |c, vb| BamConfig::new(c).build(vb))
    }

    /// A module of the catalogue with these arguments; the channels are filled in.
    ///
    /// # Errors
    /// There is no module of that name. Arguments are checked when it is built.
    pub fn catalogued(name: &str, arguments: &Map<String, Value>) -> Result<Self> {
        let entry = catalog::find(name)?;
        let typical: Value = serde_json::from_str(entry.typical.config)
            .map_err(|e| Error::msg(format!("{name}: {e}")))?;
        let widths: Vec<&'static str> = ["channels", "in_channels", "out_channels"]
            .into_iter()
            .filter(|key| typical.get(key).is_some())
            .collect();
        let arguments = arguments.clone();
        Ok(Self::new(name, move |channels, vb| {
            let mut arguments = arguments.clone();
            for key in &widths {
                arguments.entry(*key).or_insert_with(|| channels.into());
            }
            Ok(Single(entry.build(&Value::Object(arguments), vb)?))
        }))
    }

    /// A module of the catalogue from a text: `cbam`, `cbam:reduction=8`, `se:gate=tanh,bias=false`.
    ///
    /// # Errors
    /// As [`Plugin::catalogued`], or an argument is no `name=value`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut arguments = Map::new();
        for argument in rest.split(',').filter(|a| !a.is_empty()) {
            let Some((key, value)) = argument.split_once('=') else {
                return Err(Error::msg(format!(
                    "{argument:?} in {text:?} is no name=value"
                )));
            };
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            arguments.insert(key.to_owned(), value);
        }
        Self::catalogued(name, &arguments)
    }

    /// The same under another name, which its parts get in a state dict.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What its parts are named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Builds it for maps of so many channels; `vb` is the block that it stands in.
    ///
    /// # Errors
    /// It does not fit the channels, or an argument is unknown or out of its range.
    pub fn build(&self, channels: usize, vb: &VarBuilder) -> Result<Box<dyn Module>> {
        (self.make)(channels, &(vb / &self.name))
    }
}

/// A catalogued module with one input and one output.
#[derive(Debug)]
struct Single(Box<dyn Catalogued>);

impl Layer for Single {
    fn visit(&self, v: &mut dyn Visitor) {
        self.0.visit(v);
    }
}

impl Module for Single {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut outputs = self.0.run(std::slice::from_ref(x))?;
        match (outputs.pop(), outputs.is_empty()) {
            (Some(y), true) => Ok(y),
            _ => Err(Error::msg("the module does not give one map for one")),
        }
    }
}

type MakeConv = dyn Fn(&Conv2dConfig, &VarBuilder) -> Result<Box<dyn Module>> + Send + Sync;

/// What stands in for the 3x3 convolution of a block.
#[derive(Clone)]
pub struct ConvPlugin {
    normalized: bool,
    make: Arc<MakeConv>,
}

impl fmt::Debug for ConvPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConvPlugin")
            .field("normalized", &self.normalized)
            .finish_non_exhaustive()
    }
}

impl ConvPlugin {
    /// A convolution of another kind, with the attributes of the one it replaces; batch norm and activation
    /// follow as there.
    pub fn new<M: Module + 'static>(
        make: impl Fn(&Conv2dConfig, &VarBuilder) -> Result<M> + Send + Sync + 'static,
    ) -> Self {
        let make = move |conv: &Conv2dConfig, vb: &VarBuilder| -> Result<Box<dyn Module>> {
            Ok(Box::new(make(conv, vb)?))
        };
        Self {
            normalized: false,
            make: Arc::new(make),
        }
    }

    /// A module that has its own batch norm and activation, as selective kernels have.
    pub fn normalized<M: Module + 'static>(
        make: impl Fn(&Conv2dConfig, &VarBuilder) -> Result<M> + Send + Sync + 'static,
    ) -> Self {
        Self {
            normalized: true,
            ..Self::new(make)
        }
    }

    /// Deformable convolutions, of the first version or, `modulated`, the second, without biases.
    ///
    /// Papers: Dai et al., ICCV 2017, arXiv:1703.06211; Zhu et al., CVPR 2019, arXiv:1811.11168.
    #[must_use]
    pub fn deformable(modulated: bool) -> Self {
        Self::new(move |conv, vb| {
            let make = match modulated {
                true => DeformConv2dConfig::modulated,
                false => DeformConv2dConfig::new,
            };
            make(conv.in_channels, conv.out_channels, conv.kernel)
                .stride(conv.stride)
                .padding(conv.padding)
                .dilation(conv.dilation)
                .groups(conv.groups)
                .bias(false)
                .build(vb)
        })
    }

    /// Omni-dimensional dynamic convolutions with so many experts.
    ///
    /// Paper: Li, Zhou, Yao, ICLR 2022, arXiv:2209.07947.
    #[must_use]
    pub fn od_conv(experts: usize) -> Self {
        Self::new(move |conv, vb| {
            OdConv2dConfig::new(conv.clone())
                .kernel_num(experts)
                .build(vb)
        })
    }

    /// Dynamic convolutions with so many experts, at temperature 1; `int(C / 4) + 1` hidden channels, as in the
    /// implementation whose names they have.
    ///
    /// Paper: Chen et al., *Dynamic Convolution*, CVPR 2020, arXiv:1912.03458.
    #[must_use]
    pub fn dynamic_conv(experts: usize) -> Self {
        Self::new(move |conv, vb| {
            DynamicConv2dConfig::new(conv.clone())
                .kernel_num(experts)
                .plus_one(true)
                .build(vb)
        })
    }

    /// Conditionally parameterised convolutions with so many experts, each with its own routing.
    ///
    /// Paper: Yang, Bender, Le, Ngiam, *CondConv*, NeurIPS 2019, arXiv:1904.04971.
    #[must_use]
    pub fn cond_conv(experts: usize) -> Self {
        Self::new(move |conv, vb| {
            CondConv2dConfig::new(conv.clone())
                .experts(experts)
                .build(vb)
        })
    }

    /// Whether it has its own batch norm and activation.
    pub(crate) fn is_normalized(&self) -> bool {
        self.normalized
    }

    pub(crate) fn build(&self, conv: &Conv2dConfig, vb: &VarBuilder) -> Result<Box<dyn Module>> {
        (self.make)(conv, vb)
    }
}
