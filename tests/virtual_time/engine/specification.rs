//! The specification's own XML against the codec: every primitive type and encoding, every composite with each of its
//! fields, every choice. What the XML has and the codec lacks fails.

use roxmltree::{Document, Node};
use servicebus_core::engine::condition;
use servicebus_core::wire::messaging::*;
use servicebus_core::wire::performative::*;
use servicebus_core::wire::sasl::*;
use servicebus_core::wire::transaction::{self, *};
use servicebus_core::wire::*;
use servicebus_tests::evidence;
use servicebus_tests::tree::{Plain, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Decodes a value and encodes it again.
type Again = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Every composite type of the codec.
const COMPOSITES: &[(Definition, Again)] = &[
    (Open::DEFINITION, |bytes| again::<Open<'_>>(bytes)),
    (Begin::DEFINITION, |bytes| again::<Begin<'_>>(bytes)),
    (Attach::DEFINITION, |bytes| again::<Attach<'_>>(bytes)),
    (Flow::DEFINITION, |bytes| again::<Flow<'_>>(bytes)),
    (Transfer::DEFINITION, |bytes| again::<Transfer<'_>>(bytes)),
    (Disposition::DEFINITION, |bytes| again::<Disposition<'_>>(bytes)),
    (Detach::DEFINITION, |bytes| again::<Detach<'_>>(bytes)),
    (End::DEFINITION, |bytes| again::<End<'_>>(bytes)),
    (Close::DEFINITION, |bytes| again::<Close<'_>>(bytes)),
    (ErrorCondition::DEFINITION, |bytes| again::<ErrorCondition<'_>>(bytes)),
    (Header::DEFINITION, |bytes| again::<Header>(bytes)),
    (Properties::DEFINITION, |bytes| again::<Properties<'_>>(bytes)),
    (Source::DEFINITION, |bytes| again::<Source<'_>>(bytes)),
    (Target::DEFINITION, |bytes| again::<Target<'_>>(bytes)),
    (Received::DEFINITION, |bytes| again::<Received>(bytes)),
    (Accepted::DEFINITION, |bytes| again::<Accepted>(bytes)),
    (Rejected::DEFINITION, |bytes| again::<Rejected<'_>>(bytes)),
    (Released::DEFINITION, |bytes| again::<Released>(bytes)),
    (Modified::DEFINITION, |bytes| again::<Modified<'_>>(bytes)),
    (DeleteOnClose::DEFINITION, |bytes| again::<DeleteOnClose>(bytes)),
    (DeleteOnNoLinks::DEFINITION, |bytes| again::<DeleteOnNoLinks>(bytes)),
    (DeleteOnNoMessages::DEFINITION, |bytes| again::<DeleteOnNoMessages>(bytes)),
    (DeleteOnNoLinksOrMessages::DEFINITION, |bytes| again::<DeleteOnNoLinksOrMessages>(bytes)),
    (Coordinator::DEFINITION, |bytes| again::<Coordinator<'_>>(bytes)),
    (Declare::DEFINITION, |bytes| again::<Declare<'_>>(bytes)),
    (Discharge::DEFINITION, |bytes| again::<Discharge<'_>>(bytes)),
    (Declared::DEFINITION, |bytes| again::<Declared<'_>>(bytes)),
    (TransactionalState::DEFINITION, |bytes| again::<TransactionalState<'_>>(bytes)),
    (SaslMechanisms::DEFINITION, |bytes| again::<SaslMechanisms<'_>>(bytes)),
    (SaslInit::DEFINITION, |bytes| again::<SaslInit<'_>>(bytes)),
    (SaslChallenge::DEFINITION, |bytes| again::<SaslChallenge<'_>>(bytes)),
    (SaslResponse::DEFINITION, |bytes| again::<SaslResponse<'_>>(bytes)),
    (SaslOutcome::DEFINITION, |bytes| again::<SaslOutcome<'_>>(bytes)),
];

fn again<'a, T: Decode<'a> + Encode>(bytes: &'a [u8]) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value: T = reader.read()?;
    assert!(reader.is_empty(), "bytes are left behind the value");
    let encoded = to_vec(&value);
    Ok(encoded)
}

/// The names of the five files.
const FILES: [&str; 5] = ["types", "transport", "messaging", "transactions", "security"];

const NAMESPACE: &str = "http://www.amqp.org/schema/amqp.xsd";

fn children<'a, 'i>(node: &Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name((NAMESPACE, name)))
}

fn with_types(each: impl FnMut(Node<'_, '_>)) {
    with_elements("type", each);
}

/// Calls `each` with every element of this name in the specification.
fn with_elements(name: &str, mut each: impl FnMut(Node<'_, '_>)) {
    let folder = evidence::fixture("amqp-specs/1-0");
    for file in FILES {
        let text = read(&folder.join(format!("{file}.bare.xml")));
        let document = Document::parse(&text).expect("the XML is well-formed");
        document.descendants().filter(|node| node.has_tag_name((NAMESPACE, name))).for_each(&mut each);
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the specification can be read")
}

fn attribute<'a>(node: &Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_else(|| panic!("{node:?} has no {name}"))
}

fn hex(text: &str) -> u64 {
    let digits: String = text.split(':').map(|half| half.trim_start_matches("0x")).collect();
    u64::from_str_radix(&digits, 16).expect("hexadecimal")
}

/// A value of a primitive type by its encoding, with the size or count that its category needs.
fn sample(code: u8, category: &str, width: usize) -> Vec<u8> {
    let size = |value: u32| if width == 1 { vec![value as u8] } else { value.to_be_bytes().to_vec() };
    let mut bytes = vec![code];
    match category {
        "fixed" => bytes.extend(vec![0; width]),
        "variable" => {
            bytes.extend(size(3));
            bytes.extend(b"abc");
        }
        "compound" => {
            bytes.extend(size(width as u32 + 4));
            bytes.extend(size(2));
            bytes.extend([0x50, 7, 0x50, 8]);
        }
        "array" => {
            bytes.extend(size(width as u32 + 3));
            bytes.extend(size(2));
            bytes.extend([0x50, 7, 8]);
        }
        other => panic!("unknown category {other}"),
    }
    bytes
}

#[test]
fn every_primitive_type_in_every_encoding() {
    let mut known = BTreeSet::new();
    let mut types = 0;
    with_types(|node| {
        if attribute(&node, "class") != "primitive" {
            return;
        }
        types += 1;
        for encoding in children(&node, "encoding") {
            let name = attribute(&node, "name");
            let code = hex(attribute(&encoding, "code")) as u8;
            let width = attribute(&encoding, "width").parse().expect("a width");
            known.insert(code);
            let bytes = sample(code, attribute(&encoding, "category"), width);

            let mut reader = Reader::new(&bytes);
            let value = reader.value().unwrap_or_else(|error| panic!("{name} {code:#x}: {error}"));
            assert!(reader.is_empty(), "{name} {code:#x} is wider");
            let tree = Tree::of(&value).expect("a whole value");
            assert_eq!(tree.type_name(), name, "{code:#x}");
            Reader::new(&bytes).validate().expect("a valid value");
            let mut skipped = Reader::new(&bytes);
            skipped.skip().expect("a whole value");
            assert!(skipped.is_empty());

            for end in 0..bytes.len() {
                let cut = &bytes[..end];
                assert_eq!(Reader::new(cut).value(), Err(DecodeError::Truncated), "{name} {code:#x} cut at {end}");
                assert_eq!(Reader::new(cut).skip(), Err(DecodeError::Truncated), "{name} {code:#x} cut at {end}");
            }

            // Again in the shortest form, and as the item of an array.
            let encoded = tree.to_bytes();
            assert!(encoded.len() <= bytes.len());
            assert_eq!(Tree::of(&Reader::new(&encoded).value().expect("a value")).as_ref(), Ok(&tree));
            let mut array = vec![0xf0, 0, 0, 0, (4 + bytes.len()) as u8, 0, 0, 0, 1];
            array.extend(&bytes);
            let Ok(Value::Array(array)) = Reader::new(&array).value() else { panic!("{name} {code:#x} in an array") };
            assert_eq!(array.iter().map(|item| Tree::of(&item?)).collect::<Result<Vec<_>, _>>(), Ok(vec![tree]));
        }
    });
    assert_eq!((types, known.len()), (24, 39), "the specification has been read whole");
    for code in (1..=u8::MAX).filter(|code| !known.contains(code)) {
        let bytes = [&[code][..], &[0; 64]].concat();
        assert_eq!(Reader::new(&bytes).value(), Err(DecodeError::UnknownFormatCode(code)));
        assert_eq!(Reader::new(&bytes).skip(), Err(DecodeError::UnknownFormatCode(code)));
    }
}

/// The restricted types by name: what they are restricted from.
fn sources() -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    with_types(|node| {
        if attribute(&node, "class") == "restricted" {
            sources.insert(attribute(&node, "name").to_owned(), attribute(&node, "source").to_owned());
        }
    });
    sources
}

/// The Rust type that a field must have.
fn kind_of(field: &Node<'_, '_>, sources: &BTreeMap<String, String>) -> &'static str {
    if field.attribute("multiple") == Some("true") {
        return "Multiple<'a>";
    }
    let mut kind = attribute(field, "type");
    loop {
        return match kind {
            "boolean" => "bool",
            "ubyte" => "u8",
            "ushort" => "u16",
            "uint" => "u32",
            "ulong" => "u64",
            "timestamp" => "Timestamp",
            "binary" => "&'a [u8]",
            "string" => "&'a str",
            "symbol" => "Symbol<'a>",
            "map" => "Map<'a>",
            "role" => "Role",
            "sender-settle-mode" => "SenderSettleMode",
            "receiver-settle-mode" => "ReceiverSettleMode",
            "terminus-durability" => "TerminusDurability",
            "sasl-code" => "SaslCode",
            "error" => "ErrorCondition<'a>",
            "*" => match (attribute(field, "requires"), attribute(field, "name")) {
                ("source", _) => "Source<'a>",
                ("target", _) => "TargetArchetype<'a>",
                ("delivery-state", _) => "DeliveryState<'a>",
                // A source's default outcome is passed on, never acted upon.
                ("outcome", "default-outcome") => "Value<'a>",
                ("outcome", _) => "Outcome<'a>",
                ("message-id", _) => "MessageId<'a>",
                // The only address the specification provides is a string.
                ("address", "to" | "reply-to") => "&'a str",
                ("address" | "global-tx-id", _) => "Value<'a>",
                ("txn-id", _) => "&'a [u8]",
                other => panic!("a new requirement {other:?}"),
            },
            other => match sources.get(other) {
                Some(source) => {
                    kind = source;
                    continue;
                }
                None => panic!("unknown type {other}"),
            },
        };
    }
}

fn described(code: u64, value: Tree) -> Tree {
    Tree::Described(Box::new((Tree::Plain(Plain::Ulong(code)), value)))
}

/// A value that a field of this type can hold, other than its default.
fn value_for(kind: &str) -> Tree {
    let error = || {
        let condition = Tree::Plain(Plain::Symbol("amqp:not-found".into()));
        let text = Tree::string("gone");
        described(
            0x1d,
            Tree::List(vec![
                condition,
                text,
                Tree::Map(vec![(Tree::Plain(Plain::Symbol("k".into())), Tree::string("v"))]),
            ]),
        )
    };
    let null = || Tree::Plain(Plain::Null);
    match kind {
        "bool" | "Role" => Tree::Plain(Plain::Boolean(true)),
        "u8" => Tree::Plain(Plain::Ubyte(200)),
        "u16" => Tree::Plain(Plain::Ushort(60_000)),
        "u32" => Tree::Plain(Plain::Uint(4_000_000_000)),
        "u64" => Tree::Plain(Plain::Ulong(1 << 63)),
        "Timestamp" => Tree::Plain(Plain::Timestamp(-62_135_596_800_000)),
        "&'a [u8]" => Tree::Plain(Plain::Binary(vec![0, 1, 255])),
        "&'a str" => Tree::string("grüße"),
        "Symbol<'a>" => Tree::Plain(Plain::Symbol("a:symbol".into())),
        "Map<'a>" => Tree::Map(vec![(Tree::Plain(Plain::Symbol("key".into())), Tree::Plain(Plain::Long(-1)))]),
        "Multiple<'a>" => Tree::Array("symbol".into(), vec![Tree::Plain(Plain::Symbol("one".into()))]),
        "SenderSettleMode" | "ReceiverSettleMode" | "SaslCode" => Tree::Plain(Plain::Ubyte(1)),
        "TerminusDurability" => Tree::Plain(Plain::Uint(2)),
        "ErrorCondition<'a>" => error(),
        "MessageId<'a>" => Tree::Plain(Plain::Uuid([7; 16])),
        "Value<'a>" => Tree::string("a value"),
        "DeliveryState<'a>" | "Outcome<'a>" => described(0x25, Tree::List(vec![error()])),
        "Source<'a>" => {
            let mut fields = vec![null(); 11];
            fields[0] = Tree::string("from");
            fields[1] = Tree::Plain(Plain::Uint(1));
            fields[2] = Tree::Plain(Plain::Symbol("never".into()));
            fields[3] = Tree::Plain(Plain::Uint(3));
            fields[4] = Tree::Plain(Plain::Boolean(true));
            described(0x28, Tree::List(fields))
        }
        "TargetArchetype<'a>" => described(
            0x30,
            Tree::List(vec![Tree::Array(
                "symbol".into(),
                vec![Tree::Plain(Plain::Symbol("amqp:local-transactions".into()))],
            )]),
        ),
        other => panic!("no value for {other}"),
    }
}

/// A field's default as its type spells it.
fn default_for(kind: &str, text: &str) -> Tree {
    Tree::Plain(match kind {
        "bool" => Plain::Boolean(text == "true"),
        "u8" => Plain::Ubyte(text.parse().expect("a number")),
        "u16" => Plain::Ushort(text.parse().expect("a number")),
        "u32" => Plain::Uint(text.parse().expect("a number")),
        "Symbol<'a>" => Plain::Symbol(text.into()),
        "SenderSettleMode" => Plain::Ubyte(
            ["unsettled", "settled", "mixed"].iter().position(|name| *name == text).expect("a choice") as u8,
        ),
        "ReceiverSettleMode" => {
            Plain::Ubyte(["first", "second"].iter().position(|name| *name == text).expect("a choice") as u8)
        }
        "TerminusDurability" => Plain::Uint(
            ["none", "configuration", "unsettled-state"].iter().position(|name| *name == text).expect("a choice")
                as u32,
        ),
        other => panic!("no default for {other}"),
    })
}

#[test]
fn every_composite_with_every_field() {
    let sources = sources();
    let mut seen = BTreeSet::new();
    with_types(|node| {
        if attribute(&node, "class") != "composite" {
            return;
        }

        let descriptor = children(&node, "descriptor").next().expect("a descriptor");
        let symbol = attribute(&descriptor, "name");
        let (definition, again) = COMPOSITES
            .iter()
            .find(|(definition, _)| definition.name == symbol)
            .unwrap_or_else(|| panic!("the codec lacks {symbol}"));
        assert!(seen.insert(symbol.to_owned()), "{symbol} twice");
        assert_eq!(definition.code, hex(attribute(&descriptor, "code")), "{symbol}");

        let fields: Vec<_> = children(&node, "field").collect();
        assert_eq!(fields.len(), definition.fields.len(), "{symbol}");
        let (mut full, mut least, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (field, ours) in fields.iter().zip(definition.fields) {
            let name = attribute(field, "name");
            assert_eq!(ours.name.replace('_', "-"), name, "{symbol}");
            let kind = kind_of(field, &sources);
            assert_eq!(ours.kind, kind, "{symbol} {name}");
            let value = value_for(kind);
            let mandatory = field.attribute("mandatory") == Some("true");
            let (presence, absent) = match (mandatory, field.attribute("default")) {
                (true, None) => (Presence::Mandatory, value.clone()),
                (false, None) => (Presence::Optional, Tree::Plain(Plain::Null)),
                // A header keeps what was said apart from what was not: its reader fills in the defaults.
                (false, Some(_)) if symbol == "amqp:header:list" => (Presence::Optional, Tree::Plain(Plain::Null)),
                (false, Some(text)) => {
                    let Presence::Default(ours) = ours.presence else { panic!("{symbol} {name} has a default") };
                    assert_eq!(ours, text, "{symbol} {name}");
                    (Presence::Default(ours), default_for(kind, text))
                }
                (true, Some(_)) => panic!("{symbol} {name} is mandatory and has a default"),
            };
            assert_eq!(ours.presence, presence, "{symbol} {name}");
            least.push(if mandatory { value.clone() } else { Tree::Plain(Plain::Null) });
            expected.push(absent);
            full.push(value);
        }

        let code = definition.code;
        let decoded = |fields: &[Tree]| again(&described(code, Tree::List(fields.to_vec())).to_bytes());
        let tree = |bytes: Vec<u8>| Tree::of(&Reader::new(&bytes).value().expect("a value")).expect("a value");
        // Every field at once.
        let round = tree(decoded(&full).unwrap_or_else(|error| panic!("{symbol}: {error}")));
        let (Tree::Described(round), Tree::List(full_list)) = (&round, Tree::List(full.clone())) else {
            panic!("{symbol}")
        };
        let Tree::List(round_list) = &round.1 else { panic!("{symbol}") };
        assert_eq!(round_list.len(), full_list.len(), "{symbol}: every field is always written");
        for ((got, sent), ours) in round_list.iter().zip(&full_list).zip(definition.fields) {
            assert!(holds(got, sent), "{symbol} {}: {sent:?} came back as {got:?}", ours.name);
        }
        // By its symbolic descriptor, in the long form of the list, and cut off behind the last field that is there.
        let by_name = Tree::Described(Box::new((Tree::Plain(Plain::Symbol(symbol.into())), Tree::List(full.clone()))));
        assert_eq!(again(&by_name.to_bytes()).as_ref(), Ok(&decoded(&full).expect("decoded before")), "{symbol}");
        let items: Vec<u8> = full.iter().flat_map(Tree::to_bytes).collect();
        let mut long = vec![0, 0x80];
        long.extend(code.to_be_bytes());
        long.push(0xd0);
        long.extend((items.len() as u32 + 4).to_be_bytes());
        long.extend((full.len() as u32).to_be_bytes());
        long.extend(&items);
        assert_eq!(again(&long), decoded(&full), "{symbol}");
        // Only what is mandatory.
        let bare = tree(decoded(&least).unwrap_or_else(|error| panic!("{symbol}: {error}")));
        let Tree::Described(bare) = &bare else { panic!("{symbol}") };
        assert!(bare.1.same(&Tree::List(expected)), "{symbol}: {:?}", bare.1);
        let needed =
            definition.fields.iter().rposition(|field| field.presence == Presence::Mandatory).map_or(0, |at| at + 1);
        assert_eq!(decoded(&least[..needed]), decoded(&least), "{symbol}: absent and null are the same");
        // Each mandatory field missing, and each field of the wrong type.
        for (at, field) in definition.fields.iter().enumerate() {
            if field.presence == Presence::Mandatory {
                let mut without = full.clone();
                without[at] = Tree::Plain(Plain::Null);
                let missing = FieldName::of(definition, at);
                assert_eq!(missing.as_str(), field.name, "{symbol}");
                assert_eq!(decoded(&without), Err(DecodeError::MissingField(missing)), "{symbol}");
                assert_eq!(decoded(&full[..at]), Err(DecodeError::MissingField(missing)), "{symbol}");
            }
            if !["Value<'a>", "Multiple<'a>"].contains(&field.kind) {
                let mut wrong = full.clone();
                wrong[at] = Tree::Plain(Plain::Double(0));
                assert!(decoded(&wrong).is_err(), "{symbol} {}", field.name);
            }
        }
        // Another type's descriptor.
        assert!(again(&described(code + 0x100, Tree::List(full)).to_bytes()).is_err(), "{symbol}");
    });
    let ours: BTreeSet<String> = COMPOSITES.iter().map(|(definition, _)| definition.name.to_owned()).collect();
    assert_eq!(ours, seen, "what the codec has beyond the specification");
}

/// Whether `got` says what `sent` said, with absent fields of a composite inside it filled in.
fn holds(got: &Tree, sent: &Tree) -> bool {
    match (got, sent) {
        (Tree::Described(got), Tree::Described(sent)) => {
            let (Tree::List(got_items), Tree::List(sent_items)) = (&got.1, &sent.1) else { return got.1.same(&sent.1) };
            got.0 == sent.0
                && sent_items
                    .iter()
                    .zip(got_items)
                    .all(|(sent, got)| matches!(sent, Tree::Plain(Plain::Null)) || holds(got, sent))
        }
        _ => got.same(sent),
    }
}

/// The name of the choice that a value decodes to, in the specification's spelling.
fn choice<'a, T: Decode<'a> + Encode + core::fmt::Debug>(bytes: &'a [u8]) -> Option<String> {
    let value: T = Reader::new(bytes).read().ok()?;
    let encoded = to_vec(&value);
    assert_eq!(encoded, bytes, "{value:?}");
    let mut name = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    Some(name)
}

/// The named symbols of the codec, by the type they restrict.
fn symbols(kind: &str) -> &'static [&'static str] {
    match kind {
        "amqp-error" => &[
            condition::INTERNAL_ERROR,
            condition::NOT_FOUND,
            condition::UNAUTHORIZED_ACCESS,
            condition::DECODE_ERROR,
            condition::RESOURCE_LIMIT_EXCEEDED,
            condition::NOT_ALLOWED,
            condition::INVALID_FIELD,
            condition::NOT_IMPLEMENTED,
            condition::RESOURCE_LOCKED,
            condition::PRECONDITION_FAILED,
            condition::RESOURCE_DELETED,
            condition::ILLEGAL_STATE,
            condition::FRAME_SIZE_TOO_SMALL,
        ],
        "connection-error" => &[condition::CONNECTION_FORCED, condition::FRAMING_ERROR, condition::CONNECTION_REDIRECT],
        "session-error" => &[
            condition::WINDOW_VIOLATION,
            condition::ERRANT_LINK,
            condition::HANDLE_IN_USE,
            condition::UNATTACHED_HANDLE,
        ],
        "link-error" => &[
            condition::DETACH_FORCED,
            condition::TRANSFER_LIMIT_EXCEEDED,
            condition::MESSAGE_SIZE_EXCEEDED,
            condition::LINK_REDIRECT,
            condition::STOLEN,
        ],
        "terminus-expiry-policy" => &[
            expiry_policy::LINK_DETACH,
            expiry_policy::SESSION_END,
            expiry_policy::CONNECTION_CLOSE,
            expiry_policy::NEVER,
        ],
        "std-dist-mode" => &[distribution_mode::MOVE, distribution_mode::COPY],
        "txn-capability" => &[
            capability::LOCAL_TRANSACTIONS,
            capability::DISTRIBUTED_TRANSACTIONS,
            capability::PROMOTABLE_TRANSACTIONS,
            capability::MULTI_TXNS_PER_SSN,
            capability::MULTI_SSNS_PER_TXN,
        ],
        "transaction-error" => {
            &[transaction::condition::UNKNOWN_ID, transaction::condition::ROLLBACK, transaction::condition::TIMEOUT]
        }
        other => panic!("the codec lacks the choices of {other}"),
    }
}

#[test]
fn every_choice_of_every_restricted_type() {
    let mut types = 0;
    with_types(|node| {
        if attribute(&node, "class") != "restricted" {
            return;
        }
        let choices: Vec<_> = children(&node, "choice").collect();
        if choices.is_empty() {
            return;
        }
        types += 1;
        let name = attribute(&node, "name");
        let source = attribute(&node, "source");
        if source == "symbol" {
            let theirs: Vec<_> = choices.iter().map(|choice| attribute(choice, "value")).collect();
            assert_eq!(symbols(name), theirs, "{name}");
            return;
        }
        let decode: fn(&[u8]) -> Option<String> = match name {
            "role" => |bytes| choice::<Role>(bytes),
            "sender-settle-mode" => |bytes| choice::<SenderSettleMode>(bytes),
            "receiver-settle-mode" => |bytes| choice::<ReceiverSettleMode>(bytes),
            "terminus-durability" => |bytes| choice::<TerminusDurability>(bytes),
            "sasl-code" => |bytes| choice::<SaslCode>(bytes),
            other => panic!("the codec lacks {other}"),
        };
        let encode = |value: &str| {
            Tree::Plain(match source {
                "boolean" => Plain::Boolean(value == "true"),
                "ubyte" => Plain::Ubyte(value.parse().expect("a number")),
                "uint" => Plain::Uint(value.parse().expect("a number")),
                other => panic!("choices of {other}"),
            })
            .to_bytes()
        };
        for choice in &choices {
            let value = encode(attribute(choice, "value"));
            assert_eq!(decode(&value).as_deref(), Some(attribute(choice, "name")), "{name}");
        }
        if source != "boolean" {
            assert_eq!(decode(&encode(&choices.len().to_string())), None, "{name}: a value that is no choice");
        }
    });
    assert_eq!(types, 13, "types with choices");
}

#[test]
fn every_message_section() {
    let mut sections = 0;
    with_types(|node| {
        if node.attribute("provides") != Some("section") {
            return;
        }
        sections += 1;
        let descriptor = children(&node, "descriptor").next().expect("a descriptor");
        let (symbol, code) = (attribute(&descriptor, "name"), hex(attribute(&descriptor, "code")));
        let name = attribute(&node, "name");
        let (ours, value) = match name {
            "header" => (message::section::HEADER, Tree::List(vec![Tree::Plain(Plain::Boolean(true))])),
            "delivery-annotations" => (message::section::DELIVERY_ANNOTATIONS, value_for("Map<'a>")),
            "message-annotations" => (message::section::MESSAGE_ANNOTATIONS, value_for("Map<'a>")),
            "properties" => (message::section::PROPERTIES, Tree::List(vec![Tree::string("id")])),
            "application-properties" => (message::section::APPLICATION_PROPERTIES, value_for("Map<'a>")),
            "data" => (message::section::DATA, value_for("&'a [u8]")),
            "amqp-sequence" => (message::section::AMQP_SEQUENCE, Tree::List(vec![Tree::string("item")])),
            "amqp-value" => (message::section::AMQP_VALUE, Tree::string("value")),
            "footer" => (message::section::FOOTER, value_for("Map<'a>")),
            other => panic!("the codec lacks the section {other}"),
        };
        assert_eq!(u64::from(ours), code, "{name}");
        let mut usual = Vec::new();
        put_section(&mut Sink::from(&mut usual), ours);
        usual.extend(value.to_bytes());
        let mut wide = vec![0, 0x80];
        wide.extend(code.to_be_bytes());
        wide.extend(value.to_bytes());
        let symbolic = Tree::Described(Box::new((Tree::Plain(Plain::Symbol(symbol.into())), value.clone()))).to_bytes();
        for bytes in [usual, wide, symbolic] {
            let view = message::MessageView::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let map = |map: Result<Map<'_>, DecodeError>| Tree::of(&Value::Map(map.expect("a map"))).expect("a map");
            let found = match name {
                "header" => Tree::List(vec![Tree::Plain(Plain::Boolean(
                    view.header().expect("a header").durable.expect("a field"),
                ))]),
                "properties" => {
                    let Some(MessageId::String(id)) = view.properties().expect("properties").message_id else {
                        panic!("{name}")
                    };
                    Tree::List(vec![Tree::string(id)])
                }
                "delivery-annotations" => map(view.delivery_annotations()),
                "message-annotations" => map(view.message_annotations()),
                "application-properties" => map(view.application_properties()),
                "footer" => map(view.footer()),
                _ => match view.body().expect("a body") {
                    message::Body::Data(sections) => {
                        Tree::Plain(Plain::Binary(sections.data().next().expect("a section").expect("bytes").into()))
                    }
                    message::Body::Sequence(sections) => {
                        Tree::of(&Value::List(sections.lists().next().expect("a section").expect("a list")))
                            .expect("a list")
                    }
                    message::Body::Value(value) => Tree::of(&value).expect("a value"),
                    message::Body::Empty => panic!("{name} was not found"),
                },
            };
            assert_eq!(found, value, "{name}");
        }
    });
    assert_eq!(sections, 9, "sections");
}

#[test]
fn every_named_number() {
    let mut numbers = BTreeMap::new();
    with_elements("definition", |node| {
        numbers
            .insert(attribute(&node, "name").to_owned(), attribute(&node, "value").parse::<u32>().expect("a number"));
    });
    let ours = BTreeMap::from([("MIN-MAX-FRAME-SIZE", frame::MIN_MAX_FRAME_SIZE), ("MESSAGE-FORMAT", 0)]);
    for (name, value) in numbers {
        match name.as_str() {
            // Ports are what addresses say, and this library speaks TLS before AMQP, never inside it.
            "PORT" | "SECURE-PORT" => {}
            _ => match name.split_once('-') {
                Some(("TLS", part)) => assert_eq!(revision(frame::Protocol::Tls, part), value),
                Some(("SASL", part)) => assert_eq!(revision(frame::Protocol::Sasl, part), value),
                None => assert_eq!(revision(frame::Protocol::Amqp, &name), value),
                _ => assert_eq!(ours.get(name.as_str()), Some(&value), "{name}"),
            },
        }
    }
}

fn revision(protocol: frame::Protocol, part: &str) -> u32 {
    let at = ["MAJOR", "MINOR", "REVISION"].iter().position(|name| *name == part).expect("a part of a version");
    u32::from(protocol.header()[5 + at])
}
