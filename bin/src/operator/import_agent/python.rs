//! The values of the agent's `setting.py`: assignments of plain literals, read and never run.

use std::collections::BTreeMap;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Number(i64),
    Nothing,
    Dict(BTreeMap<String, Literal>),
    /// A list, a boolean, a fraction: nothing that an import needs.
    Other,
}

impl Literal {
    /// A text, or a number as text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// What a file assigns at its top level, and the lines that are no such assignment.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) values: BTreeMap<String, Literal>,
    /// Their numbers, from 1.
    pub(super) skipped: Vec<usize>,
}

impl Module {
    /// `mqtt['prefix']`.
    pub(super) fn get(&self, dict: &str, key: &str) -> Option<&Literal> {
        match self.values.get(dict)? {
            Literal::Dict(entries) => entries.get(key),
            _ => None,
        }
    }
}

/// Nesting that is followed.
const DEPTH: usize = 16;

/// Reads a module.
pub(super) fn read(text: &str) -> Module {
    let mut module = Module::default();
    let mut at = Reader { text, at: 0 };
    while !at.is_at_end() {
        let begin = at.at;
        let line = text.get(..begin).unwrap_or_default().matches('\n').count() + 1;
        if at.line_is_blank() {
            at.skip_line();
        } else if let Some((name, key, value)) = at.assignment() {
            match key {
                None => drop(module.values.insert(name, value)),
                Some(key) => {
                    let dict = module.values.entry(name).or_insert_with(|| Literal::Dict(BTreeMap::new()));
                    if let Literal::Dict(entries) = dict {
                        entries.insert(key, value);
                    }
                }
            }
        } else {
            at.at = begin;
            at.skip_line();
            module.skipped.push(line);
        }
    }
    module
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += wanted.len_utf8())
    }

    /// Blanks, and within brackets line ends and comments too.
    fn blanks(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\n' if lines => self.at += 1,
                '#' if lines => {
                    let length = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.at += length;
                }
                _ => break,
            }
        }
    }

    fn line_is_blank(&self) -> bool {
        let line = self.rest().lines().next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with('#')
    }

    fn skip_line(&mut self) {
        let length = self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
        self.at += length;
    }

    /// `name = literal` or `name['key'] = literal`, to the end of its line.
    fn assignment(&mut self) -> Option<(String, Option<String>, Literal)> {
        let name = self.name()?;
        self.blanks(false);
        let key = if self.take('[').is_some() {
            let key = self.string()?;
            self.take(']')?;
            self.blanks(false);
            Some(key)
        } else {
            None
        };
        self.take('=')?;
        self.blanks(false);
        let value = self.literal(0)?;
        self.blanks(false);
        if !matches!(self.peek(), None | Some('\n' | '#')) {
            return None;
        }
        self.skip_line();
        Some((name, key, value))
    }

    fn name(&mut self) -> Option<String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = self.rest().find(|c| !is_name(c)).unwrap_or(self.rest().len());
        let name = self.rest().get(..length).filter(|name| !name.is_empty())?.to_owned();
        self.at += length;
        Some(name)
    }

    fn literal(&mut self, depth: usize) -> Option<Literal> {
        if depth > DEPTH {
            return None;
        }
        match self.peek()? {
            '{' => self.dict(depth),
            '[' | '(' => self.list(depth),
            '\'' | '"' => Some(Literal::Text(self.string()?)),
            'u' | 'b' | 'r' if matches!(self.rest().chars().nth(1), Some('\'' | '"')) => {
                self.at += 1;
                Some(Literal::Text(self.string()?))
            }
            c if c.is_ascii_digit() || c == '-' => {
                let length = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
                let number = self.rest().get(..length.unwrap_or(self.rest().len()))?.to_owned();
                self.at += number.len();
                Some(number.trim_end_matches(['L', 'l']).parse().map_or(Literal::Other, Literal::Number))
            }
            _ => match self.dotted()?.as_str() {
                "None" => Some(Literal::Nothing),
                // `True`, `logging.DEBUG`: plain values that nobody here needs.
                _ => Some(Literal::Other),
            },
        }
    }

    fn dotted(&mut self) -> Option<String> {
        let mut name = self.name()?;
        while self.take('.').is_some() {
            name = format!("{name}.{}", self.name()?);
        }
        Some(name)
    }

    fn dict(&mut self, depth: usize) -> Option<Literal> {
        self.take('{')?;
        let mut entries = BTreeMap::new();
        loop {
            self.blanks(true);
            if self.take('}').is_some() {
                return Some(Literal::Dict(entries));
            }
            let key = self.literal(depth + 1)?.text()?;
            self.blanks(true);
            self.take(':')?;
            self.blanks(true);
            let value = self.literal(depth + 1)?;
            entries.insert(key, value);
            self.blanks(true);
            if self.take(',').is_none() && self.peek() != Some('}') {
                return None;
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Literal> {
        let end = if self.peek()? == '[' { ']' } else { ')' };
        self.at += 1;
        loop {
            self.blanks(true);
            if self.take(end).is_some() {
                return Some(Literal::Other);
            }
            self.literal(depth + 1)?;
            self.blanks(true);
            if self.take(',').is_none() && self.peek() != Some(end) {
                return None;
            }
        }
    }

    /// A string in one kind of quotes, on one line.
    fn string(&mut self) -> Option<String> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'))?;
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().filter(|c| *c != '\n')?;
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Some(text),
                '\\' => {
                    let escaped = self.peek()?;
                    self.at += escaped.len_utf8();
                    match escaped {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        '\\' | '\'' | '"' => text.push(escaped),
                        other => text.extend(['\\', other]),
                    }
                }
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_assignments_are_read_and_nothing_is_run() {
        let module = read(
            "# -*- coding: utf-8 -*-\nimport logging\n\npush = {\n    'host': '127.0.0.1',  # here\n    'port': 8092,\n    \
             'loglevel': logging.DEBUG,\n    'hosts': ['a', 'b'],\n}\nmqtt = {'prefix': u'yk', \"password\": 'it\\'s',}\n\
             redis = dict(host='x')\nmqtt['port'] = 1883\nevil = open('/etc/passwd').read()\nname = None\n",
        );
        let text = |dict, key| module.get(dict, key).and_then(Literal::text);
        assert_eq!(text("push", "host").as_deref(), Some("127.0.0.1"));
        assert_eq!(text("push", "port").as_deref(), Some("8092"));
        assert_eq!(text("mqtt", "prefix").as_deref(), Some("yk"));
        assert_eq!(text("mqtt", "password").as_deref(), Some("it's"));
        assert_eq!(text("mqtt", "port").as_deref(), Some("1883"));
        assert_eq!(module.get("push", "loglevel"), Some(&Literal::Other));
        assert_eq!(module.values.get("name"), Some(&Literal::Nothing));
        assert_eq!(module.skipped, [2, 11, 13], "import, a call, a call");
    }

    #[test]
    fn what_is_cut_off_or_deep_ends() {
        for text in ["a = {'b': ", "a = 'x", "a = \"\\", "a =", "a", "'", "é = 1", "a = {1: 2"] {
            assert_eq!(read(text).values.len(), 0, "{text}");
        }
        assert_eq!(read(&format!("a = {}", "[".repeat(100_000))).values.len(), 0);
        assert_eq!(read("a = {1: 2}").get("a", "1"), Some(&Literal::Number(2)));
    }
}
