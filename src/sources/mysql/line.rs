//! Rows as lines that `LOAD DATA` reads: fields between tabs, `\N` for null, and `\\ \t \n \0` for the bytes that would be taken for something else.

/// Appends a field's bytes, or null.
pub(super) fn field(line: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(mut bytes) = value else { return line.extend_from_slice(b"\\N") };
    let special = |byte: &u8| matches!(byte, b'\\' | b'\t' | b'\n' | 0);
    // Most fields are plain. Asked of many bytes at a time that costs little.
    if !bytes.chunks(64).any(|part| part.iter().fold(false, |found, byte| found | special(byte))) {
        return line.extend_from_slice(bytes);
    }
    while let Some(at) = bytes.iter().position(special) {
        line.extend_from_slice(&bytes[..at]);
        line.extend_from_slice(match bytes[at] {
            b'\\' => b"\\\\",
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\0",
        });
        bytes = &bytes[at + 1..];
    }
    line.extend_from_slice(bytes);
}

/// The fields of a line (without its line feed), still escaped.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\t')
}

/// Appends an escaped field as a literal of SQL: the escapes are the same, the quote comes on top.
pub(super) fn literal(sql: &mut Vec<u8>, field: &[u8]) {
    if field == b"\\N" {
        return sql.extend_from_slice(b"null");
    }
    sql.push(b'\'');
    for byte in field {
        if *byte == b'\'' {
            sql.push(b'\\');
        }
        sql.push(*byte);
    }
    sql.push(b'\'');
}

/// An escaped field for people: at most 80 characters, in hexadecimal when it is no text.
pub(super) fn shown(field: &[u8]) -> String {
    let text = std::str::from_utf8(field).ok().filter(|text| !text.chars().any(char::is_control));
    let text = text.map_or_else(|| format!("0x{}", hex::encode(field)), str::to_owned);
    if text.chars().count() > 80 { text.chars().take(79).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_mean_something_are_escaped_and_null_is_not_the_text_of_null() {
        let mut line = Vec::new();
        for value in [Some(&b"a\tb\\c\nd\0e\rf'g"[..]), None, Some(b""), Some(b"\\N")] {
            field(&mut line, value);
            line.push(b'\t');
        }
        assert_eq!(line, b"a\\tb\\\\c\\nd\\0e\rf'g\t\\N\t\t\\\\N\t");
        let fields: Vec<&[u8]> = fields(&line[..line.len() - 1]).collect();
        assert_eq!(fields.len(), 4);
        let mut sql = Vec::new();
        fields.iter().for_each(|field| literal(&mut sql, field));
        assert_eq!(sql, b"'a\\tb\\\\c\\nd\\0e\rf\\'g'null'''\\\\N'");
        assert_eq!((shown(b"plain"), shown(b"\xff\x01")), ("plain".to_owned(), "0xff01".to_owned()));
    }
}
