//! Every column as text, whatever its type.
//!
//! Prepared statements answer in MySQL's binary form, so this reads it by the column's type: whole numbers by their sign
//! flag, BIT as a number, times as `2026-11-21 08:00:00` (with six digits if there are parts of a second), DECIMAL, JSON,
//! ENUM and text as they come, bytes that are no UTF-8 with replacement characters. TIMESTAMP columns are in UTC (the
//! driver sets the session so). NULL and the zero date are absent. Types that a newer server invents come as text.
//!
//! Reading here rather than casting in the statement keeps the order and the indexes of a raw query, and keeps BIT(1),
//! which CAST would turn into a control character.

use sqlx::mysql::{MySqlRow, MySqlTypeInfo};
use sqlx::{MySql, Row as _, Type, TypeInfo as _, ValueRef as _};

/// The text of a column; `None` is NULL.
pub(crate) fn text(row: &MySqlRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    if value.is_null() {
        return Ok(None);
    }
    let kind = value.type_info().into_owned();
    let bytes: &[u8] = row.try_get_unchecked(index)?;
    Ok(match kind.name() {
        "BOOLEAN" | "YEAR" => Some(whole(bytes, is_unsigned(&kind))),
        "FLOAT" | "DOUBLE" => fraction(bytes),
        "DATE" => date(bytes),
        "DATETIME" | "TIMESTAMP" => datetime(bytes),
        "TIME" => Some(time(bytes)),
        "BIT" => Some(bytes.iter().fold(0_u64, |n, byte| (n << 8) | u64::from(*byte)).to_string()),
        name if name.contains("INT") => Some(whole(bytes, is_unsigned(&kind))),
        _ => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// The name of a type hides the flag for TINYINT(1).
fn is_unsigned(kind: &MySqlTypeInfo) -> bool {
    <u64 as Type<MySql>>::compatible(kind)
}

fn whole(bytes: &[u8], unsigned: bool) -> String {
    let negative = !unsigned && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    if unsigned { u64::from_le_bytes(wide).to_string() } else { i64::from_le_bytes(wide).to_string() }
}

fn fraction(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(f32::from_le_bytes(four).to_string());
    }
    <[u8; 8]>::try_from(bytes).ok().map(|eight| f64::from_le_bytes(eight).to_string())
}

/// Length, year (two bytes), month, day.
fn date(bytes: &[u8]) -> Option<String> {
    let [_, low, high, month, day, ..] = bytes else { return None };
    Some(format!("{:04}-{month:02}-{day:02}", u16::from_le_bytes([*low, *high])))
}

/// A date and then hour, minute, second, microseconds (four bytes); what is zero at the end is left out.
fn datetime(bytes: &[u8]) -> Option<String> {
    let date = date(bytes)?;
    let (hour, minute, second) = match bytes.get(5..8) {
        Some([hour, minute, second]) => (*hour, *minute, *second),
        _ => (0, 0, 0),
    };
    Some(format!("{date} {hour:02}:{minute:02}:{second:02}{}", micros(bytes.get(8..12))))
}

/// Length, sign, days (four bytes), hour, minute, second, microseconds (four bytes).
fn time(bytes: &[u8]) -> String {
    let [_, sign, d1, d2, d3, d4, hour, minute, second, rest @ ..] = bytes else { return "00:00:00".to_owned() };
    let hours = u64::from(u32::from_le_bytes([*d1, *d2, *d3, *d4])) * 24 + u64::from(*hour);
    let minus = if *sign == 1 { "-" } else { "" };
    format!("{minus}{hours:02}:{minute:02}:{second:02}{}", micros(rest.get(..4)))
}

fn micros(bytes: Option<&[u8]>) -> String {
    match bytes.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes) {
        Some(micros) if micros > 0 => format!(".{micros:06}"),
        _ => String::new(),
    }
}
