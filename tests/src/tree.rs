//! AMQP values that own their bytes, to build what the tests send and to compare what comes back.

use serde_json::{Value as Json, json};
use servicebus_core::time::Timestamp;
use servicebus_core::wire::{self, Compound, DecodeError, Encode, Sink, Symbol, Uuid, Value};
use std::path::Path;

/// Any AMQP value. Floating point numbers are kept as bits, so that every NaN is equal to itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A value without parts, as it is encoded.
    Plain(Plain),
    /// `list`
    List(Vec<Tree>),
    /// `map`
    Map(Vec<(Tree, Tree)>),
    /// `array`: the name of the items' type, and the items.
    Array(String, Vec<Tree>),
    /// A described value.
    Described(Box<(Tree, Tree)>),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// `null`
    Null,
    /// `boolean`
    Boolean(bool),
    /// `ubyte`
    Ubyte(u8),
    /// `ushort`
    Ushort(u16),
    /// `uint`
    Uint(u32),
    /// `ulong`
    Ulong(u64),
    /// `byte`
    Byte(i8),
    /// `short`
    Short(i16),
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `float`, as bits
    Float(u32),
    /// `double`, as bits
    Double(u64),
    /// `decimal32`
    Decimal32([u8; 4]),
    /// `decimal64`
    Decimal64([u8; 8]),
    /// `decimal128`
    Decimal128([u8; 16]),
    /// `char`
    Char(char),
    /// `timestamp`, in milliseconds
    Timestamp(i64),
    /// `uuid`
    Uuid([u8; 16]),
    /// `binary`
    Binary(Vec<u8>),
    /// `string`
    String(String),
    /// `symbol`
    Symbol(String),
}

impl Plain {
    /// The same value, borrowed.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(v) => Value::Boolean(*v),
            Self::Ubyte(v) => Value::Ubyte(*v),
            Self::Ushort(v) => Value::Ushort(*v),
            Self::Uint(v) => Value::Uint(*v),
            Self::Ulong(v) => Value::Ulong(*v),
            Self::Byte(v) => Value::Byte(*v),
            Self::Short(v) => Value::Short(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Long(v) => Value::Long(*v),
            Self::Float(v) => Value::Float(f32::from_bits(*v)),
            Self::Double(v) => Value::Double(f64::from_bits(*v)),
            Self::Decimal32(v) => Value::Decimal32(*v),
            Self::Decimal64(v) => Value::Decimal64(*v),
            Self::Decimal128(v) => Value::Decimal128(*v),
            Self::Char(v) => Value::Char(*v),
            Self::Timestamp(v) => Value::Timestamp(Timestamp::from_millis(*v)),
            Self::Uuid(v) => Value::Uuid(Uuid(*v)),
            Self::Binary(v) => Value::Binary(v),
            Self::String(v) => Value::String(v),
            Self::Symbol(v) => Value::Symbol(Symbol::new(v)),
        }
    }
}

impl Tree {
    /// `string`
    pub fn string(text: &str) -> Self {
        Self::Plain(Plain::String(text.into()))
    }

    /// The name of the value's type in the specification.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Array(..) => "array",
            Self::Described(_) => "described",
            Self::Plain(plain) => match plain {
                Plain::Null => "null",
                Plain::Boolean(_) => "boolean",
                Plain::Ubyte(_) => "ubyte",
                Plain::Ushort(_) => "ushort",
                Plain::Uint(_) => "uint",
                Plain::Ulong(_) => "ulong",
                Plain::Byte(_) => "byte",
                Plain::Short(_) => "short",
                Plain::Int(_) => "int",
                Plain::Long(_) => "long",
                Plain::Float(_) => "float",
                Plain::Double(_) => "double",
                Plain::Decimal32(_) => "decimal32",
                Plain::Decimal64(_) => "decimal64",
                Plain::Decimal128(_) => "decimal128",
                Plain::Char(_) => "char",
                Plain::Timestamp(_) => "timestamp",
                Plain::Uuid(_) => "uuid",
                Plain::Binary(_) => "binary",
                Plain::String(_) => "string",
                Plain::Symbol(_) => "symbol",
            },
        }
    }

    /// The value with everything inside it.
    ///
    /// # Errors
    /// What is wrong with the encoded bytes.
    pub fn of(value: &Value<'_>) -> Result<Self, DecodeError> {
        let plain = match *value {
            Value::Null => Plain::Null,
            Value::Boolean(v) => Plain::Boolean(v),
            Value::Ubyte(v) => Plain::Ubyte(v),
            Value::Ushort(v) => Plain::Ushort(v),
            Value::Uint(v) => Plain::Uint(v),
            Value::Ulong(v) => Plain::Ulong(v),
            Value::Byte(v) => Plain::Byte(v),
            Value::Short(v) => Plain::Short(v),
            Value::Int(v) => Plain::Int(v),
            Value::Long(v) => Plain::Long(v),
            Value::Float(v) => Plain::Float(v.to_bits()),
            Value::Double(v) => Plain::Double(v.to_bits()),
            Value::Decimal32(v) => Plain::Decimal32(v),
            Value::Decimal64(v) => Plain::Decimal64(v),
            Value::Decimal128(v) => Plain::Decimal128(v),
            Value::Char(v) => Plain::Char(v),
            Value::Timestamp(v) => Plain::Timestamp(v.as_millis()),
            Value::Uuid(v) => Plain::Uuid(v.0),
            Value::Binary(v) => Plain::Binary(v.into()),
            Value::String(v) => Plain::String(v.into()),
            Value::Symbol(v) => Plain::Symbol(v.as_str().into()),
            Value::List(list) => {
                return list.iter().map(|item| Self::of(&item?)).collect::<Result<_, _>>().map(Self::List);
            }
            Value::Map(map) => {
                let entry = |entry: Result<(Value<'_>, Value<'_>), _>| {
                    let (key, value) = entry?;
                    Ok((Self::of(&key)?, Self::of(&value)?))
                };
                return map.iter().map(entry).collect::<Result<_, _>>().map(Self::Map);
            }
            Value::Array(array) => {
                let items: Vec<Self> = array.iter().map(|item| Self::of(&item?)).collect::<Result<_, _>>()?;
                let kind = match items.first() {
                    Some(item) => item.type_name(),
                    None => {
                        // Short form, size, count, and the constructor.
                        let bytes = wire::to_vec(&value);
                        let code = bytes.get(3).copied().unwrap_or(0x40);
                        KINDS.iter().find(|(_, widest)| *widest == code).map_or("null", |(kind, _)| kind)
                    }
                };
                return Ok(Self::Array(kind.into(), items));
            }
            Value::Described(described) => {
                return Ok(Self::Described(Box::new((
                    Self::of(&described.descriptor()?)?,
                    Self::of(&described.value()?)?,
                ))));
            }
            _ => return Err(DecodeError::UnknownFormatCode(0)),
        };
        Ok(Self::Plain(plain))
    }

    /// The encoded value.
    ///
    /// # Panics
    /// When the value is too large for AMQP.
    pub fn to_bytes(&self) -> Vec<u8> {
        wire::to_vec(self)
    }

    /// Whether two values say the same: an array without items has forgotten their type.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(two)) => one == two,
            (Self::List(one), Self::List(two)) => same_items(one, two),
            (Self::Map(one), Self::Map(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.0.same(&b.0) && a.1.same(&b.1))
            }
            (Self::Array(kind, one), Self::Array(other_kind, two)) => {
                same_items(one, two) && (one.is_empty() || kind == other_kind)
            }
            (Self::Described(one), Self::Described(two)) => one.0.same(&two.0) && one.1.same(&two.1),
            _ => false,
        }
    }

    fn of_json(kind: &str, json: &Json) -> Self {
        let number = || {
            let text = || json.as_str().and_then(|text| text.parse().ok());
            json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from)).or_else(text)
        };
        let bits = || {
            json.as_u64().unwrap_or_else(|| {
                let text = json.as_str().expect("a number or its bits in hexadecimal");
                u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal")
            })
        };
        let text = || json.as_str().expect("text").to_owned();
        macro_rules! integer {
            ($variant:ident) => {
                Plain::$variant(number().expect("a number").try_into().expect("a number of its type"))
            };
        }
        Self::Plain(match kind {
            "null" => Plain::Null,
            "boolean" => Plain::Boolean(json.as_bool().expect("a boolean")),
            "ubyte" => integer!(Ubyte),
            "ushort" => integer!(Ushort),
            "uint" => integer!(Uint),
            "ulong" => integer!(Ulong),
            "byte" => integer!(Byte),
            "short" => integer!(Short),
            "int" => integer!(Int),
            "long" => integer!(Long),
            "timestamp" => integer!(Timestamp),
            "float" => Plain::Float(bits() as u32),
            "double" => Plain::Double(bits()),
            "decimal32" => Plain::Decimal32(hex(&text()).try_into().expect("4 bytes")),
            "decimal64" => Plain::Decimal64(hex(&text()).try_into().expect("8 bytes")),
            "decimal128" => Plain::Decimal128(hex(&text()).try_into().expect("16 bytes")),
            "char" => Plain::Char(char::from_u32(bits() as u32).expect("a scalar value")),
            "uuid" => Plain::Uuid(hex(&text().replace('-', "")).try_into().expect("16 bytes")),
            "binary" => Plain::Binary(hex(&text())),
            "string" => Plain::String(text()),
            "symbol" => Plain::Symbol(text()),
            "array" => {
                let kind = json["element_type"].as_str().expect("a type");
                let items = json["elements"].as_array().expect("elements");
                return Self::Array(kind.into(), items.iter().map(|item| Self::of_json(kind, item)).collect());
            }
            "list" => return Self::List(json.as_array().expect("items").iter().map(Self::of_pair).collect()),
            "map" => {
                let entry = |entry: &Json| (Self::of_pair(&entry[0]), Self::of_pair(&entry[1]));
                return Self::Map(json.as_array().expect("entries").iter().map(entry).collect());
            }
            "described" => {
                return Self::Described(Box::new((Self::of_pair(&json["descriptor"]), Self::of_pair(&json["value"]))));
            }
            other => panic!("unknown type {other}"),
        })
    }

    /// A value from its type's name and its contents, as in the file `qit-values.json`: floating point numbers as
    /// their bits, bytes in hexadecimal, 64-bit numbers as text where JSON's reader loses digits.
    ///
    /// # Panics
    /// When it is none.
    pub fn of_pair(pair: &Json) -> Self {
        Self::of_json(pair[0].as_str().expect("a type"), &pair[1])
    }

    /// The value's type and contents, as [`Tree::of_pair`] reads them.
    pub fn to_pair(&self) -> Json {
        json!([self.type_name(), self.contents()])
    }

    fn contents(&self) -> Json {
        let plain = match self {
            Self::Plain(plain) => plain,
            Self::List(items) => return items.iter().map(Self::to_pair).collect(),
            Self::Map(entries) => {
                return entries.iter().map(|(key, value)| json!([key.to_pair(), value.to_pair()])).collect();
            }
            Self::Array(kind, items) => {
                let items: Json = items.iter().map(Self::contents).collect();
                return json!({ "element_type": kind, "elements": items });
            }
            Self::Described(pair) => return json!({ "descriptor": pair.0.to_pair(), "value": pair.1.to_pair() }),
        };
        match plain {
            Plain::Null => Json::Null,
            Plain::Boolean(v) => json!(v),
            Plain::Ubyte(v) => json!(v),
            Plain::Ushort(v) => json!(v),
            Plain::Uint(v) => json!(v),
            Plain::Byte(v) => json!(v),
            Plain::Short(v) => json!(v),
            Plain::Int(v) => json!(v),
            Plain::Ulong(v) => json!(v.to_string()),
            Plain::Long(v) => json!(v.to_string()),
            Plain::Float(v) => json!(format!("{v:#x}")),
            Plain::Double(v) => json!(format!("{v:#x}")),
            Plain::Decimal32(v) => json!(to_hex(v)),
            Plain::Decimal64(v) => json!(to_hex(v)),
            Plain::Decimal128(v) => json!(to_hex(v)),
            Plain::Char(v) => json!(u32::from(*v)),
            Plain::Timestamp(v) => json!(v),
            Plain::Uuid(v) => json!(to_hex(v)),
            Plain::Binary(v) => json!(to_hex(v)),
            Plain::String(v) | Plain::Symbol(v) => json!(v),
        }
    }

    /// Every value of the file `qit-values.json`.
    ///
    /// # Panics
    /// When the file cannot be read or holds something unknown: it would be left untested.
    pub fn all_of(file: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(file).expect("the file can be read");
        let json: Json = serde_json::from_str(&text).expect("the file is JSON");
        let groups = json.as_object().expect("groups by type");
        let mut all = Vec::new();
        for group in groups.values() {
            let kind = group["type"].as_str().expect("a type");
            all.extend(group["values"].as_array().expect("values").iter().map(|value| Self::of_json(kind, value)));
        }
        all
    }
}

fn same_items(one: &[Tree], two: &[Tree]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.same(b))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).expect("ASCII"), 16).expect("hexadecimal");
    text.as_bytes().chunks(2).map(digit).collect()
}

/// The format code of an array's items by their type: the widest of each, which holds all of its values.
const KINDS: &[(&str, u8)] = &[
    ("null", 0x40),
    ("boolean", 0x56),
    ("ubyte", 0x50),
    ("ushort", 0x60),
    ("uint", 0x70),
    ("ulong", 0x80),
    ("byte", 0x51),
    ("short", 0x61),
    ("int", 0x71),
    ("long", 0x81),
    ("float", 0x72),
    ("double", 0x82),
    ("decimal32", 0x74),
    ("decimal64", 0x84),
    ("decimal128", 0x94),
    ("char", 0x73),
    ("timestamp", 0x83),
    ("uuid", 0x98),
    ("binary", 0xb0),
    ("string", 0xb1),
    ("symbol", 0xb3),
    ("list", 0xd0),
    ("map", 0xd1),
    ("array", 0xf0),
];

fn code_of(kind: &str) -> u8 {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.unwrap_or_else(|| panic!("no array of {kind} here")).1
}

/// Appends an item of an array in its widest form, without its constructor.
fn encode_item(item: &Tree, sink: &mut Sink<'_>) {
    let sized = |sink: &mut Sink<'_>, bytes: &[u8]| {
        sink.put_size(bytes.len());
        sink.put(bytes);
    };
    let counted = |sink: &mut Sink<'_>, count: usize, bytes: &[u8]| {
        sink.put_size(bytes.len() + 4);
        sink.put_size(count);
        sink.put(bytes);
    };
    match item {
        Tree::Plain(plain) => match plain {
            Plain::Null => {}
            Plain::Boolean(v) => sink.put(&[u8::from(*v)]),
            Plain::Ubyte(v) => sink.put(&[*v]),
            Plain::Ushort(v) => sink.put(&v.to_be_bytes()),
            Plain::Uint(v) => sink.put(&v.to_be_bytes()),
            Plain::Ulong(v) => sink.put(&v.to_be_bytes()),
            Plain::Byte(v) => sink.put(&v.to_be_bytes()),
            Plain::Short(v) => sink.put(&v.to_be_bytes()),
            Plain::Int(v) => sink.put(&v.to_be_bytes()),
            Plain::Long(v) => sink.put(&v.to_be_bytes()),
            Plain::Float(v) => sink.put(&v.to_be_bytes()),
            Plain::Double(v) => sink.put(&v.to_be_bytes()),
            Plain::Decimal32(v) => sink.put(v),
            Plain::Decimal64(v) => sink.put(v),
            Plain::Decimal128(v) | Plain::Uuid(v) => sink.put(v),
            Plain::Char(v) => sink.put(&u32::from(*v).to_be_bytes()),
            Plain::Timestamp(v) => sink.put(&v.to_be_bytes()),
            Plain::Binary(v) => sized(sink, v),
            Plain::String(v) | Plain::Symbol(v) => sized(sink, v.as_bytes()),
        },
        Tree::List(items) => {
            let bytes: Vec<u8> = items.iter().flat_map(Tree::to_bytes).collect();
            counted(sink, items.len(), &bytes);
        }
        Tree::Map(entries) => {
            let bytes: Vec<u8> =
                entries.iter().flat_map(|(key, value)| [key.to_bytes(), value.to_bytes()].concat()).collect();
            counted(sink, entries.len() * 2, &bytes);
        }
        Tree::Array(kind, items) => {
            let mut bytes = vec![code_of(kind)];
            for item in items {
                encode_item(item, &mut Sink::from(&mut bytes));
            }
            counted(sink, items.len(), &bytes);
        }
        Tree::Described(_) => panic!("no array of described values here"),
    }
}

impl Encode for Tree {
    fn encode(&self, sink: &mut Sink<'_>) {
        match self {
            Self::Plain(plain) => plain.value().encode(sink),
            Self::List(items) => {
                let mark = sink.begin();
                for item in items {
                    item.encode(sink);
                }
                sink.end(mark, Compound::List, items.len());
            }
            Self::Map(entries) => {
                let mark = sink.begin();
                for (key, value) in entries {
                    key.encode(sink);
                    value.encode(sink);
                }
                sink.end(mark, Compound::Map, entries.len() * 2);
            }
            Self::Array(kind, items) => {
                let mark = sink.begin();
                sink.put(&[code_of(kind)]);
                for item in items {
                    encode_item(item, sink);
                }
                sink.end(mark, Compound::Array, items.len());
            }
            Self::Described(parts) => {
                sink.put(&[0]);
                parts.0.encode(sink);
                parts.1.encode(sink);
            }
        }
    }
}
