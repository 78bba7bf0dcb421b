//! The names that a state dict may refer to.

use striate_tensor::{Error, Result};

use crate::weights::elements::Kind;

/// A name that a state dict needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::weights) enum Global {
    /// `collections.OrderedDict`, and `collections.Counter`, which schedules of learning rates have.
    Dict,
    /// `torch.Size`
    Size,
    /// `torch._utils._rebuild_tensor_v2`, and `_rebuild_tensor` before it.
    Tensor,
    /// `torch._utils._rebuild_parameter`
    Parameter,
    /// `torch.FloatStorage` and the like.
    Storage(Kind),
}

/// The name `module.name`, if it is one of them.
pub(super) fn resolve(module: &str, name: &str) -> Result<Global> {
    match (module, name) {
        ("collections", "OrderedDict" | "Counter") => Ok(Global::Dict),
        ("torch", "Size") => Ok(Global::Size),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Global::Tensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Global::Parameter),
        ("torch", _) => match storage(name) {
            Some(kind) => Ok(Global::Storage(kind)),
            None => Err(refused(module, name)),
        },
        _ => Err(refused(module, name)),
    }
}

fn storage(name: &str) -> Option<Kind> {
    Some(match name.strip_suffix("Storage")? {
        "Double" => Kind::F64,
        "Float" => Kind::F32,
        "Half" => Kind::F16,
        "BFloat16" => Kind::Bf16,
        "Long" => Kind::I64,
        "Int" => Kind::I32,
        "Short" => Kind::I16,
        "Char" => Kind::I8,
        "Byte" | "Bool" => Kind::U8,
        _ => return None,
    })
}

fn refused(module: &str, name: &str) -> Error {
    let shown = |s: &str| {
        s.chars()
            .take(60)
            .collect::<String>()
            .escape_debug()
            .to_string()
    };
    let (module, name) = (shown(module), shown(name));
    Error::msg(format!(
        "the global {module}.{name} is not part of a state dict; nothing was run. In Python, \
         torch.save(model.state_dict(), path) writes the weights alone"
    ))
}
