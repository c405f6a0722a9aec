//! Values that others found hard to encode, and bytes that others found hard to decode.

use proptest::prelude::*;
use servicebus_core::wire::frame::{Frame, FrameError};
use servicebus_core::wire::message::{Body, MessageView};
use servicebus_core::wire::messaging::DeliveryState;
use servicebus_core::wire::performative::{Attach, Performative, PerformativeView, Role};
use servicebus_core::wire::sasl::SaslFrame;
use servicebus_core::wire::{self, Composite, DecodeError, Encode, FieldName, MAX_DEPTH, Reader, Value, View};
use servicebus_tests::evidence;
use servicebus_tests::tree::{Plain, Tree};

fn decoded(bytes: &[u8]) -> Result<Tree, DecodeError> {
    let mut reader = Reader::new(bytes);
    let tree = Tree::of(&reader.value()?)?;
    if reader.is_empty() { Ok(tree) } else { Err(DecodeError::InvalidCount) }
}

/// Encodes, decodes and encodes a value in every way there is.
fn goes_round(tree: &Tree) {
    let bytes = tree.to_bytes();
    assert_eq!(wire::measure(tree), bytes.len(), "measured {tree:?}");
    let back = decoded(&bytes).unwrap_or_else(|error| panic!("{tree:?}: {error}"));
    assert!(back.same(tree), "{tree:?} came back as {back:?}");
    Reader::new(&bytes).validate().unwrap_or_else(|error| panic!("{tree:?}: {error}"));
    // The borrowed value encodes to the same bytes, and fails cleanly where there is no room.
    let value = Reader::new(&bytes).value().expect("decoded before");
    let again = wire::to_vec(&value);
    assert_eq!(again, bytes, "{tree:?}");
    let mut place = vec![0; bytes.len()];
    for room in (0..bytes.len()).rev().take(20) {
        assert!(wire::encode(&value, &mut place[..room]).is_err(), "{tree:?} in {room} bytes");
    }
    // Cut short it is truncated, wherever that is.
    for end in 0..bytes.len() {
        assert!(decoded(&bytes[..end]).is_err(), "{tree:?} cut at {end}");
    }
}

#[test]
fn hard_values_go_round() {
    let file = evidence::fixture("qit-values/qit-values.json");
    let values = Tree::all_of(&file);
    assert_eq!(values.len(), 185);
    for value in &values {
        goes_round(value);
        // Inside a list, a map and a described value, and as an array's items where the array can say their type.
        goes_round(&Tree::List(vec![value.clone(), Tree::string("after")]));
        goes_round(&Tree::Map(vec![(Tree::string("key"), value.clone())]));
        goes_round(&Tree::Described(Box::new((Tree::Plain(Plain::Ulong(300)), value.clone()))));
        if !matches!(value, Tree::Described(_)) {
            goes_round(&Tree::Array(value.type_name().into(), vec![value.clone(), value.clone()]));
        }
    }
}

#[test]
fn a_fuzzers_bytes_do_no_harm() {
    let folder = evidence::fixture("go-amqp-recordings/marshal");
    let files = evidence::files(&folder);
    assert_eq!(files.len(), 215);
    let mut valid = 0;
    for (name, bytes) in &files {
        let _ = Frame::parse(bytes, 1 << 20);
        let _ = MessageView::parse(bytes).map(|view| {
            let _ = (view.header(), view.properties(), view.message_annotations(), view.application_properties());
            let _ = view.body().map(|body| match body {
                Body::Data(sections) => sections.data().count(),
                Body::Sequence(sections) => sections.lists().count(),
                Body::Value(_) | Body::Empty => 0,
            });
        });
        valid += usize::from(again(name, bytes, Reader::read::<Performative<'_>>));
        valid += usize::from(again(name, bytes, Reader::read::<SaslFrame<'_>>));
        valid += usize::from(again(name, bytes, Reader::read::<DeliveryState<'_>>));
        valid += usize::from(again(name, bytes, Reader::read::<Value<'_>>));
        // What can be decoded whole is equal to itself after another round.
        if let Ok(tree) = decoded(bytes)
            && !has_described_items(&tree)
        {
            assert!(decoded(&tree.to_bytes()).expect("encoded here").same(&tree), "{name}");
        }
    }
    assert!(valid > 100, "{valid} valid readings");
}

/// Whether an array of described values is inside, which [`Tree`] does not encode.
fn has_described_items(tree: &Tree) -> bool {
    match tree {
        Tree::Plain(_) => false,
        Tree::List(items) => items.iter().any(has_described_items),
        Tree::Map(entries) => entries.iter().any(|(key, value)| has_described_items(key) || has_described_items(value)),
        Tree::Array(kind, items) => kind == "described" || items.iter().any(has_described_items),
        Tree::Described(parts) => has_described_items(&parts.0) || has_described_items(&parts.1),
    }
}

/// Decodes, encodes and decodes again; whether the bytes were valid.
fn again<'a, T, R>(name: &str, bytes: &'a [u8], read: R) -> bool
where
    T: Encode + std::fmt::Debug,
    R: Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
{
    let Ok(value) = read(&mut Reader::new(bytes)) else { return false };
    let encoded = wire::to_vec(&value);
    // The second reading borrows for as long as the first.
    let encoded: &'a [u8] = encoded.leak();
    let second = read(&mut Reader::new(encoded)).unwrap_or_else(|error| panic!("{name}: {error} in {encoded:02x?}"));
    let twice = wire::to_vec(&second);
    assert_eq!(encoded, twice, "{name}");
    true
}

fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for inside in (0..depth).rev() {
        bytes.push(0xd0);
        bytes.extend((4 + 9 * inside as u32 + 1).to_be_bytes());
        bytes.extend(1u32.to_be_bytes());
    }
    bytes.push(0x40);
    bytes
}

#[test]
fn nesting_is_bounded_and_never_recursed_into() {
    assert_eq!(Reader::new(&nested(MAX_DEPTH)).validate(), Ok(()));
    assert_eq!(Reader::new(&nested(MAX_DEPTH + 1)).validate(), Err(DecodeError::TooDeep));
    let deep = nested(100_000);
    assert_eq!(Reader::new(&deep).validate(), Err(DecodeError::TooDeep));
    assert!(Reader::new(&deep).value().is_ok(), "a view is one level");
    assert_eq!(Reader::new(&deep).skip(), Ok(()));
    // Descriptors of descriptors, and described values in described values.
    for bytes in [vec![0x00; 1 << 20], [[0x00, 0x53, 1].repeat(1 << 18), vec![0x40]].concat()] {
        let _ = Reader::new(&bytes).value();
        let _ = Reader::new(&bytes).skip();
        assert!(Reader::new(&bytes).validate().is_err());
    }
    // A descriptor is looked into as well: an int list that holds an unknown format code.
    assert!(Reader::new(&[0x00, 0xc0, 2, 1, 0x3f, 0x40]).validate().is_err());
}

#[test]
fn counts_that_their_bytes_cannot_hold_are_refused_at_once() {
    let claims: [&[u8]; 8] = [
        // 2^32 - 1 nulls, bytes, uints, strings in an array
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
        &[0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1],
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x70],
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xa1],
        // arrays of lists, in arrays
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x45],
        &[0xf0, 0, 0, 0, 14, 0, 0, 0, 1, 0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
        // a list and a map of as many
        &[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0xd1, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfe],
    ];
    for bytes in claims {
        assert_eq!(Reader::new(bytes).validate(), Err(DecodeError::InvalidCount), "{bytes:02x?}");
    }
    // Sizes beyond the input.
    for code in [0xb0, 0xb1, 0xb3, 0xd0, 0xd1, 0xf0] {
        let bytes = [code, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(Reader::new(&bytes).value(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&bytes).skip(), Err(DecodeError::Truncated));
    }
    assert_eq!(Reader::new(&[0xc1, 2, 1, 0x40]).value(), Err(DecodeError::InvalidCount), "half an entry");
    assert_eq!(Reader::new(&[0xc0, 3, 1, 0x40, 0x40]).validate(), Err(DecodeError::InvalidCount), "one item too many");
}

#[test]
fn frames_that_are_none_say_why() {
    let head = |size: u32, doff: u8, kind: u8| [&size.to_be_bytes()[..], &[doff, kind, 0, 0], &[0; 16]].concat();
    let parse = |bytes: &[u8]| Frame::parse(bytes, 512).map(|frame| frame.map(|frame| frame.size));
    for size in 0..8 {
        assert_eq!(parse(&head(size, 2, 0)), Err(FrameError::TooSmall(size)));
    }
    assert_eq!(parse(&head(513, 2, 0)), Err(FrameError::TooLarge { size: 513, limit: 512 }));
    assert_eq!(parse(&head(u32::MAX, 2, 0)), Err(FrameError::TooLarge { size: u32::MAX, limit: 512 }));
    for doff in [0, 1, 3, 255] {
        assert_eq!(parse(&head(8, doff, 0)), Err(FrameError::BadOffset(doff)));
    }
    assert_eq!(parse(&head(12, 2, 2)), Err(FrameError::BadType(2)));
    assert_eq!(parse(&head(512, 2, 0)), Ok(None), "waits for the rest");
    assert_eq!(parse(&head(24, 4, 0)), Ok(Some(24)), "an extended header");
    // A heartbeat is whole with its eight bytes.
    assert_eq!(parse(&servicebus_core::wire::frame::EMPTY), Ok(Some(8)));
    assert_eq!(parse(&head(8, 2, 0)[..7]), Ok(None));
}

fn plain() -> impl Strategy<Value = Plain> {
    prop_oneof![
        Just(Plain::Null),
        any::<bool>().prop_map(Plain::Boolean),
        any::<u8>().prop_map(Plain::Ubyte),
        any::<u32>().prop_map(Plain::Uint),
        (0u32..300).prop_map(Plain::Uint),
        any::<u64>().prop_map(Plain::Ulong),
        (-130i64..130).prop_map(Plain::Long),
        any::<i32>().prop_map(Plain::Int),
        any::<u64>().prop_map(Plain::Double),
        any::<char>().prop_map(Plain::Char),
        any::<i64>().prop_map(Plain::Timestamp),
        any::<[u8; 16]>().prop_map(Plain::Uuid),
        any::<[u8; 16]>().prop_map(Plain::Decimal128),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Plain::Binary),
        ".{0,100}".prop_map(Plain::String),
        "[a-z:-]{0,20}".prop_map(Plain::Symbol),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    plain().prop_map(Tree::Plain).prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            prop::collection::vec((inner.clone(), inner.clone()), 0..5).prop_map(Tree::Map),
            prop::collection::vec(any::<i32>().prop_map(|v| Tree::Plain(Plain::Int(v))), 0..70)
                .prop_map(|items| Tree::Array("int".into(), items)),
            (inner.clone(), inner).prop_map(|parts| Tree::Described(Box::new(parts))),
        ]
    })
}

/// The fields of a view are what the whole is made of, in whatever order they are asked for.
#[test]
fn views_show_fields_in_any_order() {
    let mut attach = servicebus_tests::engine::attach("link", 7, Role::Sender);
    attach.max_message_size = Some(1 << 40);
    let bytes = wire::to_vec(&attach);
    let mut view: View<'_, Attach<'_>> = Reader::new(&bytes).read().expect("an attach");
    assert_eq!(view.max_message_size(), Some(1 << 40));
    assert_eq!((view.role(), view.handle(), view.name()), (Role::Sender, 7, "link"));
    assert_eq!((view.properties(), view.source(), view.max_message_size()), (None, attach.source, Some(1 << 40)));
    assert!(view.filter().is_empty());
    assert!(!view.is_refusal());
    assert_eq!(view.check(), Ok(()));
    assert_eq!(view.whole(), Ok(attach));
    let mut any = Reader::new(&bytes).read::<PerformativeView<'_>>().expect("a performative");
    assert_eq!(any.whole(), Ok(Performative::Attach(attach)));
    // The terminus that counts is the one at the end that sends the attach.
    for (role, refused) in [(Role::Sender, true), (Role::Receiver, false)] {
        let bytes = wire::to_vec(&Attach { role, source: None, ..attach });
        assert_eq!(Reader::new(&bytes).read().map(|mut view: View<'_, Attach<'_>>| view.is_refusal()), Ok(refused));
    }
}

/// What is wrong with a field is told to those who ask for it, and to nobody else.
#[test]
fn views_tell_what_is_wrong_with_what_is_asked_for() {
    // A name that is no text, a handle, no role.
    let bytes = [0x00, 0x53, 0x12, 0xc0, 6, 2, 0xa1, 1, 0xff, 0x52, 9];
    let mut view: View<'_, Attach<'_>> = Reader::new(&bytes).read().expect("a list");
    assert_eq!((view.handle(), view.source(), view.check()), (9, None, Ok(())));
    view.role();
    let missing = DecodeError::MissingField(FieldName::of(&Attach::DEFINITION, 2));
    assert_eq!(view.check(), Err(missing));
    view.name();
    assert_eq!(view.check(), Err(missing), "the first");
    let mut view: View<'_, Attach<'_>> = Reader::new(&bytes).read().expect("a list");
    assert_eq!((view.name(), view.check()), ("", Err(DecodeError::InvalidText)));
    assert_eq!((view.handle(), view.check()), (9, Err(DecodeError::InvalidText)));
    assert_eq!(view.whole(), Err(DecodeError::InvalidText));
    // More fields than bytes.
    let bytes = [0x00, 0x53, 0x12, 0xc0, 4, 3, 0x40, 0x52, 9];
    let mut view: View<'_, Attach<'_>> = Reader::new(&bytes).read().expect("a list");
    assert_eq!((view.handle(), view.check()), (9, Ok(())));
    view.role();
    assert_eq!(view.check(), Err(DecodeError::Truncated));
    assert!(Reader::new(&[0x00, 0x53, 0x12, 0x40]).read::<View<'_, Attach<'_>>>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_goes_round(tree in tree()) {
        goes_round(&tree);
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if Reader::new(&bytes).validate().is_ok() {
            let value = Reader::new(&bytes).value().expect("validated");
            Tree::of(&value).expect("validated through and through");
        }
        let _ = Reader::new(&bytes).read::<Performative<'_>>();
        let _ = Reader::new(&bytes).read::<SaslFrame<'_>>();
        let _ = MessageView::parse(&bytes).map(|view| view.body());
    }

    /// One byte of an encoded value changed: whatever comes of it, looking at all of it ends.
    #[test]
    fn a_changed_byte_does_no_harm(tree in tree(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = tree.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let valid = Reader::new(&bytes).validate().is_ok();
        if let Ok(value) = Reader::new(&bytes).value() {
            let whole = Tree::of(&value);
            prop_assert!(!valid || whole.is_ok());
        }
    }
}
