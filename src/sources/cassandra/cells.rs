//! Raw cells: values exactly as they travel, never decoded, and the elements of those that can be written one by one.

/// What a column's values consist of, where its elements have times of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One cell: scalars, and all that is frozen.
    Whole,
    /// One cell per element; a set and a map by key, a list by order.
    Set,
    /// See `Set`.
    Map,
    /// See `Set`.
    List,
    /// One cell per field.
    Fields,
}

impl Form {
    /// The form of a CQL type.
    pub(super) fn of(ty: &str) -> Form {
        match super::cql::split(ty).0 {
            "set" => Form::Set,
            "map" => Form::Map,
            "list" => Form::List,
            _ if is_simple(ty) => Form::Whole,
            _ => Form::Fields,
        }
    }
}

/// Whether a CQL type is one of Cassandra's own that is written as a whole.
fn is_simple(ty: &str) -> bool {
    const SCALARS: [&str; 22] = [
        "ascii",
        "bigint",
        "blob",
        "boolean",
        "counter",
        "date",
        "decimal",
        "double",
        "duration",
        "float",
        "inet",
        "int",
        "smallint",
        "text",
        "time",
        "timestamp",
        "timeuuid",
        "tinyint",
        "uuid",
        "varchar",
        "varint",
        "empty",
    ];
    // Types of other makers stand as class names in single quotes, and are written as blobs.
    let name = super::cql::split(ty).0;
    SCALARS.contains(&name) || matches!(name, "frozen" | "tuple" | "vector") || ty.starts_with('\'')
}

/// Takes a value with its length off the front: `Some(None)` for null, `None` when the bytes are cut short.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *bytes = rest;
        return Some(None);
    };
    let (value, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(value))
}

/// Appends a value with its length.
pub(super) fn put(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("no value of Cassandra has 2 GiB"));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}

/// A number of 4 bytes.
pub(super) fn int(bytes: &[u8]) -> Option<i64> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?).into())
}

/// A number of 8 bytes.
pub(super) fn long(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

/// The elements of a value, each as it is written: a set's and a list's element with its length, a map's key and value with theirs, a
/// field with its length. Nulls among fields are left as they are.
pub(super) fn elements(form: Form, mut value: &[u8]) -> Option<Vec<&[u8]>> {
    let count = match form {
        Form::Whole => return None,
        Form::Fields => usize::MAX,
        Form::Set | Form::List | Form::Map => {
            let (count, rest) = value.split_first_chunk::<4>()?;
            value = rest;
            usize::try_from(i32::from_be_bytes(*count)).ok()?
        }
    };
    let mut found = Vec::new();
    while found.len() < count && !(form == Form::Fields && value.is_empty()) {
        let whole = value;
        take(&mut value)?;
        if form == Form::Map {
            take(&mut value)?;
        }
        found.push(&whole[..whole.len() - value.len()]);
    }
    Some(found)
}

/// A collection of some elements.
pub(super) fn collection<'a>(elements: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = i32::try_from(elements.len()).expect("collections have at most 2^31 elements").to_be_bytes().to_vec();
    elements.for_each(|element| out.extend_from_slice(element));
    out
}

/// Numbers in a list of times or TTLs, with nulls where an element has none.
pub(super) fn numbers(mut value: &[u8]) -> Option<Vec<Option<i64>>> {
    let (count, rest) = value.split_first_chunk::<4>()?;
    value = rest;
    let mut found = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        found.push(match take(&mut value)? {
            None => None,
            Some(number) if number.len() == 8 => Some(long(number)?),
            Some(number) => Some(int(number)?),
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_come_apart_and_together() {
        let mut value = 2i32.to_be_bytes().to_vec();
        for text in ["a", "one", "b", "two"] {
            put(&mut value, Some(text.as_bytes()));
        }
        let parts = elements(Form::Map, &value).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(collection(parts.iter().copied()), value);
        assert_eq!(elements(Form::Map, &value[..value.len() - 1]), None);
    }

    #[test]
    fn numbers_may_be_null() {
        let mut value = 2i32.to_be_bytes().to_vec();
        put(&mut value, None);
        put(&mut value, Some(&7i32.to_be_bytes()));
        assert_eq!(numbers(&value), Some(vec![None, Some(7)]));
    }

    #[test]
    fn forms_follow_types() {
        assert_eq!(Form::of("map<text, int>"), Form::Map);
        assert_eq!(Form::of("frozen<map<text, int>>"), Form::Whole);
        assert_eq!(Form::of("\"MyType\""), Form::Fields);
        assert_eq!(Form::of("vector<float, 3>"), Form::Whole);
    }
}
