use std::{io::Read, sync::Arc};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::{
    super::{Chunker, CpuPool, Cursor, Encoder, ErrorKind, Job, OpenPack, VaultIdentity, decode_frames, frame::DEFAULT_LEVEL},
    *,
};

#[test]
fn a_pack_is_one_age_file_named_by_its_digest() {
    let key = VaultIdentity::generate();
    let mut pack = PackBuilder::new(100);
    assert!(pack.is_empty() && !pack.is_full());
    assert_eq!(pack.append(&[1; 60]).unwrap(), Placement { offset: 0, length: 60 });
    assert_eq!(pack.append(&[2; 60]).unwrap(), Placement { offset: 60, length: 60 });
    assert!(pack.is_full());
    let sealed = pack.seal(&key.recipient()).unwrap();
    assert_eq!((sealed.plain_length, sealed.sha256), (120, sha256(&sealed.bytes)));
    assert!(sealed.bytes.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    assert!(OpenPack::open(sealed.bytes, sealed.sha256, &key).unwrap().is_proved());
}

#[test]
fn a_pack_does_not_grow_above_an_object() {
    let mut pack = PackBuilder::new(PACK_TARGET);
    let frame = vec![0; 8 << 20];
    for _ in 0..7 {
        pack.append(&frame).unwrap();
    }
    assert_eq!(pack.append(&frame).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(pack.len(), 56 << 20);
    pack.append(&vec![0; (8 << 20) - (64 << 10)]).unwrap();
    let sealed = pack.seal(&VaultIdentity::generate().recipient()).unwrap();
    assert!(sealed.bytes.len() as u64 <= OBJECT_MAX);
}

#[test]
fn a_full_pack_is_sealed_without_a_second_buffer() {
    let mut pack = PackBuilder::new(PACK_TARGET);
    while !pack.is_full() {
        pack.append(&[3; 300_000]).unwrap();
    }
    pack.append(&vec![4; 3 << 20]).unwrap();
    let sealed = pack.seal(&VaultIdentity::generate().recipient()).unwrap();
    let held = sealed.bytes.try_into_mut().unwrap().capacity();
    assert!(held < PACK_TARGET + (5 << 20), "{held}");
}

#[test]
fn a_pack_that_is_not_the_one_on_the_list_is_not_even_decrypted() {
    let key = VaultIdentity::generate();
    let mut pack = PackBuilder::new(10);
    pack.append(b"0123456789").unwrap();
    let sealed = pack.seal(&key.recipient()).unwrap();
    let error = OpenPack::open(sealed.bytes.clone(), sha256(b"another"), &key).unwrap_err();
    assert!(matches!(error, PipelineError::Digest { found, .. } if found == sealed.sha256));
    assert!(!OpenPack::open_unproved(sealed.bytes, &key).unwrap().is_proved());
}

/// Frames of bytes that do not compress, one pack of them, and where each frame lies.
fn framed(sizes: &[usize], key: &VaultIdentity) -> (Vec<Vec<u8>>, Vec<Placement>, SealedPack) {
    let (mut encoder, mut pack) = (super::super::FrameEncoder::new(DEFAULT_LEVEL).unwrap(), PackBuilder::new(PACK_TARGET));
    let noise = |(number, size): (usize, &usize)| {
        let mut plain = vec![0; *size];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut plain);
        plain
    };
    let plain: Vec<Vec<u8>> = sizes.iter().enumerate().map(noise).collect();
    let places = plain.iter().map(|plain| pack.append(&encoder.encode(plain).unwrap()).unwrap()).collect();
    (plain, places, pack.seal(&key.recipient()).unwrap())
}

fn read(cursor: &mut Cursor, pack: &OpenPack, place: Placement) -> Result<Vec<u8>, PipelineError> {
    let (frame, size) = cursor.frame(pack, place.offset, place.offset.saturating_add(place.length))?;
    assert_eq!(frame.len() as u64, place.length);
    let mut plain = Vec::new();
    decode_frames(frame, size, &mut plain).map(|()| plain)
}

#[test]
fn frames_are_read_in_any_order_and_none_behind_the_end() {
    let key = VaultIdentity::generate();
    let (plain, places, sealed) = framed(&[10, 70_000, 0, 65_536, 3_000_000, 1, 400_000, 200_000], &key);
    let pack = OpenPack::open(sealed.bytes, sealed.sha256, &key).unwrap();
    let mut cursor = Cursor::default();
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 7, 2, 4, 0, 6, 4, 1] {
        assert!(read(&mut cursor, &pack, places[index]).unwrap() == plain[index], "{index}");
    }
    for index in 0..plain.len() {
        assert!(read(&mut Cursor::default(), &pack, places[index]).unwrap() == plain[index], "{index} first");
    }
    let end = sealed.plain_length;
    for (offset, length) in [(0, end + 1), (end - 1, 2), (u64::MAX, 1), (1, u64::MAX), (end - 1, 1), (places[4].offset, places[4].length - 1)] {
        assert!(read(&mut cursor, &pack, Placement { offset, length }).is_err(), "{offset} {length}");
    }
    assert!(read(&mut cursor, &pack, places[5]).unwrap() == plain[5], "an error spoils nothing");
}

#[test]
fn a_damaged_block_spoils_its_frames_and_no_others() {
    let key = VaultIdentity::generate();
    let (plain, places, sealed) = framed(&[500_000, 500_000, 500_000], &key);
    let mut bytes = sealed.bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let pack = OpenPack::open_unproved(bytes.into(), &key).unwrap();
    let mut cursor = Cursor::default();
    assert!(read(&mut cursor, &pack, places[0]).unwrap() == plain[0]);
    assert!(matches!(read(&mut cursor, &pack, places[1]), Err(PipelineError::Block { .. })));
    assert!(read(&mut cursor, &pack, places[2]).unwrap() == plain[2]);
}

/// Chunk, encode in parallel, pack, open, decode; with every third chunk passed by as already stored.
async fn there_and_back(plain: Vec<u8>, workers: usize) {
    let (pool, key) = (CpuPool::new(workers), Arc::new(VaultIdentity::generate()));
    let (jobs, receiver) = mpsc::channel(2);
    let mut encoded = Encoder::new(pool.clone(), DEFAULT_LEVEL).encode_ordered(receiver);
    let source = plain.clone();
    let reader = tokio::task::spawn_blocking(move || {
        for (number, chunk) in Chunker::new(&source[..], ChunkSizes::DUMP).enumerate() {
            let chunk = chunk.unwrap();
            let plain = (number % 3 != 2).then(|| chunk.clone());
            jobs.blocking_send(Job { plain, tag: (number, chunk) }).unwrap();
        }
    });
    let mut pack = PackBuilder::new(PACK_TARGET);
    let (mut runs, mut expected) = (Vec::new(), Vec::new());
    let mut count = 0;
    while let Some(done) = encoded.recv().await {
        let done = done.unwrap();
        assert_eq!(done.tag.0, count, "in order");
        count += 1;
        assert_eq!(done.frame.is_some(), done.tag.0 % 3 != 2);
        if let Some(frame) = done.frame {
            runs.push(pack.append(&frame).unwrap());
            expected.push(done.tag.1);
        }
    }
    reader.await.unwrap();
    assert!(count > 0 || plain.is_empty());
    let sealed = pack.seal(&key.recipient()).unwrap();
    let open = OpenPack::open_on(&pool, sealed.bytes, sealed.sha256, key).await.unwrap();
    let mut cursor = Cursor::default();
    let decoded: Vec<_> = runs.iter().map(|place| read(&mut cursor, &open, *place).unwrap()).collect();
    assert!(decoded == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_goes_through_all_stages_comes_back(length in 0usize..4_000_000, repeat in 1u8..=255, workers in 1usize..4) {
        let mut plain = vec![0; length];
        blake3::Hasher::new().update(&[repeat]).finalize_xof().fill(&mut plain);
        if repeat % 2 == 0 {
            plain.iter_mut().for_each(|byte| *byte %= repeat / 2 + 1);
        }
        tokio::runtime::Runtime::new().unwrap().block_on(there_and_back(plain, workers));
    }
}

#[tokio::test]
async fn a_failed_chunk_ends_the_results_and_stops_the_sender() {
    let (jobs, receiver) = mpsc::channel(1);
    let mut encoded = Encoder::new(CpuPool::new(2), DEFAULT_LEVEL).encode_ordered(receiver);
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        for size in [10, 9 << 20].into_iter().chain(std::iter::repeat_n(10, 1000)) {
            if jobs.send(Job { plain: Some(vec![0; size].into()), tag: () }).await.is_err() {
                break;
            }
            sent += 1;
        }
        sent
    });
    assert!(encoded.recv().await.unwrap().is_ok());
    assert!(matches!(encoded.recv().await.unwrap(), Err(PipelineError::TooLarge { .. })));
    assert!(encoded.recv().await.is_none());
    assert!(sender.await.unwrap() < 100);
}

#[tokio::test]
async fn work_ahead_is_bounded_when_nobody_takes_the_results() {
    let (jobs, receiver) = mpsc::channel(1);
    let _encoded = Encoder::new(CpuPool::new(2), DEFAULT_LEVEL).encode_ordered(receiver);
    let mut sent = 0;
    let more = std::time::Duration::from_millis(500);
    while tokio::time::timeout(more, jobs.send(Job { plain: Some(vec![0; 1000].into()), tag: () })).await.is_ok_and(|sent| sent.is_ok()) {
        sent += 1;
    }
    assert!((4..=12).contains(&sent), "{sent}");
}

#[test]
fn a_sealed_pack_is_read_by_the_age_crate_and_zstd_alone() {
    let key = VaultIdentity::generate();
    let mut encoder = super::super::FrameEncoder::new(DEFAULT_LEVEL).unwrap();
    let mut pack = PackBuilder::new(PACK_TARGET);
    for part in ["one ", "two ", "three"] {
        pack.append(&encoder.encode(part.as_bytes()).unwrap()).unwrap();
    }
    let sealed = pack.seal(&key.recipient()).unwrap();
    let mut frames = Vec::new();
    age::Decryptor::new(&sealed.bytes[..]).unwrap().decrypt(std::iter::once(&key as _)).unwrap().read_to_end(&mut frames).unwrap();
    assert_eq!(zstd::decode_all(&frames[..]).unwrap(), b"one two three");
}
