//! The arguments of a module, as a JSON object.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use striate_tensor::{Error, Result};

/// Reads arguments by name and remembers which were asked for.
#[derive(Debug)]
pub struct Options<'a> {
    module: &'static str,
    map: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<&'static str>>,
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
        let asked = self.asked.borrow();
        match self.map.keys().find(|k| !asked.contains(k.as_str())) {
            None => Ok(()),
            Some(key) => {
                let known: Vec<_> = asked.iter().copied().collect();
                let known = known.join(", ");
                Err(Error::msg(format!(
                    "{}: no argument is called {key:?}; there are {known}",
                    self.module
                )))
            }
        }
    }

    fn value(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name);
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn read<T>(
        &self,
        name: &'static str,
        kind: &str,
        f: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else {
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
        let value = self.read(name, "a whole number", as_count)?;
        self.required(name, value)
    }

    /// A whole number with a default.
    ///
    /// # Errors
    /// It is no such number.
    pub fn count_or(&self, name: &'static str, default: usize) -> Result<usize> {
        Ok(self
            .read(name, "a whole number", as_count)?
            .unwrap_or(default))
    }

    /// A number with a default.
    ///
    /// # Errors
    /// It is no number.
    pub fn number_or(&self, name: &'static str, default: f64) -> Result<f64> {
        Ok(self
            .read(name, "a number", Value::as_f64)?
            .unwrap_or(default))
    }

    /// A truth value with a default.
    ///
    /// # Errors
    /// It is no truth value.
    pub fn flag_or(&self, name: &'static str, default: bool) -> Result<bool> {
        Ok(self
            .read(name, "true or false", Value::as_bool)?
            .unwrap_or(default))
    }

    /// A text with a default.
    ///
    /// # Errors
    /// It is no text.
    pub fn text_or(&self, name: &'static str, default: &'static str) -> Result<&'a str> {
        Ok(self.read(name, "a text", Value::as_str)?.unwrap_or(default))
    }

    /// One of some texts, with the first as default, and what it stands for.
    ///
    /// # Errors
    /// It is none of them.
    pub fn choice<T: Clone>(&self, name: &'static str, choices: &[(&'static str, T)]) -> Result<T> {
        let first = choices.first().map_or("", |c| c.0);
        let text = self.text_or(name, first)?;
        choices
            .iter()
            .find(|c| c.0 == text)
            .map(|c| c.1.clone())
            .ok_or_else(|| {
                let known: Vec<_> = choices.iter().map(|c| c.0).collect();
                let known = known.join(", ");
                Error::msg(format!(
                    "{}: {name} is {text:?}, expected one of {known}",
                    self.module
                ))
            })
    }

    /// Some texts, with a default.
    ///
    /// # Errors
    /// It is no list of texts.
    pub fn texts_or(&self, name: &'static str, default: &[&'static str]) -> Result<Vec<&'a str>> {
        let texts = |v: &'a Value| v.as_array()?.iter().map(Value::as_str).collect();
        Ok(self
            .read(name, "a list of texts", texts)?
            .unwrap_or_else(|| default.to_vec()))
    }
}

fn as_count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
