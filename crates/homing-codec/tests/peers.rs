//! The other end of the wire: PHP itself, and the Python libraries that producers use. Without them these tests fail:
//! an imitation would agree with us, not with them.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::{
    env,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use homing_codec::{Codec, Key, Value, decode, to_msgpack, to_php};
use serde_json::{Value as Json, json};

/// The lines that a program answers to `input`.
#[track_caller]
fn ask(program: &Path, arguments: &[&str], input: &str) -> Vec<String> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let Ok(mut child) = spawned else {
        panic!("{} is missing: run scripts/test, which installs php and the Python libraries", program.display());
    };
    let mut stdin = child.stdin.take().unwrap();
    // Beside the reading, because a program may answer before it has heard everything.
    let output = thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    });
    assert!(output.status.success(), "{} failed", program.display());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[track_caller]
fn ask_php(script: &str) -> Vec<String> {
    let php = env::var_os("HOMING_TEST_PHP").unwrap_or_else(|| "php".into());
    // Without an ini file, and with the setting that PHP itself has by default.
    ask(Path::new(&php), &["-n", "-d", "serialize_precision=-1", "-d", "display_errors=stderr"], script)
}

#[track_caller]
fn ask_python(script: &str, input: &str) -> Vec<String> {
    let venv = env::var_os("HOMING_TEST_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.dev/venv"), PathBuf::from);
    ask(&venv.join("bin/python"), &["-c", script], input)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn map(entries: Vec<(Key, Value)>) -> Value {
    Value::Map(entries)
}

/// Values that every peer has, floats aside.
fn values() -> Vec<Value> {
    let mut values: Vec<Value> = [0, 1, -1, 127, 128, -32, -33, 65_536, i64::MAX, i64::MIN].map(Value::Int).into();
    values.extend(["", "0", "text", "{\"a\":1}", "你好 😀", "\";}\0"].map(Value::from));
    values.extend([
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Str((0..=255).collect()),
        Value::List(vec![]),
        Value::List((0..300).map(Value::Int).collect()),
        Value::List(vec![Value::List(vec![]), Value::List(vec![Value::Null])]),
        map(vec![(1.into(), Value::Null), (0.into(), Value::Null)]),
        map(vec![((-5).into(), "a".into()), (i64::MAX.into(), "b".into()), (i64::MIN.into(), "c".into())]),
        map(["", "-0", "00", "03", "+3", " 3", "3.0", "9223372036854775808", "-9223372036854775809", "\0*\0x", "ключ"]
            .map(|key| (key.into(), Value::from(key)))
            .into()),
        map(vec![
            ("type".into(), Value::Int(7)),
            ("user_id".into(), "100042".into()),
            (
                "data".into(),
                map(vec![("title".into(), "标题".into()), ("ids".into(), Value::List(vec![Value::Int(5)]))]),
            ),
        ]),
        (0..64).fold(Value::Null, |inner, _| Value::List(vec![inner])),
    ]);
    values
}

/// Floats of every size and kind, the last thousands without a pattern but the same in each run.
fn floats() -> Vec<Value> {
    let mut floats =
        vec![0.0, -0.0, 0.1, 1.0 / 3.0, 100_000.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 9_007_199_254_740_993.0];
    floats.extend([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    for exponent in -30..30 {
        let power = 10_f64.powi(exponent);
        floats.extend([power, -1.5 * power, 1.234_567_890_123_456_7 * power, 9.999_999_999_999_999 * power]);
    }
    let mut bits = 1_u64;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        floats.push(f64::from_bits(bits));
    }
    floats.into_iter().map(Value::Float).collect()
}

#[test]
fn php_agrees() {
    let values = [values(), floats()].concat();
    let written: Vec<_> = values.iter().map(to_php).collect();
    let mut script = String::from("<?php foreach ([");
    written.iter().for_each(|bytes| write!(script, "'{}',", hex(bytes)).unwrap());
    script += "] as $hex) echo bin2hex(serialize(unserialize(hex2bin($hex)))), \"\\n\";";
    let answers = ask_php(&script);
    assert_eq!(answers.len(), values.len());
    for ((value, written), answer) in values.iter().zip(&written).zip(answers) {
        let answer = unhex(&answer);
        assert_eq!(written.escape_ascii().to_string(), answer.escape_ascii().to_string());
        let read = decode(&answer, Codec::Auto).unwrap();
        assert!(read == *value || matches!(value, Value::Float(number) if number.is_nan()), "{read:?} {value:?}");
    }
}

#[test]
fn what_php_writes_is_read() {
    let classes = "
        class User { public $id = 7; protected $age = 8; private $name = 'x'; public $friend; }
        class Child extends User { private $name = 'y'; public $list = ['a' => 1]; }
        class Own { public $x = 1; function __serialize(): array { return [5, 'k' => [6]]; } }
        enum Suit: string { case Hearts = 'H'; case Spades = 'S'; }
    ";
    let user = json!({"__class": "User", "id": 7, "age": 8, "name": "x", "friend": null});
    let table: Vec<(&str, Json)> = vec![
        (
            "['type' => 7, 'ids' => [1, 2], 'on' => true, 'x' => null]",
            json!({"type": 7, "ids": [1, 2], "on": true, "x": null}),
        ),
        ("['3' => 'a', '-4' => 'b', '05' => 'c']", json!({"3": "a", "-4": "b", "05": "c"})),
        ("array_filter([1, 0, 2])", json!({"0": 1, "2": 2})),
        ("new User", user.clone()),
        // Two private properties of one name: that of the object's own class comes last.
        ("new Child", json!({"__class": "Child", "id": 7, "age": 8, "name": "y", "friend": null, "list": {"a": 1}})),
        ("new Own", json!({"__class": "Own", "0": 5, "k": [6]})),
        ("(object) ['a' => [], 'b' => 1.5]", json!({"__class": "stdClass", "a": [], "b": 1.5})),
        ("[Suit::Hearts, Suit::Hearts, 5, Suit::Spades]", json!(["Suit:Hearts", "Suit:Hearts", 5, "Suit:Spades"])),
        ("(function () { $u = new User; return [$u, $u, [$u], 5]; })()", json!([user, user, [user], 5])),
        (
            "(function () { $a = [1, [2, 3], 4]; $a[] = &$a[1]; $a[] = &$a[0]; $a[] = 6; return $a; })()",
            json!([1, [2, 3], 4, [2, 3], 1, 6]),
        ),
        (
            "(function () { $u = new User; $v = new User; $u->friend = $v; $n = 5; return [&$n, $u, &$n, $v, [&$n, $v], $u]; })()",
            {
                let mut friend = user.clone();
                friend["friend"] = user.clone();
                json!([5, friend, 5, user, [5, user], friend])
            },
        ),
        ("new ArrayObject([1])", json!({"__class": "ArrayObject", "0": 0, "1": [1], "2": [], "3": null})),
    ];
    let mut script = format!("<?php {classes}");
    for (expression, _) in &table {
        writeln!(script, "echo bin2hex(serialize({expression})), \"\\n\";").unwrap();
    }
    let answers = ask_php(&script);
    assert_eq!(answers.len(), table.len());
    for ((expression, json), answer) in table.into_iter().zip(answers) {
        let bytes = unhex(&answer);
        let value = decode(&bytes, Codec::Auto)
            .unwrap_or_else(|error| panic!("{expression}: {error}: {}", bytes.escape_ascii()));
        assert_eq!(value.to_json(), json, "{expression}: {}", bytes.escape_ascii());
    }
    let circle = ask_php("<?php $u = new stdClass; $u->self = $u; echo bin2hex(serialize($u)), \"\\n\";");
    let error = decode(&unhex(&circle[0]), Codec::Php).unwrap_err();
    assert_eq!(error.what, "a reference to a value that holds this reference");
}

/// Feeds each value to a Python library, which writes it again.
#[track_caller]
fn python_agrees(load_and_dump: &str, codec: Codec, write: fn(&Value) -> Vec<u8>) {
    let exact = values();
    let values = [exact.clone(), floats()].concat();
    let mut input = String::new();
    values.iter().for_each(|value| writeln!(input, "{}", hex(&write(value))).unwrap());
    let script = format!("import sys\n{load_and_dump}\nfor line in sys.stdin: print(again(bytes.fromhex(line)).hex())");
    let answers = ask_python(&script, &input);
    assert_eq!(answers.len(), values.len());
    for (index, (value, answer)) in values.iter().zip(answers).enumerate() {
        let answer = unhex(&answer);
        let read = decode(&answer, codec).unwrap();
        assert!(read == *value || matches!(value, Value::Float(number) if number.is_nan()), "{read:?} {value:?}");
        // Python spells floats in its own way.
        if index < exact.len() {
            assert_eq!(write(value).escape_ascii().to_string(), answer.escape_ascii().to_string());
        }
    }
}

#[test]
fn phpserialize_agrees() {
    python_agrees(
        "import phpserialize\ndef again(data): return phpserialize.dumps(phpserialize.loads(data))",
        Codec::Php,
        to_php,
    );
}

#[test]
fn msgpack_python_agrees() {
    python_agrees(
        "import msgpack\ndef again(data): return msgpack.packb(msgpack.unpackb(data, strict_map_key=False))",
        Codec::Msgpack,
        to_msgpack,
    );
}

/// Python 2, and any client with `use_bin_type=False`, sends bytes in the `str` family.
#[test]
fn old_msgpack_clients_are_understood() {
    let script = "import msgpack; print(msgpack.packb({b'k': b'\\xff\\xfe', 'u': 'text'}, use_bin_type=False).hex())";
    let answer = ask_python(script, "");
    let value = map(vec![("k".into(), Value::Str(vec![0xff, 0xfe])), ("u".into(), "text".into())]);
    assert_eq!(decode(&unhex(&answer[0]), Codec::Auto), Ok(value));
}
