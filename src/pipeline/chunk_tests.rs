use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// The input of the golden tests: as much as wanted of the BLAKE3 output stream for a fixed text.
fn golden_input(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"hourglass chunking, format 1").finalize_xof().fill(&mut bytes);
    bytes
}

fn lengths(source: impl Read, sizes: ChunkSizes) -> Vec<usize> {
    Chunker::new(source, sizes).map(|chunk| chunk.unwrap().len()).collect()
}

/// Gives at most so many bytes at a time, and is interrupted now and then.
struct Drip(Cursor<Vec<u8>>, usize, u32);

impl Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.2 += 1;
        if self.2.is_multiple_of(7) {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

#[test]
fn dump_boundaries_are_frozen() {
    let golden = [
        132771, 207976, 208104, 209874, 177694, 61191, 125141, 156039, 230720, 151177, 70986, 244132, 243568, 262300, 217940, 42201, 88669, 75594,
        74862, 164789,
    ];
    assert_eq!(lengths(&golden_input(3 << 20)[..], ChunkSizes::DUMP), golden);
}

#[test]
fn file_boundaries_are_frozen() {
    let golden = [1122751, 394463, 1224600, 271129, 1848129, 819734, 1522601, 612224, 942407, 1461347, 1655094, 1348549, 1291176, 867349, 1395663];
    assert_eq!(lengths(&golden_input(16 << 20)[..], ChunkSizes::FILE), golden);
}

#[test]
fn uniform_data_gives_the_largest_chunks() {
    assert_eq!(lengths(io::repeat(0).take(1_100_001), ChunkSizes::DUMP), [512 << 10, 512 << 10, 51_425]);
}

#[test]
fn an_empty_stream_has_no_chunks() {
    assert_eq!(lengths(io::empty(), ChunkSizes::FILE), [0; 0]);
    assert!(FixedChunker::new(io::empty()).next().is_none());
}

#[test]
fn boundaries_do_not_depend_on_how_a_source_gives_its_bytes() {
    let input = golden_input(3 << 20);
    let whole = lengths(&input[..], ChunkSizes::DUMP);
    for at_a_time in [4093, 70_001] {
        assert_eq!(lengths(Drip(Cursor::new(input.clone()), at_a_time, 0), ChunkSizes::DUMP), whole);
    }
}

#[test]
fn an_insertion_moves_only_the_chunks_around_it() {
    let mut input = golden_input(8 << 20);
    let before: std::collections::HashSet<_> = Chunker::new(&input[..], ChunkSizes::DUMP).map(|chunk| chunk.unwrap()).collect();
    input.splice(1_000_000..1_000_000, *b"a few bytes more");
    let after: Vec<_> = Chunker::new(&input[..], ChunkSizes::DUMP).map(|chunk| chunk.unwrap()).collect();
    let new = after.iter().filter(|chunk| !before.contains(*chunk)).count();
    assert!((1..=3).contains(&new), "{new} of {} chunks are new", after.len());
}

#[test]
fn a_read_error_ends_the_chunks() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::PermissionDenied.into())
        }
    }
    let source = || golden_input(100_000).leak().chain(Failing);
    for mut chunks in
        [Box::new(Chunker::new(source(), ChunkSizes::DUMP)) as Box<dyn Iterator<Item = io::Result<Bytes>>>, Box::new(FixedChunker::new(source()))]
    {
        assert_eq!(chunks.next().unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(chunks.next().is_none());
    }
}

#[test]
fn a_chunker_starts_again_with_nothing_of_the_old_stream() {
    let input = golden_input(1 << 20);
    let mut chunker = Chunker::new(&input[..], ChunkSizes::DUMP);
    chunker.next().unwrap().unwrap();
    chunker.restart(b"short");
    assert_eq!(chunker.next().unwrap().unwrap(), "short");
    assert!(chunker.next().is_none());
}

#[test]
fn the_buffer_stays_at_twice_the_largest_chunk_and_chunks_own_just_their_bytes() {
    let mut chunker = Chunker::new(io::repeat(7).take(100 << 20), ChunkSizes::DUMP);
    let mut total = 0;
    while let Some(chunk) = chunker.next() {
        let chunk = chunk.unwrap();
        total += chunk.len();
        assert!(chunker.buffer.capacity() == 1 << 20 && chunk.try_into_mut().unwrap().capacity() <= 512 << 10);
    }
    assert_eq!(total, 100 << 20);
}

#[test]
fn fixed_blocks_have_one_mebibyte() {
    let input = golden_input((2 << 20) + 5);
    let blocks: Vec<_> = FixedChunker::new(Drip(Cursor::new(input.clone()), 65_000, 0)).map(|block| block.unwrap()).collect();
    assert_eq!(blocks.iter().map(Bytes::len).collect::<Vec<_>>(), [1 << 20, 1 << 20, 5]);
    assert_eq!(blocks.concat(), input);
    assert_eq!(FixedChunker::new(&input[..2 << 20]).count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn chunks_are_the_stream_and_keep_their_sizes(length in 0usize..3_000_000, at_a_time in 1000usize..600_000, zeros in any::<bool>()) {
        let input = if zeros { vec![0; length] } else { golden_input(length) };
        let chunks: Vec<_> = Chunker::new(Drip(Cursor::new(input.clone()), at_a_time, 0), ChunkSizes::DUMP).map(|chunk| chunk.unwrap()).collect();
        prop_assert!(chunks.concat() == input);
        let (last, others) = chunks.split_last().map_or((0, &[][..]), |(last, others)| (last.len(), others));
        prop_assert!(last <= ChunkSizes::DUMP.max());
        prop_assert!(others.iter().all(|chunk| (ChunkSizes::DUMP.min()..=ChunkSizes::DUMP.max()).contains(&chunk.len())));
    }
}
