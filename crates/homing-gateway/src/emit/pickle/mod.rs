//! Pickles, without running anything: the opcodes that make plain values, and no others.
//!
//! `pickle.loads` runs code that the pickle names; this reader has no opcode that names anything. It accepts what
//! protocols 0 to 5 write for None, booleans, integers of any length, floats, text, bytes, lists, tuples and dicts, with
//! the memo (one object in several places is legal), and the strings of Python 2. What it reads is bounded: input, levels,
//! values, and the length of the text once every shared object is written out; lengths are claims that are checked
//! against what is left before anything is allocated. It does not recurse.

mod input;
mod machine;
mod number;
mod op;
mod text;
mod tree;

use std::{borrow::Cow, fmt};

use super::value::Value;

/// What a pickle may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of input.
    pub bytes: usize,
    /// Containers inside containers.
    pub depth: u32,
    /// Values, each counted as often as it stands in the result.
    pub values: u64,
    /// Bytes of text, digits and binary, counted the same way.
    pub text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, depth: 64, values: 200_000, text: 16 << 20 }
    }
}

/// Why a pickle was refused, and where. Reads as `pickle: opcode STACK_GLOBAL at byte 55: not allowed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// The opcode that was being read; `None` where the input ends.
    pub opcode: Option<u8>,
    /// Its place in the input.
    pub position: usize,
    /// What is wrong.
    pub what: Cow<'static, str>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opcode.map(|opcode| (opcode, op::name(opcode))) {
            Some((_, Some(name))) => write!(f, "pickle: opcode {name} at byte {}: {}", self.position, self.what),
            Some((opcode, None)) => write!(f, "pickle: opcode {opcode:#04x} at byte {}: {}", self.position, self.what),
            None => write!(f, "pickle: at byte {}: {}", self.position, self.what),
        }
    }
}

/// What is wrong, without the place.
type What = Cow<'static, str>;

/// Reads one pickle. What follows its STOP is ignored, as Python does.
///
/// # Errors
/// It is none, it would need to run something, or it is beyond a limit.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Value, Rejected> {
    if bytes.len() > limits.bytes {
        let what = format!("{} bytes are more than {}", bytes.len(), limits.bytes);
        return Err(Rejected { opcode: None, position: limits.bytes, what: what.into() });
    }
    machine::Machine::new(bytes, limits).run()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
