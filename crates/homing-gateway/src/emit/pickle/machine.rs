//! The stack machine. Values stand in an arena and are named by their index there, so that one object may stand in
//! several places and nothing owns itself.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    super::value::Value,
    Limits, Rejected, What,
    input::Input,
    number, op, text,
    tree::{self, Node},
};

/// The indices of None, False and True, which need no entry each time.
const NONE: u32 = 0;
const FALSE: u32 = 1;
const TRUE: u32 = 2;

/// A few hundred integers of the greatest length, or any number of short ones.
const DIGITS: u64 = 1 << 30;

pub(super) struct Machine<'a> {
    input: Input<'a>,
    limits: &'a Limits,
    nodes: Vec<Node>,
    stack: Vec<u32>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
    /// How often something may still be pushed.
    budget: u64,
    /// Squares of the bytes of long integers, which is what their digits cost.
    digits: u64,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        let nodes = [Value::None, Value::Bool(false), Value::Bool(true)].map(Node::Leaf).into();
        Self {
            input: Input::new(bytes),
            limits,
            nodes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            budget: limits.values,
            digits: DIGITS,
        }
    }

    pub(super) fn run(mut self) -> Result<Value, Rejected> {
        loop {
            let position = self.input.at;
            let Ok(opcode) = self.input.byte() else {
                return Err(Rejected { opcode: None, position, what: "it ends without STOP".into() });
            };
            let place = |what| Rejected { opcode: Some(opcode), position, what };
            if opcode == op::STOP {
                let root = self.pop().map_err(place)?;
                return tree::build(&self.nodes, root, self.limits).map_err(place);
            }
            self.step(opcode).map_err(place)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), What> {
        match opcode {
            op::PROTO => match self.input.byte()? {
                0..=5 => Ok(()),
                protocol => Err(format!("protocol {protocol} is unknown").into()),
            },
            // A hint for readers of files; strings of 64 KiB and more stand outside of frames.
            op::FRAME => self.input.u64().map(drop),
            op::MARK => {
                self.spend()?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::NONE => self.push(NONE),
            op::NEWTRUE => self.push(TRUE),
            op::NEWFALSE => self.push(FALSE),
            op::GET | op::BINGET | op::LONG_BINGET => {
                let key = self.memo_key(opcode)?;
                let index = *self.memo.get(&key).ok_or_else(|| What::from(format!("nothing was filed under {key}")))?;
                self.push(index)
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                let key = self.memo_key(opcode)?;
                let top = self.top()?;
                self.memo.insert(key, top);
                if self.memo.len() as u64 > self.limits.values {
                    return Err("the memo is too large".into());
                }
                Ok(())
            }
            op::EMPTY_LIST => self.make(Node::List(Vec::new())),
            op::EMPTY_TUPLE => self.make(Node::Tuple(Vec::new())),
            op::EMPTY_DICT => self.make(Node::Dict(Vec::new())),
            op::LIST => self.marked().and_then(|items| self.make(Node::List(items))),
            op::TUPLE => self.marked().and_then(|items| self.make(Node::Tuple(items))),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::DICT => {
                let items = self.marked()?;
                self.keys(&items)?;
                self.make(Node::Dict(items))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            op::APPENDS => self.marked().and_then(|items| self.append(items)),
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])
            }
            op::SETITEMS => self.marked().and_then(|items| self.set(items)),
            _ => self.leaf(opcode),
        }
    }

    fn long(&mut self, length: u64) -> Result<Value, What> {
        let bytes = self.input.take(length)?;
        self.digits = self.digits.checked_sub(length * length).ok_or("too many long integers")?;
        number::long(bytes)
    }

    fn leaf(&mut self, opcode: u8) -> Result<(), What> {
        let input = &mut self.input;
        let value = match opcode {
            op::INT => match input.line()? {
                b"00" => return self.push(FALSE),
                b"01" => return self.push(TRUE),
                line => number::decimal(line)?,
            },
            op::LONG => {
                let line = input.line()?;
                number::decimal(line.strip_suffix(b"L").unwrap_or(line))?
            }
            op::FLOAT => number::float(input.line()?)?,
            op::BININT => Value::Int(input.i32()?.into()),
            op::BININT1 => Value::Int(input.byte()?.into()),
            op::BININT2 => Value::Int(input.u16()?.into()),
            op::LONG1 => {
                let length = input.byte()?.into();
                self.long(length)?
            }
            op::LONG4 => {
                let length = input.length()?;
                self.long(length)?
            }
            op::BINFLOAT => Value::Float(f64::from_be_bytes(input.array()?)),
            op::STRING => text::literal(input.line()?)?,
            op::UNICODE => text::raw_unicode_escape(input.line()?)?,
            op::BINSTRING | op::SHORT_BINSTRING => {
                let length = if opcode == op::BINSTRING { input.length()? } else { input.byte()?.into() };
                text::python2(input.take(length)?)
            }
            op::SHORT_BINUNICODE | op::BINUNICODE | op::BINUNICODE8 => {
                let length = match opcode {
                    op::SHORT_BINUNICODE => input.byte()?.into(),
                    op::BINUNICODE => input.u32()?.into(),
                    _ => input.u64()?,
                };
                text::utf8(input.take(length)?)?
            }
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = match opcode {
                    op::SHORT_BINBYTES => input.byte()?.into(),
                    op::BINBYTES => input.u32()?.into(),
                    _ => input.u64()?,
                };
                Value::Bytes(Bytes::copy_from_slice(input.take(length)?))
            }
            _ => return Err("not allowed".into()),
        };
        self.make(Node::Leaf(value))
    }

    fn memo_key(&mut self, opcode: u8) -> Result<u32, What> {
        match opcode {
            op::GET | op::PUT => {
                let line = std::str::from_utf8(self.input.line()?).ok();
                line.and_then(|line| line.parse().ok()).ok_or_else(|| "its line is no number of the memo".into())
            }
            op::BINGET | op::BINPUT => self.input.byte().map(u32::from),
            op::LONG_BINGET | op::LONG_BINPUT => self.input.u32(),
            _ => u32::try_from(self.memo.len()).map_err(|_| "the memo is too large".into()),
        }
    }

    // === the stack ===

    fn spend(&mut self) -> Result<(), What> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| too_many(self.limits))?;
        Ok(())
    }

    fn push(&mut self, index: u32) -> Result<(), What> {
        self.spend()?;
        self.stack.push(index);
        Ok(())
    }

    fn make(&mut self, node: Node) -> Result<(), What> {
        let index = u32::try_from(self.nodes.len()).map_err(|_| too_many(self.limits))?;
        self.push(index)?;
        self.nodes.push(node);
        Ok(())
    }

    /// What is on the stack above the newest mark.
    fn above_mark(&self) -> usize {
        self.stack.len() - self.marks.last().copied().unwrap_or(0).min(self.stack.len())
    }

    fn top(&self) -> Result<u32, What> {
        let top = (self.above_mark() > 0).then(|| self.stack.last().copied()).flatten();
        top.ok_or_else(|| "there is nothing on the stack".into())
    }

    fn pop(&mut self) -> Result<u32, What> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn marked(&mut self) -> Result<Vec<u32>, What> {
        let height = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn tuple(&mut self, length: usize) -> Result<(), What> {
        if self.above_mark() < length {
            return Err("there is too little on the stack".into());
        }
        let items = self.stack.split_off(self.stack.len() - length);
        self.make(Node::Tuple(items))
    }

    // === containers ===

    fn append(&mut self, mut new: Vec<u32>) -> Result<(), What> {
        let list = self.top()?;
        match self.nodes.get_mut(list as usize) {
            Some(Node::List(items)) => items.append(&mut new),
            _ => return Err("it appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, mut new: Vec<u32>) -> Result<(), What> {
        self.keys(&new)?;
        let dict = self.top()?;
        match self.nodes.get_mut(dict as usize) {
            Some(Node::Dict(items)) => items.append(&mut new),
            _ => return Err("it sets items of what is no dict".into()),
        }
        Ok(())
    }

    /// Keys and values in turn, and no key that Python could not hash.
    fn keys(&self, items: &[u32]) -> Result<(), What> {
        if !items.len().is_multiple_of(2) {
            return Err("a key has no value".into());
        }
        let hashable = |index: &u32| matches!(self.nodes.get(*index as usize), Some(Node::Leaf(_) | Node::Tuple(_)));
        if items.iter().step_by(2).all(hashable) { Ok(()) } else { Err("a key is a container".into()) }
    }
}

pub(super) fn too_many(limits: &Limits) -> What {
    format!("more than {} values", limits.values).into()
}
