//! PHP `serialize`: the reader. The writer is in `php/write.rs`.
//!
//! ```text
//! N;  b:1;  i:-5;  d:0.5;  s:3:"abc";           lengths are bytes
//! a:2:{i:0;s:1:"x";s:1:"k";N;}                  keys are i: or s:
//! O:4:"User":1:{s:2:"id";i:7;}                  a map with the class under "__class"
//! C:3:"Old":4:{data}                            likewise, with the bytes under "data"
//! E:9:"Suit:Hearts";                            the string "Suit:Hearts"
//! R:2;  r:2;                                    the second value of the document once more
//! ```
//!
//! References count values: every value has a number in the order in which it begins, from 1; keys have none, and an
//! `R` (not an `r`) has none. A `Value` is a tree, so a reference becomes a copy: the bytes of the value that it means
//! are read again. A circle has no tree and is an error. A few hundred bytes could ask for a tree of any size, so the
//! bytes that are read again are bounded together, as are the bytes of the input.
//!
//! PHP is followed to the letter (the tests ask it) except that it overlooks trailing bytes and makes the nearest
//! integer of one beyond 64 bits; here both are errors. What only Python writes (`d:inf;`) is read as well.

mod tokens;
mod write;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use write::to_php;

use crate::{
    Codec, Key, MAX_DEPTH, MAX_INPUT, Result, Value,
    input::{Input, reserve},
    repeats::last_wins,
};

/// Bytes that all references of one document may make the reader read again.
const COPIED: usize = MAX_INPUT;

/// Reads the one value in `bytes`, which [`crate::decode`] has measured.
pub(crate) fn read(bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader {
        input: Input::new(bytes, Codec::Php),
        numbered: Vec::new(),
        numbers_end: None,
        copying: false,
        copied: 0,
    };
    let value = reader.value(0)?;
    reader.input.finish()?;
    Ok(value)
}

/// The state of reading; its smaller tokens are in `php/tokens.rs`.
struct Reader<'a> {
    input: Input<'a>,
    /// Where each numbered value stands; `None` while it is being read.
    numbered: Vec<Option<Range<usize>>>,
    /// How many values had numbers when `C:` data came by, which may hold an unknown number of them.
    numbers_end: Option<usize>,
    /// Reading a value again, which already has its number.
    copying: bool,
    copied: usize,
}

impl Reader<'_> {
    /// The value that begins here, inside `depth` containers.
    fn value(&mut self, depth: usize) -> Result<Value> {
        let start = self.input.at;
        let Some([tag]) = self.input.take_array() else {
            return self.input.fail(start, "expected a value");
        };
        if tag == b'R' {
            return self.reference(start, None, depth);
        }
        let number = self.numbered.len();
        if !self.copying {
            self.numbered.push(None);
        }
        let (value, end) = match tag {
            b'N' => (Value::Null, Some("expected ';' after N")),
            b'b' => (self.boolean()?, Some("expected ';' after a boolean")),
            b'i' => {
                self.colon()?;
                (Value::Int(self.integer()?), Some("expected ';' after an integer"))
            }
            b'd' => (self.float()?, Some("expected ';' after a float")),
            b's' => (Value::Str(self.quoted("string")?.to_vec()), Some("expected ';' after a string")),
            b'E' => (self.case()?, Some("expected ';' after an enum case")),
            b'a' => (self.array(start, depth)?, None),
            b'O' => (self.object(start, depth)?, None),
            b'C' => (self.custom(start, depth)?, None),
            b'r' => return self.reference(start, Some(number), depth),
            other => return self.input.fail(start, format!("no PHP type is called '{}'", other.escape_ascii())),
        };
        if let Some(otherwise) = end {
            self.expect(b';', otherwise)?;
        }
        self.ends(number, start..self.input.at);
        Ok(value)
    }

    /// Notes where value `number` stands, now that it has been read.
    fn ends(&mut self, number: usize, place: Range<usize>) {
        if !self.copying
            && let Some(entry) = self.numbered.get_mut(number)
        {
            *entry = Some(place);
        }
    }

    /// `:2:{` of a container that begins at `start`: its count.
    fn open(&mut self, start: usize, depth: usize) -> Result<usize> {
        if depth >= MAX_DEPTH {
            return self.input.fail(start, format!("nested deeper than {MAX_DEPTH}"));
        }
        self.colon()?;
        let place = self.input.at;
        let count = self.unsigned()?;
        self.expect(b':', "expected ':' after a count")?;
        self.expect(b'{', "expected '{' after a count")?;
        let left = self.input.remaining();
        if count > left / 2 {
            return self.input.fail(place, format!("{count} elements, but {left} bytes are left"));
        }
        Ok(count)
    }

    fn close(&mut self) -> Result<()> {
        self.expect(b'}', "expected '}' after the elements")
    }

    fn array(&mut self, start: usize, depth: usize) -> Result<Value> {
        let count = self.open(start, depth)?;
        // A list until a key says otherwise.
        let mut list = Vec::new();
        let mut map = Vec::new();
        for _ in 0..count {
            let key = self.key(false)?;
            let value = self.value(depth + 1)?;
            if map.is_empty() {
                if matches!(key, Key::Int(index) if usize::try_from(index) == Ok(list.len())) {
                    if list.is_empty() {
                        list.reserve(reserve(count));
                    }
                    list.push(value);
                    continue;
                }
                map.reserve(reserve(count));
                map.extend((0..).map(Key::Int).zip(list.drain(..)));
            }
            map.push((key, value));
        }
        self.close()?;
        if map.is_empty() {
            return Ok(Value::List(list));
        }
        let (map, repeated) = last_wins(map);
        let is_list = |map: &[(Key, Value)]| (0..).map(Key::Int).zip(map).all(|(index, (key, _))| index == *key);
        if repeated && is_list(&map) {
            return Ok(Value::List(map.into_iter().map(|(_, value)| value).collect()));
        }
        Ok(Value::Map(map))
    }

    fn object(&mut self, start: usize, depth: usize) -> Result<Value> {
        let class = Value::Str(self.quoted("class name")?.to_vec());
        let count = self.open(start, depth)?;
        let mut map = Vec::with_capacity(reserve(count) + 1);
        map.push((Key::from("__class"), class));
        for _ in 0..count {
            let key = self.key(true)?;
            map.push((key, self.value(depth + 1)?));
        }
        self.close()?;
        Ok(Value::Map(last_wins(map).0))
    }

    /// An object whose class writes bytes of its own; which, only the class knows.
    fn custom(&mut self, start: usize, depth: usize) -> Result<Value> {
        let class = Value::Str(self.quoted("class name")?.to_vec());
        if depth >= MAX_DEPTH {
            return self.input.fail(start, format!("nested deeper than {MAX_DEPTH}"));
        }
        self.colon()?;
        let place = self.input.at;
        let length = self.unsigned()?;
        self.expect(b':', "expected ':' after a length")?;
        self.expect(b'{', "expected '{' before the data")?;
        let Some(data) = self.input.take(length) else {
            let left = self.input.remaining();
            return self.input.fail(place, format!("data of {length} bytes, but {left} are left"));
        };
        self.expect(b'}', "expected '}' after the data")?;
        self.numbers_end.get_or_insert(self.numbered.len());
        Ok(Value::Map(vec![(Key::from("__class"), class), (Key::from("data"), Value::Str(data.to_vec()))]))
    }

    fn case(&mut self) -> Result<Value> {
        let start = self.input.at + 1;
        let name = self.quoted("enum case")?.to_vec();
        if !name.contains(&b':') {
            return self.input.fail(start, "expected an enum case written as Class:Case");
        }
        Ok(Value::Str(name))
    }

    /// A copy of the value that `R:2;` or `r:2;` at `start` means. `own` is the number of the reference itself.
    fn reference(&mut self, start: usize, own: Option<usize>, depth: usize) -> Result<Value> {
        self.colon()?;
        let number = self.unsigned()?;
        self.expect(b';', "expected ';' after a reference")?;
        let known = self.numbered.len() - usize::from(own.is_some() && !self.copying);
        if number == 0 || number > known {
            return self.input.fail(start, format!("a reference to value {number} of {known}"));
        }
        if self.numbers_end.is_some_and(|end| number > end) {
            return self
                .input
                .fail(start, "a reference to a value after C: data, which hides how many values it holds");
        }
        let Some(place) = self.numbered.get(number - 1).cloned().flatten() else {
            return self.input.fail(start, "a reference to a value that holds this reference");
        };
        self.copied += place.len();
        if self.copied > COPIED {
            return self.input.fail(start, format!("references that copy more than {COPIED} bytes"));
        }
        let resume = std::mem::replace(&mut self.input.at, place.start);
        let outer = std::mem::replace(&mut self.copying, true);
        let value = self.value(depth)?;
        self.copying = outer;
        self.input.at = resume;
        // Whoever means this reference means its target: so a chain of references is one step long, and the stack is
        // bounded by the depth of containers.
        if let Some(own) = own {
            self.ends(own, place);
        }
        Ok(value)
    }
}
