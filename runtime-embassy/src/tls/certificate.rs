//! What webpki does not report of a certificate: keyUsage, the anchor's constraints, the key as it is encoded, and the
//! fields that tell which certificate of a chain was refused.

use core::time::Duration;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTHENTICATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The keyUsage extension (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyUsage {
    /// The key may sign a handshake.
    pub(super) digital_signature: bool,
    /// The key may sign certificates.
    pub(super) certificate_sign: bool,
}

/// The basicConstraints extension (RFC 5280 §4.2.1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    pub(super) authority: bool,
    pub(super) path_length: Option<u8>,
}

/// A certificate's parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificate<'a> {
    /// The SubjectPublicKeyInfo with its tag and length.
    pub(super) key: &'a [u8],
    /// The serial number: an INTEGER's content.
    pub(super) serial: &'a [u8],
    /// The AlgorithmIdentifier of the signature, without its tag and length.
    pub(super) signature_algorithm: &'a [u8],
    /// The distinguished name of the certificate that signed this one, without its tag and length.
    pub(super) issuer: &'a [u8],
    /// Its own distinguished name, without its tag and length.
    pub(super) subject: &'a [u8],
    /// It may be a server's: the extended key usage says so, or is absent (RFC 5280 §4.2.1.12).
    pub(super) server_authentication: bool,
    /// When it becomes valid, since 1970 (RFC 5280 §4.1.2.5).
    pub(super) not_before: Duration,
    /// When its validity ends, since 1970.
    pub(super) not_after: Duration,
    /// `None` when the extension is absent.
    pub(super) key_usage: Option<KeyUsage>,
    /// `None` when the extension is absent.
    pub(super) basic_constraints: Option<BasicConstraints>,
}

impl<'a> Certificate<'a> {
    /// Reads the certificate's DER.
    pub(super) fn parse(der: &'a [u8]) -> der::Result<Self> {
        AnyRef::from_der(der)?.sequence(|certificate| {
            let body: AnyRef<'a> = certificate.decode()?;
            // The signature's algorithm and the signature.
            certificate.tlv_bytes()?;
            certificate.tlv_bytes()?;
            body.sequence(Self::parse_body)
        })
    }

    fn parse_body(body: &mut SliceReader<'a>) -> der::Result<Self> {
        if body.peek_tag()? == context(TagNumber::N0) {
            body.tlv_bytes()?;
        }
        let serial = body.decode::<AnyRef<'a>>()?.value();
        let signature_algorithm = body.decode::<AnyRef<'a>>()?.value();
        let issuer = body.decode::<AnyRef<'a>>()?.value();
        let validity: AnyRef<'a> = body.decode()?;
        let (not_before, not_after) = validity.sequence(|validity| Ok((time(validity)?, time(validity)?)))?;
        let subject = body.decode::<AnyRef<'a>>()?.value();
        let key = body.tlv_bytes()?;
        let mut parsed = Self {
            key,
            serial,
            signature_algorithm,
            issuer,
            subject,
            server_authentication: true,
            not_before,
            not_after,
            key_usage: None,
            basic_constraints: None,
        };
        while !body.is_finished() {
            let field: AnyRef<'a> = body.decode()?;
            if field.tag() == context(TagNumber::N3) {
                AnyRef::from_der(field.value())?.sequence(|extensions| {
                    while !extensions.is_finished() {
                        let extension: AnyRef<'a> = extensions.decode()?;
                        extension.sequence(|extension| parsed.parse_extension(extension))?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(parsed)
    }

    fn parse_extension(&mut self, extension: &mut SliceReader<'a>) -> der::Result<()> {
        let id: ObjectIdentifier = extension.decode()?;
        if extension.peek_tag()? == Tag::Boolean {
            extension.tlv_bytes()?;
        }
        let value = extension.decode::<OctetStringRef<'a>>()?.as_bytes();
        if id == KEY_USAGE {
            let bits = BitStringRef::from_der(value)?;
            let first = bits.raw_bytes().first().copied().unwrap_or_default();
            self.key_usage =
                Some(KeyUsage { digital_signature: first & 0x80 != 0, certificate_sign: first & 0x04 != 0 });
        } else if id == BASIC_CONSTRAINTS {
            self.basic_constraints = Some(AnyRef::from_der(value)?.sequence(|fields| {
                let authority =
                    if !fields.is_finished() && fields.peek_tag()? == Tag::Boolean { fields.decode()? } else { false };
                let path_length = if fields.is_finished() { None } else { Some(fields.decode()?) };
                Ok(BasicConstraints { authority, path_length })
            })?);
        } else if id == EXTENDED_KEY_USAGE {
            self.server_authentication = AnyRef::from_der(value)?.sequence(|purposes| {
                let mut found = false;
                while !purposes.is_finished() {
                    found |= purposes.decode::<ObjectIdentifier>()? == SERVER_AUTHENTICATION;
                }
                Ok::<_, der::Error>(found)
            })?;
        }
        Ok(())
    }

    /// Whether basicConstraints let it sign certificates.
    pub(super) fn is_authority(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.authority)
    }

    /// Whether keyUsage lets it sign certificates.
    pub(super) fn may_sign_certificates(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.certificate_sign)
    }

    /// The subject's common name, in whatever characters it has; `None` where there is none.
    pub(super) fn common_name(&self) -> Option<&'a [u8]> {
        let mut found = None;
        let mut names = SliceReader::new(self.subject).ok()?;
        while !names.is_finished() {
            let name: AnyRef<'a> = names.decode().ok()?;
            let mut attributes = SliceReader::new(name.value()).ok()?;
            let attribute: AnyRef<'a> = attributes.decode().ok()?;
            let (id, value) = attribute
                .sequence(|attribute| Ok::<_, der::Error>((attribute.decode()?, attribute.decode::<AnyRef<'a>>()?)))
                .ok()?;
            if COMMON_NAME == id {
                found = Some(value.value());
            }
        }
        found
    }

    /// The key's AlgorithmIdentifier, without its tag and length.
    pub(super) fn key_algorithm(&self) -> Option<&'a [u8]> {
        key_algorithm(AnyRef::from_der(self.key).ok()?.value())
    }
}

/// The AlgorithmIdentifier of a SubjectPublicKeyInfo's content.
pub(super) fn key_algorithm(key: &[u8]) -> Option<&[u8]> {
    Some(SliceReader::new(key).ok()?.decode::<AnyRef<'_>>().ok()?.value())
}

/// A time in either of the two forms that a certificate has.
fn time(validity: &mut SliceReader<'_>) -> der::Result<Duration> {
    Ok(match validity.peek_tag()? {
        Tag::UtcTime => validity.decode::<UtcTime>()?.to_unix_duration(),
        _ => validity.decode::<GeneralizedTime>()?.to_unix_duration(),
    })
}

const fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific { constructed: true, number }
}
