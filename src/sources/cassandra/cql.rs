//! Words of CQL: names, literals, and the parts of types.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr};

/// A name, always in quotes: then its case is kept and it is never a keyword.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A map literal of texts.
pub(super) fn map(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{}: {}", text(key), text(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A keyspace and something in it.
pub(super) fn path(keyspace: &str, name: &str) -> String {
    format!("{}.{}", quoted(keyspace), quoted(name))
}

/// The names in a CQL type, without quotes.
pub(super) fn words(ty: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut rest = ty.chars().peekable();
    while let Some(first) = rest.next() {
        let mut word = String::new();
        if first == '"' {
            while let Some(next) = rest.next() {
                if next != '"' {
                    word.push(next);
                } else if rest.next_if_eq(&'"').is_some() {
                    word.push('"');
                } else {
                    break;
                }
            }
        } else if first.is_alphanumeric() || first == '_' {
            word.push(first);
            while let Some(next) = rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else {
            continue;
        }
        found.push(word);
    }
    found.into_iter()
}

/// A type's name and its parameters: `map`, [`text`, `int`].
pub(super) fn split(ty: &str) -> (&str, Vec<&str>) {
    let ty = ty.trim();
    let (Some(open), true) = (ty.find('<').filter(|_| !ty.starts_with('"')), ty.ends_with('>')) else { return (ty, Vec::new()) };
    let inner = &ty[open + 1..ty.len() - 1];
    let (mut depth, mut start, mut quoted, mut parts) = (0, 0, false, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inner[start..].trim());
    (&ty[..open], parts)
}

/// A value for people and for INITCOND, from its bytes; in hexadecimal where the type has no short form.
pub(super) fn literal(ty: &str, bytes: &[u8]) -> String {
    fn number<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
    let (name, parts) = split(ty);
    let plain = match name {
        "frozen" => parts.first().map(|inner| literal(inner, bytes)),
        "ascii" | "text" | "varchar" => std::str::from_utf8(bytes).ok().map(text),
        "tinyint" => number(bytes).map(|b| i8::from_be_bytes(b).to_string()),
        "smallint" => number(bytes).map(|b| i16::from_be_bytes(b).to_string()),
        "int" => number(bytes).map(|b| i32::from_be_bytes(b).to_string()),
        "bigint" | "counter" => number(bytes).map(|b| i64::from_be_bytes(b).to_string()),
        "timestamp" => {
            number(bytes).map(i64::from_be_bytes).map(|ms| jiff::Timestamp::from_millisecond(ms).map_or(ms.to_string(), |at| format!("'{at}'")))
        }
        "float" => number(bytes).map(|b| f32::from_be_bytes(b).to_string()),
        "double" => number(bytes).map(|b| f64::from_be_bytes(b).to_string()),
        "boolean" => number::<1>(bytes).map(|b| (b[0] != 0).to_string()),
        "uuid" | "timeuuid" => number::<16>(bytes).map(|b| {
            let hex = hex::encode(b);
            format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }),
        "inet" => number::<4>(bytes).map(IpAddr::from).or_else(|| number::<16>(bytes).map(IpAddr::from)).map(|address| format!("'{address}'")),
        "tuple" => tuple(&parts, bytes),
        _ => None,
    };
    plain.unwrap_or_else(|| {
        let shown = &bytes[..bytes.len().min(64)];
        bytes_literal(shown) + if shown.len() < bytes.len() { "…" } else { "" }
    })
}

/// A blob literal.
pub(super) fn bytes_literal(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn tuple(parts: &[&str], mut bytes: &[u8]) -> Option<String> {
    let mut shown = Vec::new();
    for part in parts {
        let value = if bytes.is_empty() { None } else { super::cells::take(&mut bytes)? };
        shown.push(value.map_or("null".to_owned(), |value| literal(part, value)));
    }
    Some(format!("({})", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_types_are_found_with_and_without_quotes() {
        let found: Vec<String> = words(r#"map<text, frozen<"My ""T">>"#).collect();
        assert_eq!(found, ["map", "text", "frozen", "My \"T"]);
        assert_eq!(split(r#"map<text, frozen<tuple<int, "a,>b">>>"#), ("map", vec!["text", r#"frozen<tuple<int, "a,>b">>"#]));
    }

    #[test]
    fn values_become_literals() {
        assert_eq!(literal("text", b"it's"), "'it''s'");
        assert_eq!(literal("frozen<tuple<int, bigint>>", &[0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255]), "(7, null)");
        assert_eq!(literal("varint", &[1, 2]), "0x0102");
    }
}
