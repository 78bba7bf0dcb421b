//! The arguments of a module, as a JSON object.

use std::cell::RefCell;

use serde_json::{Map, Value};
use striate_tensor::{Error, Result};

/// An argument that a constructor reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Its default, or `None` if it must be given.
    pub default: Option<String>,
    /// What it may be, if it is one of some texts.
    pub choices: Vec<&'static str>,
}

/// Reads arguments by name and remembers which were asked for.
#[derive(Debug)]
pub struct Options<'a> {
    module: &'static str,
    map: &'a Map<String, Value>,
    asked: RefCell<Vec<Argument>>,
}

impl<'a> Options<'a> {
    pub(super) fn new(module: &'static str, config: &'a Value) -> Result<Self> {
        let map = config.as_object().ok_or_else(|| {
            Error::msg(format!(
                "{module}: config: expected a JSON object, got {config}"
            ))
        })?;
        Ok(Self {
            module,
            map,
            asked: RefCell::default(),
        })
    }

    /// Fails if there is an argument that nothing asked for.
    pub(super) fn finish(&self) -> Result<()> {
        let mut known: Vec<_> = self.asked.borrow().iter().map(|a| a.name).collect();
        known.sort_unstable();
        match self.map.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some(key) => {
                let known = known.join(", ");
                Err(Error::msg(format!(
                    "{}: no argument is called {key:?}; there are {known}",
                    self.module
                )))
            }
        }
    }

    /// The arguments that were asked for, in that order.
    pub(super) fn arguments(&self) -> Vec<Argument> {
        self.asked.borrow().clone()
    }

    fn value(
        &self,
        name: &'static str,
        default: Option<String>,
        choices: &[&'static str],
    ) -> Option<&'a Value> {
        let mut asked = self.asked.borrow_mut();
        if asked.iter().all(|a| a.name != name) {
            asked.push(Argument {
                name,
                default,
                choices: choices.to_vec(),
            });
        }
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn read<T>(
        &self,
        name: &'static str,
        default: Option<String>,
        kind: &str,
        f: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name, default, &[]) else {
            return Ok(None);
        };
        f(value).map(Some).ok_or_else(|| {
            Error::msg(format!(
                "{}: {name} is {value}, expected {kind}",
                self.module
            ))
        })
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::msg(format!("{}: the argument {name} is missing", self.module)))
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// It is missing or no such number.
    pub fn count(&self, name: &'static str) -> Result<usize> {
        let value = self.read(name, None, "a whole number", as_count)?;
        self.required(name, value)
    }

    /// A whole number with a default.
    ///
    /// # Errors
    /// It is no such number.
    pub fn count_or(&self, name: &'static str, default: usize) -> Result<usize> {
        Ok(self
            .read(name, Some(default.to_string()), "a whole number", as_count)?
            .unwrap_or(default))
    }

    /// A whole number that may be left out.
    ///
    /// # Errors
    /// It is no such number.
    pub fn optional_count(&self, name: &'static str) -> Result<Option<usize>> {
        self.read(name, Some("null".to_owned()), "a whole number", as_count)
    }

    /// A number with a default.
    ///
    /// # Errors
    /// It is no number.
    pub fn number_or(&self, name: &'static str, default: f64) -> Result<f64> {
        Ok(self
            .read(name, Some(default.to_string()), "a number", Value::as_f64)?
            .unwrap_or(default))
    }

    /// A truth value with a default.
    ///
    /// # Errors
    /// It is no truth value.
    pub fn flag_or(&self, name: &'static str, default: bool) -> Result<bool> {
        Ok(self
            .read(
                name,
                Some(default.to_string()),
                "true or false",
                Value::as_bool,
            )?
            .unwrap_or(default))
    }

    /// A text with a default.
    ///
    /// # Errors
    /// It is no text.
    pub fn text_or(&self, name: &'static str, default: &'static str) -> Result<&'a str> {
        let text = self.read(name, Some(default.to_owned()), "a text", Value::as_str)?;
        Ok(text.unwrap_or(default))
    }

    /// One of some texts, with the first as default, and what it stands for.
    ///
    /// # Errors
    /// It is none of them.
    pub fn choice<T: Clone>(&self, name: &'static str, choices: &[(&'static str, T)]) -> Result<T> {
        let first = choices.first().map_or("", |c| c.0);
        let names: Vec<_> = choices.iter().map(|c| c.0).collect();
        self.value(name, Some(first.to_owned()), &names);
        let text = self.text_or(name, first)?;
        choices
            .iter()
            .find(|c| c.0 == text)
            .map(|c| c.1.clone())
            .ok_or_else(|| {
                let known = names.join(", ");
                Error::msg(format!(
                    "{}: {name} is {text:?}, expected one of {known}",
                    self.module
                ))
            })
    }

    /// A list of whole numbers, with a default.
    ///
    /// # Errors
    /// It is no such list.
    pub fn counts_or(&self, name: &'static str, default: &[usize]) -> Result<Vec<usize>> {
        let counts = |v: &'a Value| v.as_array()?.iter().map(as_count).collect();
        let kind = "a list of whole numbers";
        Ok(self
            .read(name, Some(format!("{default:?}")), kind, counts)?
            .unwrap_or_else(|| default.to_vec()))
    }

    /// A list of numbers, with a default.
    ///
    /// # Errors
    /// It is no such list.
    pub fn numbers_or(&self, name: &'static str, default: &[f64]) -> Result<Vec<f64>> {
        let numbers = |v: &'a Value| v.as_array()?.iter().map(Value::as_f64).collect();
        let kind = "a list of numbers";
        Ok(self
            .read(name, Some(format!("{default:?}")), kind, numbers)?
            .unwrap_or_else(|| default.to_vec()))
    }

    /// One whole number for both axes, or a list of two, with a default.
    ///
    /// # Errors
    /// It is neither.
    pub fn pair_or(&self, name: &'static str, default: [usize; 2]) -> Result<[usize; 2]> {
        let kind = "a whole number or two";
        Ok(self
            .read(name, Some(format!("{default:?}")), kind, as_pair)?
            .unwrap_or(default))
    }

    /// One whole number for both axes, or a list of two, which may be left out.
    ///
    /// # Errors
    /// It is neither.
    pub fn optional_pair(&self, name: &'static str) -> Result<Option<[usize; 2]>> {
        let kind = "a whole number or two";
        self.read(name, Some("null".to_owned()), kind, as_pair)
    }

    /// Some texts, with a default.
    ///
    /// # Errors
    /// It is no list of texts.
    pub fn texts_or(&self, name: &'static str, default: &[&'static str]) -> Result<Vec<&'a str>> {
        let texts = |v: &'a Value| v.as_array()?.iter().map(Value::as_str).collect();
        Ok(self
            .read(name, Some(default.join(", ")), "a list of texts", texts)?
            .unwrap_or_else(|| default.to_vec()))
    }
}

fn as_pair(value: &Value) -> Option<[usize; 2]> {
    match as_count(value) {
        Some(n) => Some([n, n]),
        None => match value.as_array()?.as_slice() {
            [a, b] => Some([as_count(a)?, as_count(b)?]),
            _ => None,
        },
    }
}

fn as_count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
