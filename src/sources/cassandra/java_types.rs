//! Types as Java class names, the only form that 2.2 has, in the words of CQL.

use super::cql;

/// A CQL type, and whether it was marked as reversed.
pub(super) fn to_cql(class: &str) -> Option<(String, bool)> {
    let mut parser = Parser { rest: class.trim() };
    let parsed = parser.ty(false)?;
    parser.rest.trim().is_empty().then_some(parsed)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(['(', ')', ',', ':']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.trim()
    }

    fn eat(&mut self, letter: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(letter)?;
        Some(())
    }

    /// Parameters in parentheses.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.eat('(')?;
        let mut found = Vec::new();
        loop {
            found.push(one(self)?);
            if self.eat(',').is_none() {
                self.eat(')')?;
                return Some(found);
            }
        }
    }

    /// `frozen`: whether what contains it is.
    fn ty(&mut self, frozen: bool) -> Option<(String, bool)> {
        let full = self.word();
        let name = full.rsplit('.').next().unwrap_or(full);
        let inner = |parser: &mut Self, frozen| parser.list(|parser| Some(parser.ty(frozen)?.0));
        // Tuples and user types are always frozen in 2.2; collections inside others too.
        let cold = |text: String, frozen: bool| if frozen { format!("frozen<{text}>") } else { text };
        let simple = match name {
            "ReversedType" => {
                let parts = self.list(|parser| parser.ty(frozen))?;
                return Some((parts.into_iter().next()?.0, true));
            }
            "FrozenType" => return Some((inner(self, true)?.into_iter().next()?, false)),
            "ListType" | "SetType" | "MapType" => {
                let parts = inner(self, true)?;
                let word = name.trim_end_matches("Type").to_lowercase();
                return Some((cold(format!("{word}<{}>", parts.join(", ")), frozen), false));
            }
            "TupleType" => return Some((format!("frozen<tuple<{}>>", inner(self, true)?.join(", ")), false)),
            "UserType" => return Some((format!("frozen<{}>", cql::quoted(&self.user_type()?.0)), false)),
            "AsciiType" => "ascii",
            "LongType" => "bigint",
            "BytesType" => "blob",
            "BooleanType" => "boolean",
            "CounterColumnType" => "counter",
            "SimpleDateType" => "date",
            "DecimalType" => "decimal",
            "DoubleType" => "double",
            "FloatType" => "float",
            "InetAddressType" => "inet",
            "Int32Type" => "int",
            "ShortType" => "smallint",
            "UTF8Type" => "text",
            "TimeType" => "time",
            "TimestampType" | "DateType" => "timestamp",
            "TimeUUIDType" => "timeuuid",
            "ByteType" => "tinyint",
            "UUIDType" => "uuid",
            "IntegerType" => "varint",
            "DurationType" => "duration",
            _ => return None,
        };
        Some((simple.to_owned(), false))
    }

    /// Name and fields of a user type: keyspace, name in hexadecimal, fields as name in hexadecimal and type.
    fn user_type(&mut self) -> Option<(String, Vec<(String, String)>)> {
        self.eat('(')?;
        self.word();
        self.eat(',')?;
        let name = String::from_utf8(hex::decode(self.word()).ok()?).ok()?;
        let mut fields = Vec::new();
        while self.eat(',').is_some() {
            let field = String::from_utf8(hex::decode(self.word()).ok()?).ok()?;
            self.eat(':')?;
            fields.push((field, self.ty(true)?.0));
        }
        self.eat(')')?;
        Some((name, fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_types() {
        let p = "org.apache.cassandra.db.marshal.";
        let cql = |text: &str| to_cql(&text.replace('@', p)).unwrap();
        assert_eq!(cql("@Int32Type"), ("int".to_owned(), false));
        assert_eq!(cql("@ReversedType(@TimestampType)"), ("timestamp".to_owned(), true));
        assert_eq!(cql("@MapType(@UTF8Type,@FrozenType(@SetType(@Int32Type)))").0, "map<text, frozen<set<int>>>");
        assert_eq!(cql("@FrozenType(@ListType(@Int32Type))").0, "frozen<list<int>>");
        assert_eq!(cql("@TupleType(@Int32Type,@UserType(ks,4d7954,61:@Int32Type,62:@UTF8Type))").0, "frozen<tuple<int, frozen<\"MyT\">>>");
        assert_eq!(to_cql("org.example.Odd"), None);
    }
}
