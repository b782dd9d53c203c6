//! How large tables are, and how the ring of tokens is cut into components.

use std::collections::BTreeMap;

use scylla::value::CqlValue;

use super::{connect::Cluster, error::CassandraError};

/// About what a component holds, in bytes as they lie in the cluster.
const COMPONENT_BYTES: f64 = 256.0 * 1048576.0;
/// Most components of a table.
const MOST_COMPONENTS: f64 = 64.0;
/// About what is read by one query after the other, in bytes.
const PIECE_BYTES: f64 = 2.0 * 1048576.0;
/// Fewest pieces.
const FEWEST_PIECES: f64 = 4.0;
/// Pieces of a component of unknown size: rows that were never written to disk are in no estimate.
const UNKNOWN_PIECES: usize = 32;
const MOST_PIECES: f64 = 256.0;

/// A part of the ring: tokens above `above`, up to `up_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub above: i64,
    pub up_to: i64,
}

impl Range {
    /// All tokens: the partitioner gives none the lowest number.
    pub(super) const RING: Range = Range { above: i64::MIN, up_to: i64::MAX };

    /// Cuts it into `count` parts of about one size, in the order of tokens.
    pub(super) fn cut(self, count: usize) -> Vec<Range> {
        let (from, width) = (i128::from(self.above), i128::from(self.up_to) - i128::from(self.above));
        let parts = i128::try_from(count.max(1)).expect("a count fits");
        let bound = |n: i128| i64::try_from(from + width * n / parts).expect("it lies between two tokens");
        (0..parts).map(|n| Range { above: bound(n), up_to: bound(n + 1) }).filter(|part| part.above < part.up_to).collect()
    }
}

/// Bytes of each table of a keyspace, from what the node that answers knows of its own part of the ring.
pub(super) async fn sizes(cluster: &Cluster, keyspace: &str) -> Result<BTreeMap<String, f64>, CassandraError> {
    let text = "SELECT table_name, range_start, range_end, mean_partition_size, partitions_count FROM system.size_estimates WHERE keyspace_name = ?";
    let mut known: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for row in cluster.rows(text, (keyspace,)).await?.iter() {
        let token = |name| row.text(name).parse::<i64>().ok();
        let number = |name| row.get(name).and_then(CqlValue::as_bigint).unwrap_or(0);
        let (Some(above), Some(up_to)) = (token("range_start"), token("range_end")) else { continue };
        // A range over the end of the ring wraps; one with equal ends is all of it.
        let width = match up_to.wrapping_sub(above).cast_unsigned() {
            0 => u64::MAX,
            width => width,
        };
        let (bytes, share) = known.entry(row.text("table_name")).or_default();
        *bytes += number("mean_partition_size") as f64 * number("partitions_count") as f64;
        *share += width as f64 / u64::MAX as f64;
    }
    Ok(known.into_iter().map(|(table, (bytes, share))| (table, bytes / share.clamp(0.01, 1.0))).collect())
}

/// How many components a table of so many bytes becomes.
pub(super) fn components(bytes: f64) -> usize {
    (bytes / COMPONENT_BYTES).ceil().clamp(1.0, MOST_COMPONENTS) as usize
}

/// In how many pieces a component of so many bytes is read.
pub(super) fn pieces(bytes: f64) -> usize {
    if bytes <= 0.0 { UNKNOWN_PIECES } else { (bytes / PIECE_BYTES).ceil().clamp(FEWEST_PIECES, MOST_PIECES) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_ring_touch_and_cover_it() {
        for count in [1, 2, 3, 7, 64] {
            let parts = Range::RING.cut(count);
            assert_eq!(parts.len(), count);
            assert_eq!((parts[0].above, parts[count - 1].up_to), (i64::MIN, i64::MAX));
            assert!(parts.windows(2).all(|pair| pair[0].up_to == pair[1].above));
        }
        assert_eq!(Range { above: 4, up_to: 6 }.cut(8).len(), 2);
    }

    #[test]
    fn large_tables_become_several_components() {
        assert_eq!((components(0.0), pieces(0.0), pieces(1.0)), (1, 32, 4));
        assert_eq!(components(1e9), 4);
        assert_eq!(components(1e15), 64);
    }
}
