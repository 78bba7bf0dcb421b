//! Translating the names of one implementation's weights into another's.

use std::collections::BTreeMap;

use striate_tensor::{Error, Result, Tensor};

use crate::StateDict;

/// Rules that are applied to a state dict one after the other.
///
/// A pattern is a run of whole segments of a name, such as `fc.0`, found anywhere in it;
/// a segment `*` matches any one segment. In a replacement each `*` stands for what the same `*`
/// of the pattern matched.
#[derive(Clone, Debug, Default)]
pub struct KeyMap {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Rename {
        from: String,
        to: String,
    },
    Strip {
        prefix: String,
    },
    Add {
        prefix: String,
    },
    With(fn(&str) -> Option<String>),
    Transform {
        pattern: String,
        f: fn(&Tensor) -> Result<Tensor>,
    },
    Concat {
        pattern: String,
        to: String,
    },
    Drop {
        pattern: String,
    },
}

impl KeyMap {
    /// No rules: every name stays.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Replaces the first match of a pattern: `rename("fc.0", "fc1")` turns `se.fc.0.weight` into
    /// `se.fc1.weight`.
    #[must_use]
    pub fn rename(self, from: &str, to: &str) -> Self {
        self.rule(Rule::Rename {
            from: from.into(),
            to: to.into(),
        })
    }

    /// Takes leading segments off the names that have them (`module`, as data parallel
    /// training leaves it).
    #[must_use]
    pub fn strip_prefix(self, prefix: &str) -> Self {
        self.rule(Rule::Strip {
            prefix: prefix.into(),
        })
    }

    /// Puts leading segments before every name.
    #[must_use]
    pub fn add_prefix(self, prefix: &str) -> Self {
        self.rule(Rule::Add {
            prefix: prefix.into(),
        })
    }

    /// Renames by a function; `None` keeps the name.
    #[must_use]
    pub fn rename_with(self, f: fn(&str) -> Option<String>) -> Self {
        self.rule(Rule::With(f))
    }

    /// Changes the tensors whose name matches.
    #[must_use]
    pub fn transform(self, pattern: &str, f: fn(&Tensor) -> Result<Tensor>) -> Self {
        self.rule(Rule::Transform {
            pattern: pattern.into(),
            f,
        })
    }

    /// Joins the tensors whose names differ in the pattern's one `*` alone, a number, along their
    /// first dimension in the order of the numbers; the pattern becomes `to`.
    #[must_use]
    pub fn concat(self, pattern: &str, to: &str) -> Self {
        self.rule(Rule::Concat {
            pattern: pattern.into(),
            to: to.into(),
        })
    }

    /// Leaves out the tensors whose name matches.
    #[must_use]
    pub fn drop(self, pattern: &str) -> Self {
        self.rule(Rule::Drop {
            pattern: pattern.into(),
        })
    }

    /// Applies the rules of `other` after these.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// The state dict under its new names.
    ///
    /// # Errors
    /// Two tensors would get the same name, or a tensor does not fit its rule.
    pub fn apply(&self, dict: StateDict) -> Result<StateDict> {
        self.rules
            .iter()
            .try_fold(dict, |dict, rule| rule.apply(dict))
    }
}

impl Rule {
    fn apply(&self, dict: StateDict) -> Result<StateDict> {
        if let Self::Concat { pattern, to } = self {
            return concat(dict, pattern, to);
        }
        let mut out = StateDict::new();
        for (name, tensor) in dict {
            match self {
                Self::Drop { pattern } if find(&name, pattern).is_some() => {}
                Self::Transform { pattern, f } if find(&name, pattern).is_some() => {
                    let tensor = f(&tensor).map_err(|e| e.at(&name))?;
                    insert(&mut out, name, tensor)?;
                }
                _ => insert(&mut out, self.renamed(&name), tensor)?,
            }
        }
        Ok(out)
    }

    fn renamed(&self, name: &str) -> String {
        let new = match self {
            Self::Rename { from, to } => find(name, from).map(|m| m.replace(name, to)),
            Self::Strip { prefix } => name
                .strip_prefix(prefix.as_str())
                .and_then(|r| r.strip_prefix('.'))
                .map(str::to_owned),
            Self::Add { prefix } => Some(format!("{prefix}.{name}")),
            Self::With(f) => f(name),
            Self::Transform { .. } | Self::Concat { .. } | Self::Drop { .. } => None,
        };
        new.unwrap_or_else(|| name.to_owned())
    }
}

fn insert(dict: &mut StateDict, name: String, tensor: Tensor) -> Result<()> {
    if dict.get(&name).is_some() {
        return Err(Error::msg(format!(
            "key map: two tensors would be named {name}"
        )));
    }
    dict.insert(name, tensor);
    Ok(())
}

fn concat(dict: StateDict, pattern: &str, to: &str) -> Result<StateDict> {
    let mut out = StateDict::new();
    let mut groups: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
    for (name, tensor) in dict {
        let number =
            find(&name, pattern).and_then(|m| Some((m.captured.first()?.parse().ok()?, m)));
        let Some((number, found)) = number else {
            insert(&mut out, name, tensor)?;
            continue;
        };
        groups
            .entry(found.replace(&name, to))
            .or_default()
            .insert(number, tensor);
    }
    for (name, parts) in groups {
        let parts: Vec<&Tensor> = parts.values().collect();
        let whole = Tensor::cat(&parts, 0).map_err(|e| e.at(&name))?;
        insert(&mut out, name, whole)?;
    }
    Ok(out)
}

/// Where a pattern lies in a name, in segments.
struct Match {
    start: usize,
    len: usize,
    captured: Vec<String>,
}

impl Match {
    fn replace(&self, name: &str, to: &str) -> String {
        let mut captured = self.captured.iter();
        let fill = |segment: &str| match segment {
            "*" => captured.next().cloned().unwrap_or_default(),
            _ => segment.to_owned(),
        };
        let new: Vec<String> = to.split('.').filter(|s| !s.is_empty()).map(fill).collect();
        let old: Vec<&str> = name.split('.').collect();
        let before = old[..self.start].iter().map(|s| (*s).to_owned());
        let after = old[self.start + self.len..].iter().map(|s| (*s).to_owned());
        before.chain(new).chain(after).collect::<Vec<_>>().join(".")
    }
}

fn find(name: &str, pattern: &str) -> Option<Match> {
    let segments: Vec<&str> = name.split('.').collect();
    let pattern: Vec<&str> = pattern.split('.').collect();
    let matches = |window: &[&str]| {
        window
            .iter()
            .zip(&pattern)
            .all(|(s, p)| *p == "*" || s == p)
    };
    let start = segments.windows(pattern.len()).position(matches)?;
    let window = &segments[start..start + pattern.len()];
    let captured = window.iter().zip(&pattern).filter(|(_, p)| **p == "*");
    Some(Match {
        start,
        len: pattern.len(),
        captured: captured.map(|(s, _)| (*s).to_owned()).collect(),
    })
}

/// The weight of a convolution with its two input channels exchanged.
///
/// # Errors
/// It is no `[O, 2, kh, kw]`.
pub fn swap_input_channels(weight: &Tensor) -> Result<Tensor> {
    let [_, 2, _, _] = *weight.shape() else {
        let detail = format!("expected [O, 2, kh, kw], got shape {:?}", weight.shape());
        return Err(Error::shape("swap_input_channels", detail));
    };
    Tensor::cat(&[&weight.narrow(1, 1, 1)?, &weight.narrow(1, 0, 1)?], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(names: &[(&str, f32)]) -> StateDict {
        let entry =
            |&(n, v): &(&str, f32)| (n.to_owned(), Tensor::from_vec(vec![v], [1]).expect("one"));
        names.iter().map(entry).collect()
    }

    fn names(dict: &StateDict) -> Vec<&str> {
        dict.names().collect()
    }

    #[test]
    fn whole_segments_are_renamed_anywhere() {
        let map = KeyMap::new()
            .strip_prefix("module")
            .rename("fc.0", "fc1")
            .rename("convs.*.0", "paths.*.conv");
        let out = map.apply(dict(&[
            ("module.layer1.se.fc.0.weight", 0.0),
            ("fc.00.weight", 0.0),
            ("convs.3.0.bias", 0.0),
        ]));
        let out = out.expect("no two names meet");
        assert_eq!(
            names(&out),
            ["layer1.se.fc1.weight", "fc.00.weight", "paths.3.conv.bias"]
        );
    }

    #[test]
    fn numbered_tensors_are_joined_in_order() {
        let parts = dict(&[
            ("sk.fcs.10.bias", 3.0),
            ("sk.fcs.2.bias", 2.0),
            ("sk.fcs.0.bias", 1.0),
            ("x", 9.0),
        ]);
        let out = KeyMap::new()
            .concat("fcs.*", "attn.fc_select")
            .apply(parts)
            .expect("they fit");
        assert_eq!(names(&out), ["x", "sk.attn.fc_select.bias"]);
        let joined = out
            .get("sk.attn.fc_select.bias")
            .expect("joined")
            .to_vec::<f32>();
        assert_eq!(joined.expect("f32"), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn meeting_names_are_an_error() {
        let two = dict(&[("a.w", 0.0), ("b.w", 1.0)]);
        let error = KeyMap::new()
            .rename("a", "b")
            .apply(two)
            .expect_err("both are b.w");
        assert!(error.to_string().contains("b.w"), "{error}");
    }

    #[test]
    fn channels_are_swapped() {
        let w = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2, 1, 1]).expect("four");
        let swapped = swap_input_channels(&w)
            .and_then(|t| t.to_vec::<f32>())
            .expect("two channels");
        assert_eq!(swapped, [2.0, 1.0, 4.0, 3.0]);
        assert!(swap_input_channels(&w.reshape([4, 1, 1, 1]).expect("same count")).is_err());
    }
}
