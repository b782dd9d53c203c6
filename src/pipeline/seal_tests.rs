use std::io::{Read, Write};

use proptest::prelude::*;

use super::{super::ErrorKind, *};

fn plain_of(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"sealed").finalize_xof().fill(&mut bytes);
    bytes
}

/// What the age crate makes of `plain` on its own.
fn stock_seal(recipient: &VaultRecipient, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let mut writer = age::Encryptor::with_recipients(std::iter::once(recipient as _)).unwrap().wrap_output(&mut sealed).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    sealed
}

fn stock_open(identity: &VaultIdentity, sealed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    age::Decryptor::new(sealed).unwrap().decrypt(std::iter::once(identity as _)).unwrap().read_to_end(&mut plain).unwrap();
    plain
}

const LENGTHS: [usize; 9] = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, (1 << 20) + 3, 777_777];

#[test]
fn the_age_crate_reads_what_we_write_and_we_read_what_it_writes() {
    let key = VaultIdentity::generate();
    for length in LENGTHS {
        let plain = plain_of(length);
        let ours = seal(&[&key.recipient()], &plain).unwrap();
        assert!(stock_open(&key, &ours) == plain, "{length}");
        assert!(open(&key, &ours).unwrap() == plain, "{length}");
        assert!(open(&key, &stock_seal(&key.recipient(), &plain)).unwrap() == plain, "{length}");
    }
}

#[test]
fn a_buffer_filled_in_pieces_seals_as_one_filled_at_once() {
    let (key, plain) = (VaultIdentity::generate(), plain_of(300_000));
    for piece in [1, 13, BLOCK - 1, BLOCK, BLOCK + 1] {
        let mut buffer = SealBuffer::with_capacity(10);
        plain.chunks(piece).for_each(|piece| buffer.extend(piece));
        assert_eq!((buffer.len(), buffer.is_empty()), (plain.len(), false));
        assert!(stock_open(&key, &buffer.seal(&[&key.recipient()]).unwrap()) == plain, "{piece}");
    }
}

#[test]
fn each_of_several_recipients_opens_and_a_header_above_the_probe_fits() {
    let keys: Vec<_> = (0..20).map(|_| VaultIdentity::generate()).collect();
    let recipients: Vec<_> = keys.iter().map(VaultIdentity::recipient).collect();
    let sealed = seal(&recipients.iter().map(|r| r as _).collect::<Vec<_>>(), b"shared").unwrap();
    assert!(SealedHeader::parse(&sealed, &keys[0]).unwrap().len > HEADER_PROBE);
    for key in &keys {
        assert_eq!(open(key, &sealed).unwrap(), b"shared");
        assert_eq!(stock_open(key, &sealed), b"shared");
    }
    assert_eq!(seal(&[], b"to nobody").unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_passphrase_seals_as_a_key_does() {
    let phrase = || age::secrecy::SecretString::from("correct horse".to_owned());
    let mut recipient = age::scrypt::Recipient::new(phrase());
    recipient.set_work_factor(2);
    let sealed = seal(&[&recipient], b"vault").unwrap();
    assert_eq!(open(&age::scrypt::Identity::new(phrase()), &sealed).unwrap(), b"vault");
}

#[test]
fn the_wrong_key_is_told_apart_from_damage() {
    let (key, other) = (VaultIdentity::generate(), VaultIdentity::generate());
    let error = open(&other, &seal(&[&key.recipient()], b"x").unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::WrongKey, true));
}

#[test]
fn every_changed_byte_of_the_header_is_found() {
    let key = VaultIdentity::generate();
    let sealed = seal(&[&key.recipient()], b"some text").unwrap();
    for at in 0..sealed.len() {
        for flip in [1, 0x20, 0x80] {
            let mut changed = sealed.to_vec();
            changed[at] ^= flip;
            assert!(open(&key, &changed).is_err(), "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let key = VaultIdentity::generate();
    let sealed = seal(&[&key.recipient()], &plain_of(3 * BLOCK)).unwrap();
    let header = SealedHeader::parse(&sealed, &key).unwrap().len;
    let ends = (0..=3).flat_map(|block| (-17..=17).map(move |near: isize| (header + block * SEALED_BLOCK).wrapping_add_signed(near)));
    for end in (0..header).chain(ends.filter(|end| *end < sealed.len())) {
        assert_eq!(open(&key, &sealed[..end]).unwrap_err().kind(), ErrorKind::Damaged, "cut at {end}");
    }
    for more in [1, 15, 16, 17] {
        let longer = [&sealed[..], &vec![0; more]].concat();
        assert_eq!(open(&key, &longer).unwrap_err().kind(), ErrorKind::Damaged, "{more} bytes more");
    }
}

#[test]
fn changed_swapped_doubled_and_missing_blocks_are_found() {
    let key = VaultIdentity::generate();
    let sealed = seal(&[&key.recipient()], &plain_of(4 * BLOCK)).unwrap();
    let (header, payload) = sealed.split_at(SealedHeader::parse(&sealed, &key).unwrap().len);
    let blocks: Vec<_> = payload.chunks(SEALED_BLOCK).collect();
    for order in [&[1, 0, 2, 3][..], &[0, 1, 3, 2], &[0, 1, 3], &[1, 2, 3], &[0, 1, 1, 2, 3], &[0, 1, 2, 3, 3]] {
        let shuffled: Vec<u8> = std::iter::once(header).chain(order.iter().map(|n| blocks[*n])).flatten().copied().collect();
        assert!(matches!(open(&key, &shuffled), Err(PipelineError::Block { .. })), "{order:?}");
    }
    for at in (header.len()..sealed.len()).step_by(9973) {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert!(matches!(open(&key, &changed), Err(PipelineError::Block { .. })), "byte {at}");
    }
}

#[test]
fn an_empty_last_block_is_refused_though_it_is_authentic() {
    let key = VaultIdentity::generate();
    let sealed = seal(&[&key.recipient()], b"").unwrap();
    let header = SealedHeader::parse(&sealed, &key).unwrap();
    let mut forged = plain_of(BLOCK);
    let tag = header.key.0.seal_in_place_separate_tag(block_nonce(0, false), Aad::empty(), &mut forged).unwrap();
    forged.extend(tag.as_ref());
    let tag = header.key.0.seal_in_place_separate_tag(block_nonce(1, true), Aad::empty(), &mut []).unwrap();
    forged.extend(tag.as_ref());
    assert!(matches!(header.key.open_range(&forged, 0, true), Err(PipelineError::Length(_))));
    assert!(matches!(header.key.open_range(&forged[SEALED_BLOCK..], 1, true), Err(PipelineError::Length(_))));
}

/// Reads a range as a restore does: header from a probe, then only the blocks that are needed.
fn open_part(key: &VaultIdentity, sealed: &[u8], plain: Range<u64>) -> Result<Vec<u8>, PipelineError> {
    let header = SealedHeader::parse(&sealed[..sealed.len().min(HEADER_PROBE)], key)?;
    let range = header.cipher_range(plain.clone(), sealed.len() as u64)?;
    let blocks = header.key.open_range(&sealed[range.bytes.start as usize..range.bytes.end as usize], range.first_block, range.is_last)?;
    Ok(blocks[range.skip..][..(plain.end - plain.start) as usize].to_vec())
}

#[test]
fn ranges_at_every_border_read_as_the_whole_file_does() {
    let key = VaultIdentity::generate();
    for length in LENGTHS {
        let (plain, block) = (plain_of(length), BLOCK as u64);
        let sealed = seal(&[&key.recipient()], &plain).unwrap();
        let borders = [0, 1, block - 1, block, block + 1, 2 * block, length as u64 / 2, length as u64];
        for start in borders {
            for end in borders {
                let part = open_part(&key, &sealed, start..end);
                match start <= end && end <= length as u64 {
                    true => assert!(part.unwrap() == plain[start as usize..end as usize], "{start}..{end} of {length}"),
                    false => assert!(part.is_err(), "{start}..{end} of {length}"),
                }
            }
        }
    }
}

#[test]
fn a_range_fetches_no_more_blocks_than_it_needs_and_knows_their_place() {
    let key = VaultIdentity::generate();
    let sealed = seal(&[&key.recipient()], &plain_of(10 * BLOCK)).unwrap();
    let header = SealedHeader::parse(&sealed, &key).unwrap();
    let range = header.cipher_range(3 * BLOCK as u64..4 * BLOCK as u64, sealed.len() as u64).unwrap();
    assert_eq!((range.bytes.end - range.bytes.start, range.first_block, range.is_last, range.skip), (SEALED_BLOCK as u64, 3, false, 0));
    let block = &sealed[range.bytes.start as usize..range.bytes.end as usize];
    assert!(header.key.open_range(block, 3, false).is_ok());
    assert!(header.key.open_range(block, 4, false).is_err());
    assert!(header.key.open_range(block, 3, true).is_err());
    assert!(header.key.open_range(&block[1..], 3, false).is_err());
    assert!(header.key.open_range(&[], 3, false).is_err());
}

#[test]
fn keys_read_back_and_bad_ones_are_refused_without_being_quoted() {
    let key = VaultIdentity::generate();
    let text = key.to_secret();
    let again: VaultIdentity = text.expose().parse().unwrap();
    assert_eq!(again.recipient(), key.recipient());
    assert_eq!(key.recipient().to_string().parse::<VaultRecipient>().unwrap().id(), again.recipient().id());
    assert!(!format!("{key:?}").contains(&text.expose()[15..]));
    let error = text.expose()[..70].parse::<VaultIdentity>().unwrap_err();
    assert!(!error.to_string().contains(&text.expose()[20..40]));
    assert!(text.expose().parse::<VaultRecipient>().is_err());
    assert!("age1".parse::<VaultRecipient>().is_err());
}

#[test]
fn a_header_of_very_many_stanzas_does_not_keep_the_parser_busy() {
    for stanzas in [400, 10_000, 1 << 20] {
        let forged = [&b"age-encryption.org/v1\n"[..], &b"-> x\n\n".repeat(stanzas), b"--- ", &[b'A'; 43], b"\n", &[0; 40]].concat();
        let begun = std::time::Instant::now();
        assert!(open(&VaultIdentity::generate(), &forged).is_err());
        assert!(begun.elapsed().as_secs() < 10, "{stanzas}: {:?}", begun.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), first in any::<u64>(), last in any::<bool>()) {
        let key = VaultIdentity::generate();
        let sealed = seal(&[&key.recipient()], b"x").unwrap();
        let header = SealedHeader::parse(&sealed, &key).unwrap();
        prop_assert!(header.key.open_range(&bytes, first >> 1, last).is_err());
        prop_assert!(open(&key, &bytes).is_err());
        prop_assert!(open(&key, &[b"age-encryption.org/v1\n", &bytes[..]].concat()).is_err());
        let _ = header.cipher_range(first..first.saturating_add(bytes.len() as u64), first ^ 0xffff);
    }

    #[test]
    fn any_range_reads_as_the_whole_file_does(length in 1u64..300_000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let key = VaultIdentity::generate();
        let plain = plain_of(length as usize);
        let sealed = seal(&[&key.recipient()], &plain).unwrap();
        let (a, b) = (a.index(length as usize) as u64, b.index(length as usize + 1) as u64);
        let range = a.min(b)..a.max(b);
        prop_assert!(open_part(&key, &sealed, range.clone()).unwrap() == plain[range.start as usize..range.end as usize]);
    }
}
