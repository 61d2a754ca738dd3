//! The service's reading of a form: `application/x-www-form-urlencoded`, UTF-8. (Xinge v2 REST documentation, 2018
//! edition, "request": names and values are percent-encoded and case-sensitive.)

use std::borrow::Cow;

/// The parameters of a request, decoded, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Form<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

// === impl Form ===

impl<'a> Form<'a> {
    /// Reads a body or a query.
    pub(super) fn parse(input: &'a str) -> Result<Self, &'static str> {
        let mut fields = Vec::with_capacity(12);
        for part in input.split('&') {
            if part.is_empty() {
                continue;
            }
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            fields.push((unquote(key)?, unquote(value)?));
        }
        Ok(Self { fields })
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// Everything, as the signature takes it: sorted by the bytes of the names.
    pub(super) fn sorted(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<(&str, &str)> =
            self.fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        all.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        all
    }

    /// A name that comes twice.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut rest = self.fields.as_slice();
        while let [(name, _), others @ ..] = rest {
            if others.iter().any(|(other, _)| other == name) {
                return Some(name);
            }
            rest = others;
        }
        None
    }
}

fn unquote(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (bytes.next().and_then(nibble), bytes.next().and_then(nibble)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("a % without two hex digits"),
            },
            other => other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| "the parameters are not UTF-8")
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<&[(&str, &str)], &'static str>) {
        let form = Form::parse(input).map(|form| form.fields);
        let expected =
            expected.map(|fields| fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        assert_eq!(form, expected, "{input}");
    }

    #[test]
    fn forms_are_decoded() {
        check("a=1&b=", Ok(&[("a", "1"), ("b", "")]));
        check("a+b=%E5%BA%97%2b1&&c", Ok(&[("a b", "店+1"), ("c", "")]));
        check("a=b=c", Ok(&[("a", "b=c")]));
        check("", Ok(&[]));
        check("a=%2", Err("a % without two hex digits"));
        check("a=%zz", Err("a % without two hex digits"));
        check("a=%ff", Err("the parameters are not UTF-8"));
    }

    #[test]
    fn order_and_repeats() {
        let form = Form::parse("b=2&a=1&B=3").unwrap();
        assert_eq!(form.sorted(), [("B", "3"), ("a", "1"), ("b", "2")]);
        assert_eq!(form.repeated(), None);
        assert_eq!(Form::parse("a=1&b=2&a=3").unwrap().repeated(), Some("a"));
    }
}
