//! Finds private keys in what is about to be packed, inside archives too. What it does not know it does not find: it is a net, not a wall.

use std::io::{self, BufReader, Chain, Cursor, Read};

/// Archives in archives that are looked into.
const DEPTH_MAX: u8 = 4;
/// Read at a time.
const BLOCK: usize = 1 << 18;
/// Kept from one block for the next, so that nothing is cut in two; longer than what [`found`] looks at from any place.
const OVERLAP: usize = 512;
/// Enough to tell what a file is.
const HEAD: usize = 512;

/// Reads everything, and says what kind of private key stands in it, if one does.
pub(super) fn search(reader: &mut dyn Read) -> io::Result<Option<&'static str>> {
    search_at(reader, 0)
}

type Peeked<'a> = Chain<Cursor<Vec<u8>>, &'a mut dyn Read>;

fn search_at(reader: &mut dyn Read, depth: u8) -> io::Result<Option<&'static str>> {
    let mut head = Vec::new();
    (&mut *reader).take(HEAD as u64).read_to_end(&mut head)?;
    let der = binary(&head);
    let kind = kind(&head);
    let whole: Peeked<'_> = Cursor::new(head).chain(reader);
    if der.is_some() || depth >= DEPTH_MAX {
        return Ok(der);
    }
    match kind {
        Kind::Gzip => search_at(&mut flate2::read::MultiGzDecoder::new(BufReader::new(whole)), depth + 1),
        Kind::Zstd => search_at(&mut zstd::stream::read::Decoder::new(whole)?, depth + 1),
        Kind::Tar => {
            let mut archive = tar::Archive::new(whole);
            for entry in archive.entries()? {
                if let Some(what) = search_at(&mut entry?, depth + 1)? {
                    return Ok(Some(what));
                }
            }
            Ok(None)
        }
        Kind::Other => plain(whole),
    }
}

enum Kind {
    Gzip,
    Zstd,
    Tar,
    Other,
}

fn kind(head: &[u8]) -> Kind {
    match head {
        [0x1f, 0x8b, 8, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Zstd,
        _ if head.get(257..262) == Some(b"ustar") => Kind::Tar,
        _ => Kind::Other,
    }
}

/// Keys that are files of their own and no text.
fn binary(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) || head.starts_with(&[0xce, 0xce, 0xce, 0xce]) {
        return Some("a Java key store");
    }
    let [0x30, length, rest @ ..] = head else { return None };
    let skipped = if length & 0x80 == 0 { 0 } else { usize::from(length & 0x7f) };
    match rest.get(skipped..)? {
        [2, 1, 3, 0x30, ..] => Some("a PKCS#12 store"),
        // Version 0, then an algorithm or a large number; version 1 of an elliptic curve's, or of a newer PKCS#8.
        [2, 1, 0, 0x30 | 2, ..] | [2, 1, 1, 0x30 | 4, ..] => Some("a private key in DER"),
        _ => None,
    }
}

pub(super) fn plain(mut reader: impl Read) -> io::Result<Option<&'static str>> {
    let mut held: Vec<u8> = Vec::with_capacity(BLOCK + OVERLAP);
    loop {
        let read = (&mut reader).take(BLOCK as u64).read_to_end(&mut held)?;
        if let Some(what) = found(&held) {
            return Ok(Some(what));
        }
        if read == 0 {
            return Ok(None);
        }
        held.drain(..held.len().saturating_sub(OVERLAP));
    }
}

/// How a private key goes on behind its mark: what tells it from talk of one.
#[derive(Clone, Copy)]
enum After {
    /// A new line, then base64, or a header of old PEM files.
    Pem,
    /// So many letters of base64 at once.
    Base64(usize),
    /// So many capitals and digits at once.
    Bech32(usize),
}

const MARKS: [(&str, After, &str); 8] = [
    ("PRIVATE KEY-----", After::Pem, "a private key in PEM"),
    ("PRIVATE KEY BLOCK-----", After::Pem, "a private key of OpenPGP"),
    // "PRIVATE KEY-----" in base64, at each of its three places: as Kubernetes and configurations hold it.
    ("UFJJVkFURSBLRVktLS0tL", After::Base64(32), "a private key in base64"),
    ("BSSVZBVEUgS0VZLS0tLS", After::Base64(32), "a private key in base64"),
    ("QUklWQVRFIEtFWS0tLS0t", After::Base64(32), "a private key in base64"),
    ("AGE-SECRET-KEY-1", After::Bech32(40), "an age identity"),
    // Encrypted, and not.
    ("RWRTY0Iy", After::Base64(100), "a minisign secret key"),
    ("RWQAAEIy", After::Base64(100), "a minisign secret key"),
];

/// Letters of base64 in a PEM file that are no accident.
const PEM_LETTERS: usize = 32;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn found(bytes: &[u8]) -> Option<&'static str> {
    let is_key = |rest: &[u8], after| {
        let row = |least: usize, letter: fn(u8) -> bool| rest.len() >= least && rest[..least].iter().all(|byte| letter(*byte));
        match after {
            After::Base64(least) => row(least, is_base64),
            After::Bech32(least) => row(least, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            After::Pem => is_pem(rest),
        }
    };
    let holds = |(mark, after, _): &(&str, After, &str)| {
        memchr::memmem::find_iter(bytes, mark.as_bytes()).any(|at| is_key(&bytes[at + mark.len()..], *after))
    };
    MARKS.iter().find(|mark| holds(mark)).map(|(_, _, what)| *what)
}

/// Line breaks may be real ones, or those of JSON.
fn is_pem(rest: &[u8]) -> bool {
    let text: String = rest.iter().take(OVERLAP / 2).map(|byte| char::from(*byte)).collect();
    let text = text.replace("\\r", "\n").replace("\\n", "\n").replace('\r', "\n");
    let Some(body) = text.strip_prefix(['\n', ' ']).map(str::trim_start) else { return false };
    let letters = body.chars().filter(|c| *c != '\n').take_while(|c| u8::try_from(*c).is_ok_and(is_base64)).count();
    letters >= PEM_LETTERS || body.starts_with("Proc-Type:") || body.starts_with("Version:")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::*;

    const BODY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";

    fn pem() -> String {
        format!("-----BEGIN {} KEY-----\n{BODY}\n-----END", "PRIVATE")
    }

    fn look(bytes: &[u8]) -> Option<&'static str> {
        search(&mut &*bytes).unwrap()
    }

    fn in_tar(bytes: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, "a/b", bytes).unwrap();
        builder.into_inner().unwrap()
    }

    fn in_gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn private_keys_are_found_wherever_they_stand() {
        let key = crate::repository::keys::SigningKey::generate();
        let age = age::x25519::Identity::generate().to_string();
        let minisign = format!(
            "untrusted comment: x\n{}\n",
            age::secrecy::ExposeSecret::expose_secret(&age::secrecy::SecretString::from(key.secret().expose().to_owned()))
        );
        let age = age::secrecy::ExposeSecret::expose_secret(&age).to_owned();
        for (name, text) in [("pem", pem()), ("age", age), ("minisign", minisign), ("json", pem().replace('\n', "\\n"))] {
            for text in [text.clone(), format!("{}{text}", "x".repeat(BLOCK - 20)), format!("a: {text}\nb: c")] {
                assert!(look(text.as_bytes()).is_some(), "{name}");
                let chart = in_gzip(&in_tar(text.as_bytes()));
                assert!(look(&chart).is_some() && look(&in_tar(&chart)).is_some(), "{name}");
                assert!(look(&zstd::encode_all(&chart[..], 1).unwrap()).is_some(), "{name}");
            }
        }
        for shift in 0..3 {
            let coded = BASE64_STANDARD.encode(format!("{}{}", &"abc"[..shift], pem()));
            assert!(look(coded.as_bytes()).is_some(), "{shift}");
        }
        for der in [&[0x30, 0x82, 4, 0xa2, 2, 1, 0, 2, 0x82][..], &[0x30, 0x2e, 2, 1, 0, 0x30, 5], &[0x30, 0x82, 9, 9, 2, 1, 3, 0x30, 0x82]] {
            assert!(look(der).is_some(), "{der:?}");
        }
    }

    #[test]
    fn talk_of_private_keys_and_public_keys_are_none() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "AGE-SECRET-KEY-1 begins an identity",
            "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ9z3X3pX7m1rC2p0w8b0m0m0m0kwCgYIKoZIzj0EAwIw\n",
            "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
            "",
        ] {
            assert_eq!(look(text.as_bytes()), None, "{text}");
        }
    }
}
