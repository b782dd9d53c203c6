//! Who may decide: delegates, their revocation, and an operator whose key was lost.

use std::fs;

use hourglass::{
    config::{StoreConfig, StoreUrl},
    model::{EntryNumber, SystemClock, Timestamp},
    repository::{
        keys::IdentityFile,
        record::{Body, Expire, ExpiredPoint, Record, Writer, append},
        repo::RepoFile,
        trust::{Role, TrustChain},
    },
    storage,
};

use crate::site::{Site, assert_same_tree, listing, make_tree};

/// A site with two points of `single`, each in an epoch of its own.
fn site() -> Site {
    let site = Site::in_directories();
    make_tree(&site.path("tree"), 10_000);
    site.protect_tree_and_stream();
    for rows in ["one", "two"] {
        fs::write(site.path("stream"), rows).unwrap();
        site.run(&["backup", "single", "--quiet"], 0);
    }
    site
}

/// Gives up a point, as if the waiting time were over, with the key of somebody who may.
pub async fn give_up(site: &Site, lineage: &str, (key, role): (&str, Role), number: u64) {
    let store = storage::open(&StoreConfig::at(StoreUrl::Directory(site.path("repository")))).await.unwrap();
    let id = RepoFile::load(&*store).await.unwrap().unwrap().repository;
    let trusts = TrustChain::load(&*store, &id, &site.trust_root().parse().unwrap()).await.unwrap();
    let mut record = Record::load(&*store, &std::sync::Arc::new(trusts), &lineage.parse().unwrap()).await.unwrap();
    let key = IdentityFile::open_decider(&site.path(key), role).unwrap().signing_key;
    let writer = Writer { store: &*store, key: &key, clock: &SystemClock, retain_until: None };
    let points = vec![ExpiredPoint { number: EntryNumber(number), reason: "test".into() }];
    let past: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    append(&writer, &mut record, Body::Expire(Expire { points, seen: past, delete_after: past })).await.unwrap();
}

/// Leaves only one file of secrets in the home, as the operator key of the configuration.
fn only(site: &Site, key: &str) {
    fs::create_dir_all(site.path("safe")).unwrap();
    for name in ["root.key", "operator.key", "capture.key", "expire.key"] {
        if site.path(name).exists() {
            fs::rename(site.path(name), site.path(&format!("safe/{name}"))).unwrap();
        }
    }
    fs::copy(site.path(&format!("safe/{key}")), site.path("operator.key")).unwrap();
}

fn all_keys(site: &Site) {
    for file in fs::read_dir(site.path("safe")).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), site.path(file.file_name().to_str().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_expires_and_prunes_and_does_nothing_else_until_it_is_revoked() {
    let site = site();
    let said = site.run(&["keys", "signer", "new", "--role", "expire", "--to", "expire.key"], 0);
    assert!(said.contains("expire.key.pub"), "{said}");
    assert!(!fs::read_to_string(site.path("expire.key.pub")).unwrap().contains("signing_key"));
    site.run(&["keys", "signer", "add", "expire.key.pub", "--root", "root.key"], 0);
    let again = site.run(&["keys", "signer", "add", "expire.key.pub", "--root", "root.key"], 0);
    assert!(again.contains("already"), "{again}");
    fs::write(site.path("stream"), "three").unwrap();
    site.run(&["backup", "single", "--quiet"], 0);

    only(&site, "expire.key");
    let expired = site.run(&["expire", "single"], 0);
    assert!(expired.contains("1 points are given up"), "{expired}");
    let waits = site.run(&["prune", "single"], 0);
    assert!(waits.contains("may be deleted after") && !waits.contains(": deleted "), "{waits}");
    fs::copy(site.path("safe/expire.key"), site.path("expire.key")).unwrap();
    give_up(&site, "single@we/1", ("expire.key", Role::Expire), 3).await;
    let pruned = site.run(&["prune", "single"], 0);
    assert!(pruned.contains(": deleted "), "{pruned}");
    for (arguments, status) in [
        (&["points", "hold", "single@we/1:5", "--by", "A", "--reason", "r"][..], 2),
        (&["restore", "single@we/1:5", "--to", "x"], 2),
        (&["keys", "prove"], 2),
        (&["verify", "--depth", "restorable"], 2),
    ] {
        let said = site.run(arguments, status);
        assert!(said.contains("expire"), "{said}");
    }

    all_keys(&site);
    let shown = site.run(&["record", "show", "single"], 0);
    assert!(shown.lines().any(|line| line.contains(" expire ") && line.contains(" prune ")), "{shown}");
    site.run(&["keys", "signer", "revoke", "expire", "--root", "root.key", "--reason", "retired"], 0);
    site.run(&["record", "check"], 0);
    assert_eq!(shown, site.run(&["record", "show", "single"], 0), "what it signed stays valid, under its name");
    let listed = site.run(&["keys", "list"], 0);
    assert!(listed.lines().any(|line| line.starts_with("expire ") && line.contains("revoked")), "{listed}");
    let again = site.run(&["keys", "signer", "add", "expire.key.pub", "--root", "root.key"], 2);
    assert!(again.contains("revoked"), "{again}");
    // Of three points of one day the middle one is to be given up.
    for rows in ["four", "five"] {
        fs::write(site.path("stream"), rows).unwrap();
        site.run(&["backup", "single", "--quiet"], 0);
    }
    only(&site, "expire.key");
    let output = site.output(&["expire", "single"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("may not write a expire"), "{said}");
    all_keys(&site);
    site.run(&["record", "check"], 0);
}

#[test]
fn a_verify_delegate_writes_proofs_with_and_without_a_key_that_opens_the_vault() {
    let site = site();
    fs::write(site.path("age.key"), "# created: today\nAGE-SECRET-KEY-1\n").unwrap();
    let bad = site.run(&["keys", "signer", "new", "--role", "verify", "--to", "verify.key", "--identity", "age.key"], 2);
    assert!(bad.contains("no age identity") && !site.path("verify.key").exists() && !site.path("verify.key.pub").exists(), "{bad}");
    site.run(&["keys", "signer", "new", "--role", "verify", "--to", "verify.key"], 0);
    site.run(&["keys", "signer", "add", "verify.key.pub", "--root", "root.key"], 0);
    fs::rename(site.path("operator.key"), site.path("away.key")).unwrap();
    fs::rename(site.path("verify.key"), site.path("operator.key")).unwrap();
    site.run(&["verify", "--depth", "intact"], 0);
    let refused = site.run(&["verify", "--depth", "restorable"], 2);
    assert!(refused.contains("no identity"), "{refused}");
    let shown = site.run(&["record", "show", "single"], 0);
    assert!(shown.lines().any(|line| line.contains(" verify ") && line.contains("intact passed")), "{shown}");
    site.run(&["expire", "single", "--dry-run"], 0);
}

#[test]
fn a_lost_operator_is_replaced_by_the_root_and_reads_on_with_the_paper_key() {
    let site = site();
    let expected = listing(&site.path("tree"));
    // The paper key: another recipient of the vault, made by `age-keygen`.
    let made = std::process::Command::new("age-keygen").output().unwrap();
    fs::write(site.path("paper.key"), &made.stdout).unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    site.run(&["keys", "recipient", recipient], 0);
    site.run(&["points", "hold", "single@we/1:3", "--by", "A", "--reason", "before the loss"], 0);
    let only = site.run(&["keys", "signer", "revoke", "operator", "--root", "root.key", "--reason", "lost"], 2);
    assert!(only.contains("only operator"), "{only}");

    fs::rename(site.path("operator.key"), site.path("lost.key")).unwrap();
    let new = ["keys", "signer", "new", "--role", "operator", "--name", "berta", "--to", "operator.key", "--identity", "paper.key"];
    let said = site.run(&new, 0);
    assert!(said.contains(recipient), "{said}");
    site.run(&["keys", "signer", "add", "operator.key.pub", "--root", "root.key"], 0);
    site.run(&["keys", "signer", "revoke", "operator", "--root", "root.key", "--reason", "lost"], 0);
    fs::write(site.path("stream"), "two").unwrap();
    assert_same_tree(&expected, &site.restore("single@we/1:3", "restored").join("files"));
    site.run(&["points", "hold", "single@we/1:5", "--by", "B", "--reason", "after the loss"], 0);
    site.run(&["record", "check"], 0);

    fs::rename(site.path("lost.key"), site.path("operator.key")).unwrap_or_else(|error| panic!("{error}"));
    let output = site.output(&["points", "suspect", "single@we/1:5", "--by", "A", "--reason", "found the key again"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("may not write a suspect"), "{said}");
}

#[test]
fn a_revocation_may_draw_the_line_before_the_end() {
    let site = site();
    site.run(&["points", "hold", "single@we/1:3", "--by", "A", "--reason", "r"], 0);
    site.run(&["keys", "signer", "new", "--role", "operator", "--name", "berta", "--to", "berta.key"], 0);
    site.run(&["keys", "signer", "add", "berta.key.pub", "--root", "root.key"], 0);
    let root = ["--root", "root.key", "--reason", "stolen"];
    let revoke = |line: &'static str| [&["keys", "signer", "revoke", "operator", "--last-accepted", line][..], &root].concat();
    assert!(site.run(&revoke("single@we/1:99"), 2).contains("ends at"));
    assert!(site.run(&revoke("other@we/1:1"), 2).contains("no record of other@we/1"));
    site.run(&revoke("single@we/1:1"), 0);
    // The hold is void now, and said to be; what the cluster wrote before it is not.
    let checked = site.run(&["record", "check", "single"], 6);
    assert!(checked.contains("revoked"), "{checked}");
}
