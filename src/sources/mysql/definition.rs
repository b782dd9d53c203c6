//! Definitions as lines of JSON, each with a statement of SQL; and what has to be done to a statement before it runs elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a definition makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Database,
    Sequence,
    Table,
    Key,
    ForeignKey,
    Function,
    Procedure,
    Package,
    PackageBody,
    View,
    Trigger,
    Event,
    Role,
    User,
    Grant,
}

impl Kind {
    /// The words of SQL.
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Database => "database",
            Kind::Sequence => "sequence",
            Kind::Table => "table",
            Kind::Key => "key",
            Kind::ForeignKey => "foreign key",
            Kind::Function => "function",
            Kind::Procedure => "procedure",
            Kind::Package => "package",
            Kind::PackageBody => "package body",
            Kind::View => "view",
            Kind::Trigger => "trigger",
            Kind::Event => "event",
            Kind::Role => "role",
            Kind::User => "user",
            Kind::Grant => "grant",
        }
    }
}

/// One object, by the statement that makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub kind: Kind,
    /// Its database; empty for accounts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub database: String,
    pub name: String,
    /// The table that it belongs to, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The statement; in `database`, with `session`.
    pub sql: String,
    /// Statements that follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// Variables of the session that made it: `sql_mode`, `character_set_client`, `collation_connection`, `time_zone`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub session: BTreeMap<String, String>,
    /// A view of what does not exist: the server would not make it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invalid: bool,
}

impl Definition {
    /// One line, with its line feed.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a definition is plain data");
        line.push(b'\n');
        line
    }

    /// What is compared after a restore: the line without what may differ between equals, in an order that does not depend on when keys were added.
    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut same = self.clone();
        match self.kind {
            Kind::Table => {
                let mut lines: Vec<String> = self.sql.lines().map(|line| without_charset(line.trim_end_matches(','))).collect();
                lines.sort_unstable();
                same.sql = without_counter(&lines.join("\n"));
            }
            Kind::Event => same.sql = disabled(&self.sql),
            Kind::Sequence => same.then.clear(),
            _ => {}
        }
        same.line()
    }
}

/// A column without the character set that its collation names too: MySQL shows it or not, depending on how the column was made.
fn without_charset(line: &str) -> String {
    let parts = line.split_once(" CHARACTER SET ").and_then(|(head, rest)| Some((head, rest.split_once(' ')?.1)));
    parts.filter(|(_, rest)| rest.starts_with("COLLATE ")).map_or_else(|| line.to_owned(), |(head, rest)| format!("{head} {rest}"))
}

/// `CREATE TABLE` without the number that comes next.
fn without_counter(sql: &str) -> String {
    let Some((head, tail)) = sql.rsplit_once(" AUTO_INCREMENT=") else { return sql.to_owned() };
    format!("{head}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// `CREATE EVENT` of an event that does not run.
pub(super) fn disabled(sql: &str) -> String {
    for preserve in ["ON COMPLETION NOT PRESERVE", "ON COMPLETION PRESERVE"] {
        if let Some((head, tail)) = sql.split_once(&format!(" {preserve} ENABLE")) {
            return format!("{head} {preserve} DISABLE{tail}");
        }
    }
    sql.to_owned()
}

/// `CREATE TABLE` without the keys that can be added once the rows are there, those keys as statements of `ALTER TABLE` (all plain ones
/// together), and its foreign keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub table: String,
    /// Clauses of keys that are added together.
    pub keys: Vec<String>,
    /// Clauses of keys that are added one by one.
    pub single_keys: Vec<String>,
    pub foreign_keys: Vec<String>,
}

/// Takes `CREATE TABLE`, as the server prints it, apart. Keys stay where they are when `keep_keys`.
pub(super) fn split(sql: &str, keep_keys: bool) -> Split {
    let mut split = Split::default();
    let lines: Vec<&str> = sql.lines().collect();
    let end = lines.iter().rposition(|line| line.starts_with(')')).unwrap_or(lines.len());
    let counted = lines.iter().find(|line| line.starts_with("  `") && line.contains(" AUTO_INCREMENT")).map(|line| first_name(line));
    let has_primary = lines.iter().any(|line| line.starts_with("  PRIMARY KEY"));
    // The server wants a key for a column that counts; the primary key is one when it begins with that column.
    let covered = counted.is_none_or(|name| lines.iter().any(|line| line.starts_with(&format!("  PRIMARY KEY (`{name}`"))));
    let defer = !keep_keys && covered;
    let mut body: Vec<&str> = Vec::new();
    for line in lines.iter().take(end).skip(1) {
        let clause = line.trim_start().trim_end_matches(',');
        let is = |head: &str| line.starts_with(&format!("  {head}"));
        if is("CONSTRAINT `") && clause.contains(" FOREIGN KEY (") {
            split.foreign_keys.push(clause.to_owned());
        } else if defer && (is("KEY `") || (has_primary && is("UNIQUE KEY `"))) {
            split.keys.push(clause.to_owned());
        } else if defer && (is("FULLTEXT KEY `") || is("SPATIAL KEY `")) {
            split.single_keys.push(clause.to_owned());
        } else {
            body.push(line.trim_end_matches(','));
        }
    }
    let head = lines.first().copied().unwrap_or_default();
    let tail = lines.get(end..).unwrap_or_default().join("\n");
    split.table = format!("{head}\n{}\n{tail}", body.join(",\n"));
    split
}

fn first_name(line: &str) -> &str {
    line.trim_start().trim_start_matches('`').split('`').next().unwrap_or_default()
}

/// The name that a clause of a key or a constraint gives it.
pub(super) fn clause_name(clause: &str) -> String {
    let Some((_, rest)) = clause.split_once('`') else { return String::new() };
    let mut name = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '`' {
            name.push(c);
        } else if chars.next_if_eq(&'`').is_some() {
            name.push('`');
        } else {
            break;
        }
    }
    name
}

/// The statement with databases renamed where it quotes them before a dot; texts and comments in it stay.
pub(super) fn renamed(sql: &str, rename: &BTreeMap<String, String>) -> String {
    if rename.is_empty() {
        return sql.to_owned();
    }
    let (mut out, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find(['`', '\'', '"']) {
        let mark = rest[at..].chars().next().expect("a mark was found here");
        let length = quoted_length(&rest[at..], mark);
        let (token, after) = (&rest[at..at + length], &rest[at + length..]);
        out.push_str(&rest[..at]);
        match rename.get(&clause_name(token)) {
            Some(new) if mark == '`' && after.starts_with('.') => out.push_str(&super::connect::quote(new)),
            _ => out.push_str(token),
        }
        rest = after;
    }
    out + rest
}

/// How long a quoted text is, its marks included.
fn quoted_length(text: &str, mark: char) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == b'\\' && mark != '`' {
            at += 2;
        } else if bytes[at] == mark as u8 {
            if bytes.get(at + 1) != Some(&(mark as u8)) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The account that a statement names as its definer, as it stands there.
pub(super) fn definer(sql: &str) -> Option<&str> {
    let (_, rest) = sql.split_once("DEFINER=")?;
    let mut at = 0;
    for part in 0..2 {
        match rest[at..].chars().next()? {
            mark @ ('`' | '\'' | '"') => at += quoted_length(&rest[at..], mark),
            _ => at += rest[at..].find([' ', '@']).unwrap_or(rest.len() - at),
        }
        if part == 0 {
            if !rest[at..].starts_with('@') {
                break;
            }
            at += 1;
        }
    }
    rest.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_foreign_keys_are_taken_out_of_a_table_and_what_it_needs_stays() {
        let sql = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a` int(11) DEFAULT NULL COMMENT 'KEY `x`',\n  PRIMARY KEY (`id`),\n  \
                   UNIQUE KEY `u` (`a`),\n  KEY `k``1` (`a`,`id`),\n  FULLTEXT KEY `f` (`b`),\n  CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `o`.`p` (`id`),\n  \
                   CONSTRAINT `c` CHECK (`a` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4\n PARTITION BY HASH (`id`)";
        let taken = split(sql, false);
        assert_eq!(taken.keys, ["UNIQUE KEY `u` (`a`)", "KEY `k``1` (`a`,`id`)"]);
        assert_eq!((&*clause_name(&taken.keys[1]), &*taken.single_keys[0]), ("k`1", "FULLTEXT KEY `f` (`b`)"));
        assert_eq!(taken.foreign_keys, ["CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `o`.`p` (`id`)"]);
        let rest = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `a` int(11) DEFAULT NULL COMMENT 'KEY `x`',\n  PRIMARY KEY (`id`),\n  \
                    CONSTRAINT `c` CHECK (`a` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4\n PARTITION BY HASH (`id`)";
        assert_eq!(taken.table, rest);
        let counted = "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  KEY `id` (`id`)\n) ENGINE=InnoDB";
        assert_eq!(split(counted, false), Split { table: counted.to_owned(), ..Split::default() });
    }

    #[test]
    fn a_database_is_renamed_where_it_qualifies_a_name_and_nowhere_else() {
        let rename = BTreeMap::from([("a`b".to_owned(), "new".to_owned())]);
        let sql = "select `a``b`.`t`.`x` AS `a``b`,'`a``b`.' AS y, \"it''s \\\" `a``b`.\" from `a``b`.`t`";
        assert_eq!(renamed(sql, &rename), "select `new`.`t`.`x` AS `a``b`,'`a``b`.' AS y, \"it''s \\\" `a``b`.\" from `new`.`t`");
    }

    #[test]
    fn a_table_is_the_same_whether_or_not_its_collations_character_set_is_shown() {
        let column = |text: &str| without_charset(&format!("  `c` varchar(9) {text}DEFAULT NULL"));
        assert_eq!(column("CHARACTER SET latin1 COLLATE latin1_bin "), column("COLLATE latin1_bin "));
        assert_ne!(column("CHARACTER SET latin1 "), column(""));
    }

    #[test]
    fn definers_are_found_and_events_are_told_not_to_run() {
        assert_eq!(definer("CREATE DEFINER=`o``b`@`%` PROCEDURE `p`()"), Some("`o``b`@`%`"));
        assert_eq!(definer("CREATE PROCEDURE `p`()"), None);
        let event = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO select 'ON COMPLETION PRESERVE ENABLE'";
        assert!(disabled(event).contains("NOT PRESERVE DISABLE DO select 'ON COMPLETION PRESERVE ENABLE'"));
    }
}
