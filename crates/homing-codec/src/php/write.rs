//! PHP `serialize`: the writer.

use crate::{Key, Value};

/// What `serialize` of PHP 8 writes with its default settings (`serialize_precision = -1`). Lists are arrays with the
/// keys `0..n`. Keys are written as they are: a string key `"3"`, which PHP would not write, PHP reads as `3`.
pub fn to_php(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(own) => out.extend_from_slice(if *own { b"b:1;" } else { b"b:0;" }),
        Value::Int(number) => integer(out, *number),
        Value::Float(number) => {
            out.extend_from_slice(b"d:");
            out.extend_from_slice(float(*number).as_bytes());
            out.push(b';');
        }
        Value::Str(bytes) => string(out, bytes),
        Value::List(values) => {
            open(out, values.len());
            for (index, value) in values.iter().enumerate() {
                out.extend_from_slice(b"i:");
                decimal(out, index as u64);
                out.push(b';');
                write(out, value);
            }
            out.push(b'}');
        }
        Value::Map(entries) => {
            open(out, entries.len());
            for (key, value) in entries {
                match key {
                    Key::Int(number) => integer(out, *number),
                    Key::Str(bytes) => string(out, bytes),
                }
                write(out, value);
            }
            out.push(b'}');
        }
    }
}

fn open(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(b"a:");
    decimal(out, count as u64);
    out.extend_from_slice(b":{");
}

fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(if number < 0 { b"i:-" } else { b"i:" });
    decimal(out, number.unsigned_abs());
    out.push(b';');
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"s:");
    decimal(out, bytes.len() as u64);
    out.extend_from_slice(b":\"");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\";");
}

/// Without the `String` that `to_string` would make of every length and index.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// The shortest text that reads back as the same number, with an exponent where PHP has one: below 0.0001 and from
/// 18 digits before the point on.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NAN".into();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}INF");
    }
    let scientific = shortest(number.abs());
    let Some((mantissa, Ok(exponent))) = scientific.split_once('e').map(|(m, e)| (m, e.parse::<isize>())) else {
        return scientific;
    };
    match exponent {
        0..=16 => {
            let digits = mantissa.replace('.', "");
            match digits.split_at_checked(exponent as usize + 1) {
                None | Some((_, "")) => format!("{sign}{digits:0<width$}", width = exponent as usize + 1),
                Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
            }
        }
        -4..0 => {
            let digits = mantissa.replace('.', "");
            format!("{sign}0.{zeros}{digits}", zeros = "0".repeat(exponent.unsigned_abs() - 1))
        }
        _ if mantissa.contains('.') => format!("{sign}{mantissa}E{exponent:+}"),
        _ => format!("{sign}{mantissa}.0E{exponent:+}"),
    }
}

/// As `{:e}`, but where two shortest texts are equally near to the number, PHP takes the even one and Rust may not: so
/// round the number itself, half to even, to as many digits.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let fraction = shortest.bytes().skip_while(|&byte| byte != b'.').skip(1).take_while(u8::is_ascii_digit).count();
    let even = format!("{number:.fraction$e}");
    if even.parse() == Ok(number) { even } else { shortest }
}
