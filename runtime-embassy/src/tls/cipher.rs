//! AES-128-GCM with a look at what comes out of it.
//!
//! embedded-tls panics on some plaintexts that a peer can choose: on one without a content type, which needs no
//! certificate to be sent, and on every handshake message behind the handshake but a ticket.
//! They are refused here, between the decryption and embedded-tls.
// docs/evidence/field-reports.md D1

use super::joined::{Joined, are_tickets};
use super::socket::{JOINED, JOINED_AND_OPENED, OPENED};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::consts::{U0, U12, U16};
use aes_gcm::aead::{AeadCore, AeadInPlace, Buffer, Error, Key, KeyInit, KeySizeUser, Nonce, Result, Tag};
use embedded_tls::{Aes128GcmSha256, TlsCipherSuite};

const HANDSHAKE: u8 = 22;

/// TLS_AES_128_GCM_SHA256 with [`Cipher`].
#[derive(Debug)]
pub struct Suite;

impl TlsCipherSuite for Suite {
    const CODE_POINT: u16 = <Aes128GcmSha256 as TlsCipherSuite>::CODE_POINT;
    type Cipher = Cipher;
    type KeyLen = <Aes128GcmSha256 as TlsCipherSuite>::KeyLen;
    type IvLen = <Aes128GcmSha256 as TlsCipherSuite>::IvLen;
    type Hash = <Aes128GcmSha256 as TlsCipherSuite>::Hash;
    type LabelBufferSize = <Aes128GcmSha256 as TlsCipherSuite>::LabelBufferSize;
}

/// AES-128-GCM that refuses plaintexts which are no TLS 1.3 records, or which are not for a client.
pub struct Cipher(Aes128Gcm);

impl core::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cipher")
    }
}

impl KeySizeUser for Cipher {
    type KeySize = U16;
}

impl KeyInit for Cipher {
    fn new(key: &Key<Self>) -> Self {
        Self(Aes128Gcm::new(key))
    }
}

impl AeadCore for Cipher {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl AeadInPlace for Cipher {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> Result<Tag<Self>> {
        self.0.encrypt_in_place_detached(nonce, associated_data, buffer)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<()> {
        self.0.decrypt_in_place_detached(nonce, associated_data, buffer, tag)
    }

    /// Decrypts one record. `associated_data` is its header, in whose version the socket says whether the handshake
    /// is over ([`OPENED`]), and whether the record is inside of another one ([`JOINED`], [`JOINED_AND_OPENED`]); what the
    /// peer has signed has the version that every record has (RFC 8446 §5.2).
    fn decrypt_in_place(&self, nonce: &Nonce<Self>, associated_data: &[u8], buffer: &mut dyn Buffer) -> Result<()> {
        let [kind, major, minor, length @ ..] = associated_data else { return Err(Error) };
        let [high, low] = *length else { return Err(Error) };
        let version = [*major, *minor];
        if version == JOINED || version == JOINED_AND_OPENED {
            let opened = version == JOINED_AND_OPENED;
            let length = self.decrypt_joined(nonce, *kind, opened, buffer.as_mut()).ok_or(Error)?;
            buffer.truncate(length);
            return Ok(());
        }
        self.0.decrypt_in_place(nonce, &[*kind, 3, 3, high, low], buffer)?;
        let length = inspect(buffer.as_mut(), version == OPENED)?;
        buffer.truncate(length);
        Ok(())
    }
}

impl Cipher {
    /// Decrypts a record that is inside of another one; see [`joined`](super::joined).
    fn decrypt_joined(&self, nonce: &Nonce<Self>, kind: u8, opened: bool, buffer: &mut [u8]) -> Option<usize> {
        let mut joined = Joined::read(buffer)?;
        let (content, tag) = joined.record()?;
        let [high, low] = ((content.len() + tag.len()) as u16).to_be_bytes();
        self.0.decrypt_in_place_detached(nonce, &[kind, 3, 3, high, low], content, (&*tag).into()).ok()?;
        joined.split(opened)
    }
}

/// Refuses a plaintext without a content type, and what no server may send in a handshake message; returns how much of
/// it is to be read. Tickets are taken out, since no session is resumed: embedded-tls would go on behind the end of one
/// that is shorter than it says.
fn inspect(plaintext: &mut [u8], opened: bool) -> Result<usize> {
    // Behind the content type there is padding of zeros (RFC 8446 §5.4).
    let end = plaintext.iter().rposition(|byte| *byte != 0).ok_or(Error)?;
    if plaintext[end] != HANDSHAKE {
        return Ok(plaintext.len());
    }
    if end == 0 {
        // No message at all is forbidden (RFC 8446 §5.1).
        return Err(Error);
    }
    if !opened {
        return Ok(plaintext.len());
    }
    if !are_tickets(&plaintext[..end]) {
        return Err(Error);
    }
    plaintext[0] = HANDSHAKE;
    Ok(1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::joined::NEW_SESSION_TICKET;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn inspected(plaintext: &[u8], opened: bool) -> Option<Vec<u8>> {
        let mut buffer = plaintext.to_vec();
        let length = inspect(&mut buffer, opened).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    #[test]
    fn a_plaintext_without_a_content_type_is_refused() {
        for opened in [false, true] {
            for length in 0..20 {
                assert_eq!(inspected(&vec![0; length], opened), None, "{length} zeros, opened: {opened}");
            }
            assert_eq!(inspected(&[HANDSHAKE], opened), None);
            assert_eq!(inspected(&[HANDSHAKE, 0, 0], opened), None);
        }
    }

    #[test]
    fn data_and_alerts_pass_with_their_padding() {
        for kind in [21, 23] {
            for opened in [false, true] {
                let plaintext = [1, 2, kind, 0, 0];
                assert_eq!(inspected(&plaintext, opened).as_deref(), Some(&plaintext[..]));
            }
        }
    }

    #[test]
    fn behind_the_handshake_only_whole_tickets_pass_and_vanish() {
        let ticket = [NEW_SESSION_TICKET, 0, 0, 2, 7, 7];
        for count in 1..4 {
            let mut plaintext = ticket.repeat(count);
            plaintext.push(HANDSHAKE);
            assert_eq!(inspected(&plaintext, false).as_deref(), Some(&plaintext[..]));
            assert_eq!(inspected(&plaintext, true).as_deref(), Some(&[HANDSHAKE][..]));
        }
        for kind in (0..=255).filter(|kind| *kind != NEW_SESSION_TICKET) {
            for before in [&[][..], &ticket] {
                let plaintext = [before, &[kind, 0, 0, 1, 0, HANDSHAKE]].concat();
                assert_eq!(inspected(&plaintext, true), None, "message {kind}");
            }
        }
        for cut in 1..ticket.len() {
            let plaintext = [&ticket[..cut], &[HANDSHAKE]].concat();
            assert_eq!(inspected(&plaintext, true), None, "{cut} bytes of a ticket");
        }
    }
}
