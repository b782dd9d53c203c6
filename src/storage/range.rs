//! That what came is what was asked for.

use std::ops::Range;

use super::ErrorKind;

/// Why bytes cannot be had, with a note for the reader.
pub(super) type Refusal = (ErrorKind, String);

/// Refuses a range that asks for nothing.
pub(super) fn check_asked(range: Option<&Range<u64>>) -> Result<(), Refusal> {
    match range {
        Some(range) if range.is_empty() => Err((ErrorKind::Invalid, format!("bytes {}..{} are none", range.start, range.end))),
        _ => Ok(()),
    }
}

/// Compares the length that came with what was asked; `size` is the length of the object, or of the answer's promise.
pub(super) fn check_came(range: Option<&Range<u64>>, size: u64, came: u64) -> Result<(), Refusal> {
    let (start, end) = range.map_or((0, size), |range| (range.start, range.end));
    if end > size {
        return Err((ErrorKind::Invalid, format!("bytes {start}..{end} of {size}")));
    }
    match came == end - start {
        true => Ok(()),
        false => Err((ErrorKind::Unavailable, format!("{came} of {} bytes came", end - start))),
    }
}

/// The size of the object in a `Content-Range: bytes 0-9/100`.
pub(super) fn size_in(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_answer_is_transient_and_a_range_beyond_the_end_is_not() {
        assert_eq!(check_came(None, 10, 9).unwrap_err().0, ErrorKind::Unavailable);
        assert_eq!(check_came(Some(&(5..15)), 10, 5).unwrap_err().0, ErrorKind::Invalid);
        assert_eq!(check_came(Some(&(5..9)), size_in("bytes 5-8/10").unwrap(), 4), Ok(()));
        assert!(check_asked(Some(&(3..3))).is_err());
    }
}
