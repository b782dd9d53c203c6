//! Accounts: roles, users, and what they may do.

use std::collections::BTreeMap;

use super::{
    connect::{Make, Server, Session, code, literal},
    definition::{Definition, Kind},
};
use crate::sources::SourceError;

/// Accounts that every server makes for itself.
const OWN: [&str; 5] = ["mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC"];

/// All accounts but the server's own: roles and users first, then their grants. The second list names those that stand in the server's
/// table and that it does not know: with `skip_name_resolve`, those of a host's name.
pub(super) async fn users(session: &mut Session, server: &Server) -> Result<(Vec<Definition>, Vec<String>), SourceError> {
    let doing = "list the accounts";
    let roles_are_marked = server.is(Make::MariaDb, (10, 0, 5));
    let is_role = if roles_are_marked { "cast(is_role as char)" } else { "'N'" };
    let sql = format!("select cast(user as char), cast(host as char), {is_role} from mysql.user order by 1, 2");
    let accounts: Vec<(String, String, String)> = session.rows(&sql, doing).await?;
    let (mut made, mut grants, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (user, host, role) in accounts {
        // An account without a name is anybody who comes from its host; without a host it is the server's own.
        if OWN.contains(&user.as_str()) || (user.is_empty() && host.is_empty()) {
            continue;
        }
        let is_role = role == "Y";
        let name = if is_role { literal(&user) } else { account(&user, &host) };
        let doing = format!("read the account {name}");
        let owner = name.clone();
        let definition = move |kind, sql: String, then| Definition {
            kind,
            database: String::new(),
            name: owner.clone(),
            table: None,
            sql,
            then,
            session: BTreeMap::new(),
            invalid: false,
        };
        if is_role {
            made.push(definition(Kind::Role, format!("CREATE ROLE {name}"), Vec::new()));
        } else {
            let mut statements: Vec<String> = match session.rows(&format!("show create user {name}"), &doing).await {
                Err(error) if matches!(code(&error), Some(1133 | 1141 | 1396 | 3162)) => {
                    unknown.push(name);
                    continue;
                }
                other => other?,
            };
            let mut first = if statements.is_empty() { String::new() } else { statements.remove(0) };
            if server.make == Make::MySql && server.version < (8, 0, 17) {
                let sql = format!("select hex(authentication_string) from mysql.user where user = {} and host = {}", literal(&user), literal(&host));
                let hex: Option<String> = session.first(&sql, &doing).await?;
                first = with_password(&first, &hex::decode(hex.unwrap_or_default()).unwrap_or_default());
            }
            made.push(definition(Kind::User, first, statements));
        }
        let shown: Vec<String> = session.rows(&format!("show grants for {name}"), &doing).await?;
        for grant in shown {
            grants.push(definition(Kind::Grant, without_password(&grant), Vec::new()));
        }
    }
    // A role is made before those that it is granted to.
    made.sort_by_key(|definition| definition.kind);
    made.extend(grants);
    Ok((made, unknown))
}

/// An account as statements name it.
pub(super) fn account(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

/// The statement with the account's password hash as a literal that can be read back: older servers print its bytes as they are.
fn with_password(statement: &str, hash: &[u8]) -> String {
    let end = statement.rfind("' DEFAULT ROLE `").or_else(|| statement.rfind("' REQUIRE "));
    let parts = statement.split_once(" AS '").zip(end);
    match (parts, std::str::from_utf8(hash)) {
        (Some(((head, _), end)), Ok(hash)) => format!("{head} AS {}{}", literal(hash), &statement[end + 1..]),
        _ => statement.to_owned(),
    }
}

/// A grant without the password, which belongs to the account.
pub(super) fn without_password(grant: &str) -> String {
    let Some(at) = [" IDENTIFIED BY PASSWORD ", " IDENTIFIED VIA "].iter().filter_map(|words| grant.find(words)).min() else {
        return grant.to_owned();
    };
    let rest = &grant[at..];
    let after = [" REQUIRE ", " WITH "].iter().filter_map(|words| rest.rfind(words)).min();
    format!("{}{}", &grant[..at], after.map_or("", |at| &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_with_quotes_in_it_is_a_literal() {
        let shown = "CREATE USER 'a'@'%' IDENTIFIED WITH 'p' AS '$A$005$'x' REQUIRE NONE ACCOUNT UNLOCK";
        let wanted = r"CREATE USER 'a'@'%' IDENTIFIED WITH 'p' AS '$A$005$\'x' REQUIRE NONE ACCOUNT UNLOCK";
        assert_eq!(with_password(shown, b"$A$005$'x"), wanted);
        assert_eq!(with_password("CREATE USER 'a'@'%' REQUIRE NONE", b""), "CREATE USER 'a'@'%' REQUIRE NONE");
    }

    #[test]
    fn a_grant_does_not_carry_the_password() {
        let grant = "GRANT ALL PRIVILEGES ON *.* TO `lab`@`%` IDENTIFIED BY PASSWORD '*6BB4' WITH GRANT OPTION";
        assert_eq!(without_password(grant), "GRANT ALL PRIVILEGES ON *.* TO `lab`@`%` WITH GRANT OPTION");
        assert_eq!(without_password("GRANT USAGE ON *.* TO `a`@`%`"), "GRANT USAGE ON *.* TO `a`@`%`");
    }
}
