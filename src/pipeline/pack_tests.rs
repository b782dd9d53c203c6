use std::{io::Read, sync::Arc};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::{
    super::{Chunker, CpuPool, Encoder, ErrorKind, FrameRun, Job, OpenPack, VaultIdentity, frame::DEFAULT_LEVEL},
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
    let open = OpenPack::open(&sealed.bytes, sealed.sha256, &key).unwrap();
    assert_eq!(open.at(Placement { offset: 60, length: 60 }).unwrap()[..], [2; 60]);
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
    let error = OpenPack::open(&sealed.bytes, sha256(b"another"), &key).unwrap_err();
    assert!(matches!(error, PipelineError::Digest { found, .. } if found == sealed.sha256));
    let open = OpenPack::open(&sealed.bytes, sealed.sha256, &key).unwrap();
    for (offset, length) in [(0, 11), (10, 1), (u64::MAX, 1), (1, u64::MAX)] {
        assert!(open.at(Placement { offset, length }).is_err());
    }
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
            runs.push(FrameRun { place: pack.append(&frame).unwrap(), plain_len: done.plain_len });
            expected.push(done.tag.1);
        }
    }
    reader.await.unwrap();
    assert!(count > 0 || plain.is_empty());
    let sealed = pack.seal(&key.recipient()).unwrap();
    let open = OpenPack::open_on(&pool, sealed.bytes, sealed.sha256, key).await.unwrap();
    assert!(open.decode_all(&pool, runs.clone()).await.unwrap() == expected);
    let whole = Placement { offset: 0, length: open.frames().len() as u64 };
    let mut stream = Vec::new();
    let all = runs.iter().map(|run| run.plain_len as u64).sum();
    let push = |part: &[u8]| {
        stream.extend_from_slice(part);
        Ok::<_, PipelineError>(())
    };
    open.decode_each(whole, all, push).unwrap();
    assert!(stream == expected.concat());
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
