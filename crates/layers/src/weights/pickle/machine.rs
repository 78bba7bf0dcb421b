//! The stack machine: one instruction after the other, each in constant time or in that of what it takes off the stack.

use std::collections::HashMap;

use striate_tensor::{Error, Result};

use super::globals::resolve;
use super::{Global, Objects, Pickle, Storage, TensorRef, Value, wanted};
use crate::weights::reader::{Reader, text};

/// The most dimensions that PyTorch's tensors have.
const MAX_RANK: usize = 64;

/// The most instructions, and entries of lists that are copied: far more than the largest checkpoint takes, and few enough
/// to be done within a second.
const MAX_WORK: usize = 1 << 24;

/// The highest version of the protocol.
const PROTOCOL: u8 = 5;

pub(super) struct Machine<'a> {
    input: Reader<'a>,
    stack: Vec<Value<'a>>,
    /// Where on the stack the marks are, which nothing is taken from below of.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    objects: Objects<'a>,
    work: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            input: Reader::new(bytes),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            objects: Objects::default(),
            work: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<Pickle<'a>> {
        loop {
            let at = self.input.at();
            let opcode = self.input.u8().map_err(|e| place(&e, at))?;
            if opcode == b'.' {
                let root = self.pop().map_err(|e| place(&e, at))?;
                return Ok(Pickle {
                    root,
                    objects: self.objects,
                    len: at + 1,
                });
            }
            self.work(1)
                .and_then(|()| self.step(opcode))
                .map_err(|e| place(&e, at))?;
        }
    }

    fn work(&mut self, steps: usize) -> Result<()> {
        self.work = self.work.saturating_add(steps);
        if self.work > MAX_WORK {
            return Err(Error::msg(format!("more than {MAX_WORK} instructions")));
        }
        Ok(())
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            0x80 => return self.protocol(),
            // FRAME: a hint for readers of streams.
            0x95 => return self.input.u64().map(|_| ()),
            // MARK, POP, POP_MARK, DUP
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b'0' => return self.pop().map(|_| ()),
            b'1' => return self.pop_mark().map(|_| ()),
            b'2' => {
                let top = self.pop()?;
                self.stack.push(top);
                top
            }
            // NONE, NEWTRUE, NEWFALSE
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.input.array()?))),
            b'K' => Value::Int(i64::from(self.input.u8()?)),
            b'M' => Value::Int(i64::from(self.input.u16()?)),
            0x8a => {
                let len = self.input.u8()?;
                long(self.input.take(len.into())?)
            }
            0x8b => {
                let len = self.input.u32()?;
                long(self.input.take_u64(len.into())?)
            }
            b'G' => {
                self.input.take(8)?;
                Value::Other
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and SHORT_BINSTRING and BINSTRING of Python 2
            b'X' | b'T' => {
                let len = self.input.u32()?;
                self.text(len.into())?
            }
            0x8c | b'U' => {
                let len = self.input.u8()?;
                self.text(len.into())?
            }
            0x8d => {
                let len = self.input.u64()?;
                self.text(len)?
            }
            // SHORT_BINBYTES, BINBYTES, BINBYTES8
            b'C' => {
                let len = self.input.u8()?;
                self.bytes(len.into())?
            }
            b'B' => {
                let len = self.input.u32()?;
                self.bytes(len.into())?
            }
            0x8e => {
                let len = self.input.u64()?;
                self.bytes(len)?
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_mark()?;
                self.new_tuple(items)
            }
            // EMPTY_LIST, LIST, APPEND, APPENDS
            b']' => self.new_list(Vec::new()),
            b'l' => {
                let items = self.pop_mark()?;
                self.new_list(items)
            }
            b'a' => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            b'e' => {
                let items = self.pop_mark()?;
                return self.append(items);
            }
            // EMPTY_DICT, DICT, SETITEM, SETITEMS
            b'}' => self.new_dict(Vec::new()),
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.new_dict(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                return self.set(vec![(key, value)]);
            }
            b'u' => {
                let items = pairs(&self.pop_mark()?)?;
                return self.set(items);
            }
            // GLOBAL, STACK_GLOBAL, REDUCE, BUILD, BINPERSID
            b'c' => {
                let module = text("a module's name", self.input.line()?)?;
                let name = text("a global's name", self.input.line()?)?;
                Value::Global(resolve(module, name)?)
            }
            0x93 => {
                let name = self.pop()?.text()?;
                let module = self.pop()?.text()?;
                Value::Global(resolve(module, name)?)
            }
            b'R' => self.reduce()?,
            b'b' => return self.build(),
            b'Q' => self.persistent()?,
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' => {
                let key = self.input.u8()?;
                return self.put(key.into());
            }
            b'r' => {
                let key = self.input.u32()?;
                return self.put(key);
            }
            0x94 => {
                let key = u32::try_from(self.memo.len());
                return self.put(key.map_err(|_| Error::msg("too many objects"))?);
            }
            b'h' => {
                let key = self.input.u8()?;
                self.get(key.into())?
            }
            b'j' => {
                let key = self.input.u32()?;
                self.get(key)?
            }
            other => return Err(unknown(other)),
        };
        self.stack.push(value);
        Ok(())
    }

    fn protocol(&mut self) -> Result<()> {
        match self.input.u8()? {
            version if version <= PROTOCOL => Ok(()),
            version => Err(Error::msg(format!(
                "pickle protocol {version}: the highest known is {PROTOCOL}"
            ))),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(Error::msg("a value is taken from an empty stack"));
        }
        self.stack
            .pop()
            .ok_or_else(|| Error::msg("a value is taken from an empty stack"))
    }

    /// The values above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| Error::msg("a mark is taken that was not set"))?;
        Ok(self.stack.split_off(mark))
    }

    /// The value on top, which stays.
    fn top(&mut self) -> Result<Value<'a>> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    fn put(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&self, key: u32) -> Result<Value<'a>> {
        let value = self.memo.get(&key).copied();
        value.ok_or_else(|| Error::msg(format!("memo {key} is read and was not written")))
    }

    fn text(&mut self, len: u64) -> Result<Value<'a>> {
        text("a text", self.input.take_u64(len)?).map(Value::Text)
    }

    fn bytes(&mut self, len: u64) -> Result<Value<'a>> {
        self.input.take_u64(len)?;
        Ok(Value::Other)
    }

    fn tuple(&mut self, len: usize) -> Result<Value<'a>> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        Ok(self.new_tuple(items))
    }

    fn new_tuple(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.objects.tuples.push(items);
        Value::Tuple(self.objects.tuples.len() - 1)
    }

    fn new_list(&mut self, items: Vec<Value<'a>>) -> Value<'a> {
        self.objects.lists.push(items);
        Value::List(self.objects.lists.len() - 1)
    }

    fn new_dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.objects.dicts.push(items);
        Value::Dict(self.objects.dicts.len() - 1)
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Result<()> {
        match self.top()? {
            Value::List(list) => {
                self.objects.lists[list].extend(items);
                Ok(())
            }
            other => Err(wanted("a list", other)),
        }
    }

    fn set(&mut self, items: Vec<(Value<'a>, Value<'a>)>) -> Result<()> {
        match self.top()? {
            Value::Dict(dict) => {
                self.objects.dicts[dict].extend(items);
                Ok(())
            }
            other => Err(wanted("a dict", other)),
        }
    }

    /// Attributes of a dict (`_metadata` of a state dict), which are not part of it.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            other => Err(wanted("a dict to give attributes to", other)),
        }
    }

    /// What a global makes of its arguments.
    fn reduce(&mut self) -> Result<Value<'a>> {
        let Value::Tuple(arguments) = self.pop()? else {
            return Err(Error::msg("the arguments of a call are no tuple"));
        };
        let Value::Global(global) = self.pop()? else {
            return Err(Error::msg("what is called is not a global"));
        };
        let arguments = &self.objects.tuples[arguments];
        match (global, arguments.as_slice()) {
            (Global::Dict, []) => Ok(self.new_dict(Vec::new())),
            (Global::Dict, &[Value::Dict(dict)]) => Ok(Value::Dict(dict)),
            (Global::Dict, &[Value::List(list)]) => self.dict_of(list),
            (Global::Size, &[Value::Tuple(sizes)]) => Ok(Value::Tuple(sizes)),
            (Global::Parameter, &[Value::Tensor(tensor), ..]) => Ok(Value::Tensor(tensor)),
            (
                Global::Tensor,
                &[
                    Value::Storage(storage),
                    offset,
                    Value::Tuple(shape),
                    Value::Tuple(strides),
                    ref rest @ ..,
                ],
            ) => {
                // The third after the strides tells of a conjugate or negative view.
                if let Some(&Value::Dict(flags)) = rest.get(2)
                    && !self.objects.dicts[flags].is_empty()
                {
                    return Err(Error::msg("a conjugate or negative view is not supported"));
                }
                let tensor = TensorRef {
                    storage,
                    offset: offset.count()?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                };
                let [shape, strides] = [tensor.shape.len(), tensor.strides.len()];
                if shape != strides {
                    return Err(Error::msg(format!(
                        "a tensor of {shape} dimensions with {strides} strides"
                    )));
                }
                self.objects.tensors.push(tensor);
                Ok(Value::Tensor(self.objects.tensors.len() - 1))
            }
            (Global::Storage(_), _) => {
                Err(Error::msg("a storage inside the pickle is not supported"))
            }
            (global, arguments) => {
                let kinds: Vec<_> = arguments.iter().take(8).map(|a| a.name()).collect();
                let kinds = kinds.join(", ");
                Err(Error::msg(format!("{global:?} does not take ({kinds})")))
            }
        }
    }

    /// The dict of a list of pairs, as Python 2 writes it.
    fn dict_of(&mut self, list: usize) -> Result<Value<'a>> {
        self.work(self.objects.lists[list].len())?;
        let list = &self.objects.lists[list];
        let pair = |item: &Value<'a>| {
            let pair = match *item {
                Value::Tuple(i) => self.objects.tuples[i].as_slice(),
                Value::List(i) => self.objects.lists[i].as_slice(),
                other => return Err(wanted("a pair", other)),
            };
            match *pair {
                [key, value] => Ok((key, value)),
                _ => Err(Error::msg("a pair does not have two parts")),
            }
        };
        let items = list.iter().map(pair).collect::<Result<_>>()?;
        Ok(self.new_dict(items))
    }

    fn sizes(&self, tuple: usize) -> Result<Vec<usize>> {
        let sizes = &self.objects.tuples[tuple];
        if sizes.len() > MAX_RANK {
            return Err(Error::msg(format!(
                "a tensor of {} dimensions",
                sizes.len()
            )));
        }
        sizes.iter().map(|size| size.count()).collect()
    }

    /// `("storage", type, key, device, elements)`, and in old files the view that it is of the whole, or None.
    fn persistent(&mut self) -> Result<Value<'a>> {
        let id = self.pop()?;
        let Value::Tuple(id) = id else {
            return Err(wanted("the description of a storage", id));
        };
        let (kind, key, numel, view) = match *self.objects.tuples[id] {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(kind)),
                key,
                _,
                numel,
                ref view @ ..,
            ] => (kind, key.text()?, numel.count()?, view),
            _ => return Err(Error::msg("this is no description of a storage")),
        };
        let part = match view {
            [] | [Value::None] => (0, numel),
            &[Value::Tuple(view)] => match *self.objects.tuples[view] {
                [_, offset, len] => (offset.count()?, len.count()?),
                _ => return Err(Error::msg("this is no view of a storage")),
            },
            _ => return Err(Error::msg("this is no view of a storage")),
        };
        if part.0.checked_add(part.1).is_none_or(|end| end > numel) {
            return Err(Error::msg(format!(
                "a view of {} elements from {} of a storage of {numel}",
                part.1, part.0
            )));
        }
        self.objects.storages.push(Storage {
            key,
            kind,
            numel,
            part,
        });
        Ok(Value::Storage(self.objects.storages.len() - 1))
    }
}

fn pairs<'a>(items: &[Value<'a>]) -> Result<Vec<(Value<'a>, Value<'a>)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(Error::msg("a key without a value")),
    }
}

/// An integer in as many bytes as it takes.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Other;
    }
    let negative = bytes.last().is_some_and(|&b| b >= 0x80);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}

fn place(error: &Error, at: usize) -> Error {
    Error::msg(format!("pickle, byte {at}: {error}"))
}

fn unknown(opcode: u8) -> Error {
    let name = match opcode {
        b'P' => "PERSID",
        b'I' => "INT",
        b'L' => "LONG",
        b'F' => "FLOAT",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'g' => "GET",
        b'p' => "PUT",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => "no known one",
    };
    Error::msg(format!(
        "the opcode 0x{opcode:02x} ({name}) is not one that a state dict needs; nothing was run"
    ))
}
