//! The stream of a component: a header, then rows as raw cells in pages, then their number. Format: docs/format/source-cassandra.md.

use serde::{Deserialize, Serialize};

use super::{cells, error::CassandraError, layout::Layout};

/// The first line of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Always `cassandra-rows`.
    pub format: String,
    /// Always 1.
    pub version: u32,
    pub layout: Layout,
    /// Tokens above this one...
    pub above: i64,
    /// ...up to this one.
    pub up_to: i64,
}

const PAGE: u8 = b'P';
const ROW: u8 = b'R';
const END: u8 = b'E';

impl Header {
    pub(super) fn new(layout: Layout, above: i64, up_to: i64) -> Header {
        Header { format: "cassandra-rows".to_owned(), version: 1, layout, above, up_to }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a header is plain data");
        line.push(b'\n');
        line
    }
}

/// Rows that follow were read at this second.
pub(super) fn put_page(out: &mut Vec<u8>, second: i64) {
    out.push(PAGE);
    out.extend_from_slice(&second.to_be_bytes());
}

/// A row's cells.
pub(super) fn put_row<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = Option<&'a [u8]>>) {
    out.push(ROW);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    cells.for_each(|cell| cells::put(out, cell));
    let length = u32::try_from(out.len() - at - 4).expect("a row that fits into an answer has less than 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// The end, with the number of rows.
pub(super) fn put_end(out: &mut Vec<u8>, rows: u64) {
    out.push(END);
    out.extend_from_slice(&rows.to_be_bytes());
}

/// What a stream consists of after its header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The second at which the following rows were read.
    Page(i64),
    /// Cells, each with its length.
    Row(Vec<u8>),
    /// The number of rows.
    End(u64),
}

/// Takes a stream apart as it comes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
    at: usize,
    header: Option<Header>,
    rows: u64,
    ended: bool,
}

impl Decoder {
    /// Adds bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn bad(why: impl ToString) -> CassandraError {
        CassandraError::Saved { what: "stream of rows".to_owned(), why: why.to_string() }
    }

    /// The header, once it is there.
    pub(super) fn header(&mut self) -> Result<Option<&Header>, CassandraError> {
        if self.header.is_none() {
            let rest = &self.buffer[self.at..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let header: Header = serde_json::from_slice(&rest[..end]).map_err(Self::bad)?;
            if header.format != "cassandra-rows" || header.version != 1 {
                return Err(Self::bad(format!("its form is {} {}, and this program knows cassandra-rows 1", header.format, header.version)));
            }
            self.at += end + 1;
            self.header = Some(header);
        }
        Ok(self.header.as_ref())
    }

    /// The next item, once it is there.
    pub(super) fn item(&mut self) -> Result<Option<Item>, CassandraError> {
        if self.header()?.is_none() {
            return Ok(None);
        }
        let rest = &self.buffer[self.at..];
        let Some((tag, rest)) = rest.split_first() else { return Ok(None) };
        if self.ended {
            return Err(Self::bad("there are bytes after its end"));
        }
        let (item, taken) = match *tag {
            PAGE => match rest.first_chunk::<8>() {
                Some(second) => (Item::Page(i64::from_be_bytes(*second)), 8),
                None => return Ok(None),
            },
            END => match rest.first_chunk::<8>() {
                Some(rows) => (Item::End(u64::from_be_bytes(*rows)), 8),
                None => return Ok(None),
            },
            ROW => {
                let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
                let length = u32::from_be_bytes(*length) as usize;
                match rest.get(..length) {
                    Some(row) => (Item::Row(row.to_vec()), 4 + length),
                    None => return Ok(None),
                }
            }
            other => return Err(Self::bad(format!("an item begins with {other}"))),
        };
        self.at += 1 + taken;
        match &item {
            Item::Row(_) => self.rows += 1,
            Item::End(rows) if *rows != self.rows => return Err(Self::bad(format!("it says that it has {rows} rows, and has {}", self.rows))),
            Item::End(_) => self.ended = true,
            Item::Page(_) => {}
        }
        Ok(Some(item))
    }

    /// Whether everything came.
    pub(super) fn finish(&self) -> Result<(), CassandraError> {
        if self.ended && self.at == self.buffer.len() { Ok(()) } else { Err(Self::bad("it ends too early")) }
    }
}

/// The cells of a row.
pub(super) fn cells(row: &[u8]) -> Result<Vec<Option<&[u8]>>, CassandraError> {
    let mut rest = row;
    let mut found = Vec::new();
    while !rest.is_empty() {
        found.push(cells::take(&mut rest).ok_or_else(|| Decoder::bad("a row is cut short"))?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_back_in_any_pieces_and_a_short_one_is_refused() {
        let header = Header::new(Layout { keyspace: "k".into(), table: "t".into(), columns: Vec::new(), counter: false, default_ttl: 0 }, -1, 1);
        let mut stream = header.encode();
        put_page(&mut stream, 7);
        put_row(&mut stream, [Some(&b"ab"[..]), None].into_iter());
        put_end(&mut stream, 1);
        for piece in [1, 3, 1000] {
            let mut decoder = Decoder::default();
            let mut items = Vec::new();
            for part in stream.chunks(piece) {
                decoder.feed(part);
                while let Some(item) = decoder.item().unwrap() {
                    items.push(item);
                }
            }
            decoder.finish().unwrap();
            assert_eq!(decoder.header().unwrap(), Some(&header));
            let [Item::Page(7), Item::Row(row), Item::End(1)] = &items[..] else { panic!("{items:?}") };
            assert_eq!(cells(row).unwrap(), [Some(&b"ab"[..]), None]);
        }
        let mut decoder = Decoder::default();
        decoder.feed(&stream[..stream.len() - 1]);
        while decoder.item().unwrap().is_some() {}
        assert!(decoder.finish().is_err());
    }
}
