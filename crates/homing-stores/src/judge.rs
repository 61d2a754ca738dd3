//! The `accept` expression of a lookup: a minijinja expression over the first row.
//!
//! It sees the row's columns, `value` (a column too, where there is one), `now` (seconds since 1970) and `rows` (how
//! many there are). Columns are text; one that is absent is `none`. It has the filters `int`, `float` and `truthy`, the
//! tests `none` and `defined`, and nothing else. Fuel is limited, so no expression can hold up a lane.
//!
//! The commonest form, `column == 'text'` or `!=`, is compared directly.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use homing_core::{clock::Millis, lookup::Row, lookup::Verdict};
use minijinja::{Environment, ErrorKind, Expression, Value, tests};

use crate::config::OnMissing;
use crate::error::ConfigError;

/// Instructions that one evaluation may take; a sane expression takes about twenty.
const FUEL: u64 = 2_000;

/// The most characters of `seen`.
const MAX_SEEN: usize = 100;

/// Names that are ours and so cannot be columns.
pub(crate) const OWN_NAMES: [&str; 2] = ["now", "rows"];

/// Compiled expressions borrow their environment, so it lives as long as the process. It is never changed.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true); // for the column in errors
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("truthy", truthy);
    environment.add_test("none", tests::is_none);
    environment.add_test("defined", tests::is_defined);
    environment
});

/// `accept` and `on_missing` of one lookup.
pub(crate) struct Judge {
    accept: Accept,
    on_missing: OnMissing,
}

enum Accept {
    /// No expression: a row is enough.
    Row,
    /// `column == 'text'`, or `!=`.
    Text { column: String, text: String, equal: bool },
    /// Any other expression, with the names it uses.
    Expression { compiled: Expression<'static, 'static>, names: Vec<String> },
}

// === impl Judge ===

impl Judge {
    /// Compiles the expression of the lookup `name`. `columns` are those its rows can have, where that is known.
    pub(crate) fn new(
        name: &str,
        accept: Option<&str>,
        on_missing: OnMissing,
        columns: Option<&[String]>,
    ) -> Result<Self, ConfigError> {
        let accept = match accept {
            None => Accept::Row,
            Some(text) => compile(name, text, columns)?,
        };
        Ok(Self { accept, on_missing })
    }

    /// The verdict on the rows of one id.
    pub(crate) fn judge(&self, rows: &[Row], now: Millis) -> Verdict {
        let Some(row) = rows.first() else {
            return Verdict { pass: self.on_missing == OnMissing::Allow, seen: "missing".to_owned() };
        };
        match &self.accept {
            Accept::Row => Verdict { pass: true, seen: bounded(format!("rows={}", rows.len())) },
            Accept::Text { column, text, equal } => {
                let found = row.get(column);
                Verdict { pass: (found == Some(text)) == *equal, seen: bounded(format!("{column}={}", show(found))) }
            }
            Accept::Expression { compiled, names } => {
                let result = compiled.eval(context(names, row, rows.len(), now));
                let columns = names.iter().filter(|name| !OWN_NAMES.contains(&name.as_str()));
                let mut seen: Vec<String> = columns.map(|name| format!("{name}={}", show(row.get(name)))).collect();
                if seen.is_empty() {
                    seen.push(format!("rows={}", rows.len()));
                }
                let pass = result.as_ref().is_ok_and(Value::is_true);
                if let Err(error) = result {
                    seen.push(format!("({})", error.detail().unwrap_or("the expression failed")));
                }
                Verdict { pass, seen: bounded(seen.join(" ")) }
            }
        }
    }
}

fn show(found: Option<&String>) -> &str {
    found.map_or("none", String::as_str)
}

fn bounded(text: String) -> String {
    if text.chars().count() <= MAX_SEEN {
        return text;
    }
    let mut short: String = text.chars().take(MAX_SEEN - 1).collect();
    short.push('…');
    short
}

fn context(names: &[String], row: &Row, rows: usize, now: Millis) -> Value {
    let known = names.iter().map(|name| {
        let value = match name.as_str() {
            "now" => Value::from(now.div_euclid(1_000)),
            "rows" => Value::from(rows),
            column => row.get(column).map_or_else(|| Value::from(()), |text| Value::from(text.as_str())),
        };
        (name.clone(), value)
    });
    Value::from(known.collect::<BTreeMap<String, Value>>())
}

fn compile(name: &str, text: &str, columns: Option<&[String]>) -> Result<Accept, ConfigError> {
    let wrong = |line: usize, column: usize, reason: String| ConfigError::Expression {
        name: name.to_owned(),
        line,
        column,
        reason,
    };
    let unknown = |used: &str| columns.is_some_and(|known| !known.iter().any(|column| column == used));
    let refuse = |used: &str| {
        let (line, column) = place(text, text.find(used).unwrap_or(0));
        let known = columns.unwrap_or_default().join(", ");
        wrong(line, column, format!("`{used}` is no column of this lookup; there are {known}, now and rows"))
    };
    if let Some((column, literal, equal)) = comparison(text) {
        if unknown(column) {
            return Err(refuse(column));
        }
        return Ok(Accept::Text { column: column.to_owned(), text: literal.to_owned(), equal });
    }
    let failed = |error: &minijinja::Error| {
        let (line, column) = place(text, error.range().map_or(0, |range| range.start));
        wrong(error.line().unwrap_or(line), column, error.detail().unwrap_or("is no expression").to_owned())
    };
    let compiled = ENVIRONMENT.compile_expression_owned(text.to_owned()).map_err(|error| failed(&error))?;
    let mut names: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
    names.sort_unstable();
    if let Some(used) = names.iter().find(|used| !OWN_NAMES.contains(&used.as_str()) && unknown(used)) {
        return Err(refuse(used));
    }
    // Filters and tests are resolved when they are reached; try once, so that a typing error shows now.
    if let Err(error) = compiled.eval(context(&names, &Row::new(), 1, 0))
        && matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction)
    {
        return Err(failed(&error));
    }
    Ok(Accept::Expression { compiled, names })
}

/// Line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}

/// `column == 'text'` or `column != "text"`, where the text has neither quotes nor escapes.
fn comparison(text: &str) -> Option<(&str, &str, bool)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (column, rest) = text.split_at_checked(end)?;
    let reserved =
        ["true", "True", "false", "False", "none", "None", "not", "now", "rows", "if", "in", "is", "and", "or"];
    if column.is_empty() || column.starts_with(|c: char| c.is_ascii_digit()) || reserved.contains(&column) {
        return None;
    }
    let rest = rest.trim_start();
    let (rest, equal) = match rest.strip_prefix("==") {
        Some(rest) => (rest, true),
        None => (rest.strip_prefix("!=")?, false),
    };
    let rest = rest.trim_start();
    let literal = ['\'', '"'].into_iter().find_map(|quote| rest.strip_prefix(quote)?.strip_suffix(quote))?;
    (!literal.contains(['\'', '"', '\\'])).then_some((column, literal, equal))
}

fn not_a(kind: &str, value: &Value) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, format!("`{value}` is no {kind}"))
}

fn number(value: &Value) -> Option<f64> {
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    number.filter(|n: &f64| n.is_finite())
}

/// A whole number, of text too; fractions are cut off.
fn int(value: &Value) -> Result<i64, minijinja::Error> {
    let whole = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => i64::try_from(value.clone()).ok(),
    };
    let in_range = |n: &f64| n.abs() < 9.0e18;
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked, and the fraction is to go")]
    whole.or_else(|| number(value).filter(in_range).map(|n| n as i64)).ok_or_else(|| not_a("whole number", value))
}

fn float(value: &Value) -> Result<f64, minijinja::Error> {
    number(value).ok_or_else(|| not_a("number", value))
}

/// `"1"`, `1`, `true` and `"true"` are true, all else is false.
fn truthy(value: &Value) -> bool {
    match value.as_str() {
        Some(text) => text.trim() == "1" || text.trim().eq_ignore_ascii_case("true"),
        None => bool::try_from(value.clone()).unwrap_or(false) || i64::try_from(value.clone()).is_ok_and(|n| n == 1),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod test;
