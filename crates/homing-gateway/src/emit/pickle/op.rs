//! The opcodes: those that are read, and the names of those that are refused.

macro_rules! opcodes {
    ($($name:ident = $byte:expr;)*) => {
        $(pub(super) const $name: u8 = $byte;)*

        fn allowed(opcode: u8) -> Option<&'static str> {
            match opcode {
                $($name => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

opcodes! {
    MARK = b'(';
    STOP = b'.';
    NONE = b'N';
    INT = b'I';
    LONG = b'L';
    FLOAT = b'F';
    BININT = b'J';
    BININT1 = b'K';
    BININT2 = b'M';
    LONG1 = 0x8a;
    LONG4 = 0x8b;
    BINFLOAT = b'G';
    NEWTRUE = 0x88;
    NEWFALSE = 0x89;
    STRING = b'S';
    BINSTRING = b'T';
    SHORT_BINSTRING = b'U';
    UNICODE = b'V';
    BINUNICODE = b'X';
    SHORT_BINUNICODE = 0x8c;
    BINUNICODE8 = 0x8d;
    BINBYTES = b'B';
    SHORT_BINBYTES = b'C';
    BINBYTES8 = 0x8e;
    BYTEARRAY8 = 0x96;
    LIST = b'l';
    EMPTY_LIST = b']';
    APPEND = b'a';
    APPENDS = b'e';
    TUPLE = b't';
    EMPTY_TUPLE = b')';
    TUPLE1 = 0x85;
    TUPLE2 = 0x86;
    TUPLE3 = 0x87;
    DICT = b'd';
    EMPTY_DICT = b'}';
    SETITEM = b's';
    SETITEMS = b'u';
    GET = b'g';
    BINGET = b'h';
    LONG_BINGET = b'j';
    PUT = b'p';
    BINPUT = b'q';
    LONG_BINPUT = b'r';
    MEMOIZE = 0x94;
    PROTO = 0x80;
    FRAME = 0x95;
}

/// The name of an opcode, allowed or not.
pub(super) fn name(opcode: u8) -> Option<&'static str> {
    let refused = match opcode {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'P' => "PERSID",
        b'Q' => "BINPERSID",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b'c' => "GLOBAL",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x92 => "NEWOBJ_EX",
        0x93 => "STACK_GLOBAL",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return allowed(opcode),
    };
    Some(refused)
}
