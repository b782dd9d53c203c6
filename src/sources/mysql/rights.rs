//! What an account may see. Servers leave out what it may not, without an error: so its rights are compared with what a capture needs.

use std::collections::BTreeSet;

use super::connect::{Make, Server, Session, code};
use crate::{config::MysqlConfig, sources::SourceError};

/// The rights of an account, by where they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// Right, and the database or nothing for everywhere.
    held: BTreeSet<(String, Option<String>)>,
    /// Rights that were taken away in a database.
    revoked: BTreeSet<(String, String)>,
}

/// Without one of these an object is invisible, or its definition is.
const NEEDED: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];

/// One of these shows routines and what is in them; the second stands for SELECT on the table `mysql.proc`.
const ROUTINES: [&str; 4] = ["SELECT", "SELECT ON mysql.proc", "SHOW_ROUTINE", "SHOW CREATE ROUTINE"];

impl Rights {
    /// Asks the server for the session's own rights, those of its active roles included.
    pub(super) async fn read(session: &mut Session, server: &Server) -> Result<Rights, SourceError> {
        let doing = "read the account's rights";
        let mut sql = "show grants".to_owned();
        if server.is(Make::MySql, (8, 0, 0)) {
            let role: Option<String> = session.first("select current_role()", doing).await?;
            if let Some(role) = role.filter(|role| role != "NONE") {
                sql = format!("show grants for current_user() using {role}");
            }
        }
        let lines: Vec<String> = session.rows(&sql, doing).await?;
        let mut rights = Rights::default();
        lines.iter().for_each(|line| rights.add(line));
        Ok(rights)
    }

    fn add(&mut self, line: &str) {
        let (revoked, rest) = match (line.strip_prefix("GRANT "), line.strip_prefix("REVOKE ")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return,
        };
        let Some((names, place)) = rest.split_once(" ON ") else { return };
        if place.starts_with("`mysql`.`proc` ") && names.contains("SELECT") && !revoked {
            self.held.insert((ROUTINES[1].to_owned(), None));
        }
        let Some(database) = place.split_once(".*").map(|(database, _)| database) else { return };
        let database = (database != "*").then(|| unescaped(database.trim_matches('`')));
        for name in names.split(',') {
            let name = if name.trim().starts_with("ALL PRIVILEGES") { "ALL" } else { name.trim() };
            match (&database, revoked) {
                (Some(database), true) => drop(self.revoked.insert((name.to_owned(), database.clone()))),
                (None, true) => {}
                (_, false) => drop(self.held.insert((name.to_owned(), database.clone()))),
            }
        }
    }

    /// Whether a right holds in `database`, or everywhere when none is named.
    pub(super) fn has(&self, right: &str, database: Option<&str>) -> bool {
        let at = |place: Option<String>| self.held.contains(&(right.to_owned(), place.clone())) || self.held.contains(&("ALL".to_owned(), place));
        let taken = |name: &str| match database {
            Some(database) => self.revoked.contains(&(name.to_owned(), database.to_owned())),
            None => self.revoked.iter().any(|(revoked, _)| revoked == name),
        };
        (at(None) && !taken(right) && !taken("ALL")) || database.is_some_and(|database| at(Some(database.to_owned())))
    }

    /// Refuses an account from which part of what is to be captured would be hidden.
    pub(super) fn check(&self, config: &MysqlConfig) -> Result<(), SourceError> {
        let lacks = |database: Option<&str>| -> Vec<&str> { NEEDED.into_iter().filter(|right| !self.has(right, database)).collect() };
        let hint = Some("docs/how-to/mysql.md has the grants that a backup account needs");
        let refuse = |missing: Vec<&str>, place: String| {
            Err(super::denied(
                format!("the account {}", config.user),
                &format!("lacks {} on {place}: objects would be missing without an error", missing.join(", ")),
                hint,
            ))
        };
        if config.databases.is_empty() || config.users {
            let missing = lacks(None);
            return if missing.is_empty() { Ok(()) } else { refuse(missing, "*.*".to_owned()) };
        }
        for database in &config.databases {
            let missing = lacks(Some(database));
            if !missing.is_empty() {
                return refuse(missing, format!("{database}.*"));
            }
            let shown =
                ROUTINES.iter().any(|right| self.has(right, None)) || self.has(ROUTINES[3], Some(database)) || self.has("SELECT", Some("mysql"));
            if !shown {
                let why = format!("may not see the routines of {database}: they would be missing without an error");
                return Err(super::denied(format!("the account {}", config.user), &why, hint));
            }
        }
        Ok(())
    }
}

/// A database's name in a grant is a pattern, in which `\_` and `\%` stand for themselves.
fn unescaped(name: &str) -> String {
    name.replace("``", "`").replace("\\_", "_").replace("\\%", "%")
}

/// Whether an error says that a right is missing, or that the server does not let anybody do this.
pub(super) fn is_missing_right(error: &SourceError) -> bool {
    matches!(code(error), Some(1044 | 1045 | 1142 | 1227 | 1290 | 1370 | 1064 | 1235 | 4165))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(lines: &[&str]) -> Rights {
        let mut rights = Rights::default();
        lines.iter().for_each(|line| rights.add(line));
        rights
    }

    #[test]
    fn rights_hold_everywhere_or_in_a_database_unless_they_were_taken_away() {
        let some =
            rights(&["GRANT USAGE ON *.* TO `b`@`%`", "GRANT SELECT, SHOW VIEW ON `my\\_app`.* TO `b`@`%`", "GRANT SELECT ON `x`.`t` TO `b`@`%`"]);
        assert!(some.has("SELECT", Some("my_app")) && some.has("SHOW VIEW", Some("my_app")));
        assert!(!some.has("SELECT", None) && !some.has("EVENT", Some("my_app")) && !some.has("SELECT", Some("x")));
        let most = rights(&["GRANT SELECT, EVENT ON *.* TO `b`@`%`", "REVOKE SELECT ON `hr`.* FROM `b`@`%`"]);
        assert!(most.has("EVENT", None) && !most.has("SELECT", None) && most.has("SELECT", Some("a")) && !most.has("SELECT", Some("hr")));
        let some = rights(&["GRANT SELECT ON `mysql`.`proc` TO `b`@`%`", "GRANT BACKUP_ADMIN,SHOW_ROUTINE ON *.* TO `b`@`%`"]);
        assert!(some.has(ROUTINES[1], None) && some.has("SHOW_ROUTINE", None) && !some.has("SELECT", None));
        let all = rights(&["GRANT ALL PRIVILEGES ON *.* TO `lab`@`%` IDENTIFIED BY PASSWORD '*x' WITH GRANT OPTION"]);
        assert!(NEEDED.iter().all(|right| all.has(right, None)));
    }
}
