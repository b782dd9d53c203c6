use std::io::Read;

use proptest::prelude::*;

use super::*;

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"frames").finalize_xof().fill(&mut bytes);
    bytes
}

fn encode(plain: &[u8]) -> Vec<u8> {
    FrameEncoder::new(DEFAULT_LEVEL).unwrap().encode(plain).unwrap()
}

fn decode(frames: &[u8], plain_len: usize) -> Result<Vec<u8>, PipelineError> {
    let mut out = b"left over".to_vec();
    decode_frames(frames, plain_len, &mut out).map(|()| out)
}

#[test]
fn frames_decode_to_what_went_in() {
    let mut encoder = FrameEncoder::new(DEFAULT_LEVEL).unwrap();
    for plain in [vec![], b"x".to_vec(), vec![0; 4 << 20], random(4 << 20), b"insert into t values (1);".repeat(50_000)] {
        let frame = encoder.encode(&plain).unwrap();
        assert!(frame.len() <= plain.len() + plain.len() / 1000 + 64, "{} of {}", frame.len(), plain.len());
        assert!(decode(&frame, plain.len()).unwrap() == plain);
        assert!(zstd::decode_all(&frame[..]).unwrap() == plain);
    }
}

#[test]
fn negative_levels_work_too() {
    let plain = b"insert into t values (1);".repeat(50_000);
    let frame = FrameEncoder::new(-1).unwrap().encode(&plain).unwrap();
    assert!(frame.len() < plain.len() / 10 && decode(&frame, plain.len()).unwrap() == plain);
}

#[test]
fn a_fast_frame_is_chosen_where_it_is_hardly_larger() {
    let digits: Vec<u8> = random(1 << 20).iter().map(|byte| b'0' + byte % 10).collect();
    let text = include_bytes!("seal.rs").to_vec();
    let mut encoder = FrameEncoder::new(DEFAULT_LEVEL).unwrap();
    for (plain, fast) in [(random(1 << 20), true), (digits, true), (text, false)] {
        let (frame, chosen) = encoder.encode_trial(&plain).unwrap();
        assert_eq!(chosen, fast);
        assert_eq!(frame, if fast { encoder.encode_fast(&plain).unwrap() } else { encoder.encode(&plain).unwrap() });
        assert!(decode(&frame, plain.len()).unwrap() == plain);
    }
}

#[test]
fn concatenated_frames_decode_as_one_and_one_by_one() {
    let parts = [random(70_000), vec![], vec![7; 300_000]];
    let (frames, plain) = (parts.each_ref().map(|part| encode(part)).concat(), parts.concat());
    assert!(decode(&frames, plain.len()).unwrap() == plain);
    let mut decoder = FrameDecoder::new().unwrap();
    let one = |frame: Result<(&[u8], usize), PipelineError>| {
        let ((frame, size), mut plain) = (frame.unwrap(), Vec::new());
        decoder.decode(frame, size, &mut plain).unwrap();
        plain
    };
    assert!(Frames(&frames).map(one).collect::<Vec<_>>() == parts);
}

#[test]
fn a_wrong_total_is_refused_before_anything_is_decoded() {
    let frame = encode(&random(1000));
    for wrong in [0, 999, 1001, usize::MAX] {
        let mut out = Vec::new();
        assert!(matches!(decode_frames(&frame, wrong, &mut out), Err(PipelineError::Frame(_))), "{wrong}");
        assert_eq!(out.capacity(), 0);
    }
}

#[test]
fn a_bomb_is_refused_by_its_claim_and_by_its_content() {
    let bomb = zstd::encode_all(std::io::repeat(0).take(64 << 20), 3).unwrap();
    assert!(matches!(decode(&bomb, 64 << 20), Err(PipelineError::Frame(_))));
    // A frame that holds more than it says: the claim of a true frame, lowered.
    let mut liar = encode(&vec![0; 1 << 20]);
    let claim = liar.windows(4).position(|w| w == (1u32 << 20).to_le_bytes()).unwrap();
    liar[claim..claim + 4].copy_from_slice(&1000u32.to_le_bytes());
    let mut out = Vec::new();
    assert!(decode_frames(&liar, 1000, &mut out).is_err());
    assert!(out.capacity() <= 1000);
    liar[claim..claim + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(decode(&liar, u32::MAX as usize).is_err());
}

#[test]
fn frames_of_other_forms_are_refused() {
    let mut plain_zstd = Compressor::new(3).unwrap();
    let no_checksum = plain_zstd.compress(b"text").unwrap();
    plain_zstd.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    plain_zstd.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
    let no_size = plain_zstd.compress(b"text").unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"text"].concat();
    let oldest = [&[0x1e, 0xb5, 0x2f, 0xfd][..], b"text"].concat();
    for (name, bytes) in [("no checksum", no_checksum), ("no size", no_size), ("skippable", skippable), ("legacy", oldest)] {
        assert!(matches!(decode(&bytes, 4), Err(PipelineError::Frame(_))), "{name}");
        assert!(decode(&[encode(b"text"), bytes].concat(), 8).is_err(), "{name} behind a good frame");
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_frame_is_found() {
    let plain = b"a line of a dump\n".repeat(20);
    let frame = encode(&plain);
    for length in 1..frame.len() {
        assert!(decode(&frame[..length], plain.len()).is_err(), "cut at {length}");
    }
    for bit in 0..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&changed, plain.len()).map_or(true, |out| out == plain), "bit {bit} changes the plaintext unnoticed");
    }
}

#[test]
fn an_encoder_finds_that_its_memory_changed_a_frame() {
    let plain = random(100_000);
    let mut encoder = FrameEncoder::new(DEFAULT_LEVEL).unwrap();
    for at in [0, 5, 50_000] {
        encoder.compress(&plain, DEFAULT_LEVEL).unwrap();
        encoder.frame[at] ^= 4;
        assert_eq!(encoder.verify(&plain).unwrap_err().kind(), super::super::ErrorKind::Machine);
    }
    encoder.compress(&plain, DEFAULT_LEVEL).unwrap();
    assert!(matches!(encoder.verify(&plain[1..]), Err(PipelineError::Verify)));
    encoder.verify(&plain).unwrap();
}

#[test]
fn a_chunk_above_the_limit_is_refused() {
    let result = FrameEncoder::new(DEFAULT_LEVEL).unwrap().encode(&vec![0; FRAME_PLAIN_MAX + 1]);
    assert!(matches!(result, Err(PipelineError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), length in 0usize..100_000) {
        let _ = decode(&bytes, length);
        let behind_magic = [&MAGIC[..], &[0b0010_0100], &bytes].concat();
        let _ = decode(&behind_magic, length);
    }
}
