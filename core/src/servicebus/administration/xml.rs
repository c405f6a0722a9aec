//! XML with bounds: a document is refused before it can cost more than its size suggests, and a writer that cannot
//! produce text that is not XML.

use alloc::string::String;
use core::fmt;
use roxmltree::{Document, ParsingOptions};

pub(super) use roxmltree::Node;

/// The namespace of Atom's elements.
pub(super) const ATOM: &str = "http://www.w3.org/2005/Atom";
/// The namespace of the descriptions.
pub(super) const SERVICE_BUS: &str = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";
/// The namespace of the message counts.
// docs/evidence/service-evidence.md §13.3
pub(super) const SERVICE_BUS_2011: &str = "http://schemas.microsoft.com/netservices/2011/06/servicebus";
/// The namespace of `type` and `nil`.
pub(super) const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The namespace of the simple types.
pub(super) const SCHEMA: &str = "http://www.w3.org/2001/XMLSchema";
/// The namespace of the simple types that .NET adds: durations and GUIDs.
pub(super) const SERIALIZATION: &str = "http://schemas.microsoft.com/2003/10/Serialization/";

/// How deep elements may nest: a rule's parameters in a feed are at eight.
const MAX_DEPTH: usize = 32;
/// Elements, texts and attributes of one document.
const MAX_NODES: u32 = 1 << 17;
/// Namespaces that one element may declare. The parser copies the ones in scope for each element that declares one.
const MAX_NAMESPACES: usize = 16;

/// Why a document was not read.
///
/// # Examples
///
/// ```
/// use servicebus_core::servicebus::administration::XmlError;
/// use servicebus_core::servicebus::administration::service::{BodyError, read_body};
///
/// assert_eq!(read_body(b"<entry>"), Err(BodyError::Xml(XmlError::Malformed)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XmlError {
    /// It is larger than allowed, nests too deep, or has too many parts.
    TooLarge,
    /// It is not well-formed, is not UTF-8, or has a document type (entities are not expanded).
    Malformed,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the document is too large",
            Self::Malformed => "the document is not well-formed XML",
        })
    }
}

impl core::error::Error for XmlError {}

/// Reads a document of at most `max_length` bytes.
pub(super) fn parse(body: &[u8], max_length: usize) -> Result<Document<'_>, XmlError> {
    if body.len() > max_length {
        return Err(XmlError::TooLarge);
    }
    let text = core::str::from_utf8(body).map_err(|_| XmlError::Malformed)?;
    let text = text.trim_start_matches('\u{feff}');
    check_nesting(text)?;
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached
        | roxmltree::Error::AttributesLimitReached
        | roxmltree::Error::NamespacesLimitReached => XmlError::TooLarge,
        _ => XmlError::Malformed,
    })
}

/// Counts depth and namespace declarations. What it misreads is not well-formed and refused by the parser.
fn check_nesting(text: &str) -> Result<(), XmlError> {
    let mut depth = 0usize;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tag = rest.get(at + 1..).unwrap_or_default();
        let skip_past = |end: &str| tag.find(end).and_then(|at| tag.get(at + end.len()..)).unwrap_or_default();
        if tag.starts_with("!--") {
            rest = skip_past("-->");
        } else if tag.starts_with("![CDATA[") {
            rest = skip_past("]]>");
        } else if tag.starts_with('?') {
            rest = skip_past("?>");
        } else if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            rest = skip_past(">");
        } else {
            let end = end_of_tag(tag);
            let content = tag.get(..end).unwrap_or_default();
            if content.matches("xmlns").count() > MAX_NAMESPACES {
                return Err(XmlError::TooLarge);
            }
            if !content.ends_with('/') {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(XmlError::TooLarge);
                }
            }
            rest = tag.get(end..).unwrap_or_default();
        }
    }
    Ok(())
}

/// Where the tag's `>` is, outside of quotes.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// The children that are elements.
pub(super) fn elements<'a, 'input>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The child of this name.
pub(super) fn child<'a, 'input>(node: Node<'a, 'input>, namespace: &str, name: &str) -> Option<Node<'a, 'input>> {
    elements(node).find(|child| child.has_tag_name((namespace, name)))
}

/// All text below the node: it may be in pieces when there are comments in between.
pub(super) fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// Whether the element is nil.
pub(super) fn is_nil(node: Node<'_, '_>) -> bool {
    matches!(node.attribute((SCHEMA_INSTANCE, "nil")), Some("true" | "1"))
}

/// The namespace and local name of a qualified name in an attribute's value, such as `d6p1:int`.
pub(super) fn qualified<'a>(node: Node<'a, '_>, name: &'a str) -> (Option<&'a str>, &'a str) {
    match name.trim().split_once(':') {
        Some((prefix, local)) => (node.lookup_namespace_uri(Some(prefix)), local),
        None => (node.lookup_namespace_uri(None), name.trim()),
    }
}

/// Writes elements without whitespace in between.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: String,
    lossy: bool,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The text, and whether all of it could be written: XML has no way to write most control characters, which are
    /// replaced by U+FFFD.
    pub(super) fn finish(self) -> (String, bool) {
        (self.out, !self.lossy)
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            self.text(value);
            self.out.push('"');
        }
    }

    pub(super) fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push('>');
    }

    pub(super) fn end(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push_str("/>");
    }

    pub(super) fn element(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.start(name, attributes);
        self.text(text);
        self.end(name);
    }

    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                // A bare carriage return would be read back as a line feed.
                '\r' => self.out.push_str("&#xD;"),
                '\n' | '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => self.out.push(c),
                _ => {
                    self.lossy = true;
                    self.out.push('\u{fffd}');
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn bounds_are_kept() {
        assert!(parse(b"<a/>", 3).is_err_and(|error| error == XmlError::TooLarge));
        let nested = |depth: usize| alloc::format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes(), LIMIT).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes(), LIMIT).err(), Some(XmlError::TooLarge));
        assert_eq!(parse("<a>".repeat(300_000).as_bytes(), LIMIT).err(), Some(XmlError::TooLarge));
        let wide = alloc::format!("<a>{}</a>", "<b/>".repeat(MAX_NODES as usize));
        assert_eq!(parse(wide.as_bytes(), LIMIT).err(), Some(XmlError::TooLarge));
        let declared: String = (0..=MAX_NAMESPACES).map(|n| alloc::format!(" xmlns:n{n}='{n}'")).collect();
        assert_eq!(parse(alloc::format!("<a{declared}/>").as_bytes(), LIMIT).err(), Some(XmlError::TooLarge));
    }

    #[test]
    fn tags_in_comments_and_quotes_do_not_nest() {
        let text = alloc::format!("<a>{}<b c='>'/><![CDATA[{}]]></a>", "<!--<x>-->".repeat(50), "<x>".repeat(50));
        assert!(parse(text.as_bytes(), LIMIT).is_ok());
    }

    #[test]
    fn entities_and_broken_text_are_refused() {
        for text in [
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a>&b;</a>",
            "<a><b></a>",
            "<a",
            "",
            "<a/><b/>",
            "plain",
            "<!--",
            "<![CDATA[",
        ] {
            assert_eq!(parse(text.as_bytes(), LIMIT).err(), Some(XmlError::Malformed), "{text}");
        }
        assert_eq!(parse(b"<a>\xff</a>", LIMIT).err(), Some(XmlError::Malformed));
    }

    #[test]
    fn text_survives_writing_and_reading() {
        let value = "a<b>&\"'\r\n\té\u{1f600} ]]>";
        let mut writer = Writer::new();
        writer.element("a", &[("b", value)], value);
        let (out, whole) = writer.finish();
        assert!(whole);
        let document = parse(out.as_bytes(), LIMIT).unwrap();
        assert_eq!(text(document.root_element()), value);
        let mut writer = Writer::new();
        writer.text("a\u{0}b");
        assert_eq!(writer.finish(), ("a\u{fffd}b".into(), false));
    }
}
