//! The key of every object, once. See `docs/format/README.md`.

use crate::model::{EntryNumber, EpochId, Lineage, MemberName, ObjectKey, PolicyName, RunId, Sha256, SiteName, VaultId};

/// Version of every format that this code writes and the only one it reads.
pub const FORMAT: u32 = 1;

fn key(text: String) -> ObjectKey {
    text.parse().expect("ids contain only what a key may contain, and the longest key is shorter than 512 bytes")
}

/// `repo.json`: the repository's id.
pub fn repo() -> ObjectKey {
    key("repo.json".to_owned())
}

/// A trust object.
pub fn trust(number: u64) -> ObjectKey {
    key(format!("trust/{number:020}.json"))
}

/// The signature of the trust object whose bytes have this digest.
pub fn trust_signature(object: Sha256) -> ObjectKey {
    key(format!("trust/signatures/{object}.minisig"))
}

/// Wrapping `number` of a vault's identity.
pub fn vault(id: &VaultId, number: u64) -> ObjectKey {
    key(format!("vaults/{id}/{number:020}.age"))
}

/// An entry of a record.
pub fn record(lineage: &Lineage, number: EntryNumber) -> ObjectKey {
    key(format!("{lineage}/record/{number}.json"))
}

/// The signature of the entry whose bytes have this digest.
pub fn signature(lineage: &Lineage, entry: Sha256) -> ObjectKey {
    key(format!("{lineage}/signatures/{entry}.minisig"))
}

/// The private part of an entry.
pub fn sealed(lineage: &Lineage, object: Sha256) -> ObjectKey {
    key(format!("{lineage}/sealed/{object}.age"))
}

/// A pack list.
pub fn packlist(lineage: &Lineage, epoch: &EpochId, object: Sha256) -> ObjectKey {
    key(format!("{lineage}/packlists/{epoch}/{object}.json"))
}

/// A pack.
pub fn pack(lineage: &Lineage, epoch: &EpochId, object: Sha256) -> ObjectKey {
    key(format!("{lineage}/packs/{epoch}/{object}.age"))
}

/// A fragment of the index.
pub fn index(lineage: &Lineage, epoch: &EpochId, object: Sha256) -> ObjectKey {
    key(format!("{lineage}/index/{epoch}/{object}.age"))
}

/// A fragment of the hints.
pub fn hints(lineage: &Lineage, epoch: &EpochId, object: Sha256) -> ObjectKey {
    key(format!("{lineage}/hints/{epoch}/{object}.age"))
}

/// An entry of a run's journal, in the control store.
pub fn journal(run: &RunId, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", journal_prefix(run)))
}

/// An order to a run, in the control store.
pub fn order(run: &RunId, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", order_prefix(run)))
}

/// Prefix of the orders to a run, in the control store.
pub fn order_prefix(run: &RunId) -> String {
    format!("{}orders/", journal_prefix(run))
}

/// The plan of a part of a run, in the control store.
pub fn part_plan(run: &RunId, member: &MemberName, number: u32) -> ObjectKey {
    part(run, member, number, "plan")
}

/// End number `end` of a part, in the control store.
pub fn part_end(run: &RunId, member: &MemberName, number: u32, end: u32) -> ObjectKey {
    part(run, member, number, &format!("end-{end:05}"))
}

/// Where the shares of a component begin, the first of which is this part, in the control store.
pub fn part_cut(run: &RunId, member: &MemberName, number: u32) -> ObjectKey {
    part(run, member, number, "cut")
}

fn part(run: &RunId, member: &MemberName, number: u32, what: &str) -> ObjectKey {
    key(format!("{}{member}/{number:05}/{what}.json", parts_prefix(run)))
}

/// How far the worker of a part has come, in the control store.
pub fn part_checkpoint(run: &RunId, member: &MemberName, number: u32, checkpoint: u64) -> ObjectKey {
    part(run, member, number, &format!("{checkpoint:020}"))
}

/// Prefix of all parts of a run, in the control store.
pub fn parts_prefix(run: &RunId) -> String {
    format!("{}parts/", journal_prefix(run))
}

/// Member and number of the part whose plan lies under a key.
pub fn planned_part(run: &RunId, key: &ObjectKey) -> Option<(MemberName, u32)> {
    let (member, number) = key.as_str().strip_prefix(&parts_prefix(run))?.strip_suffix("/plan.json")?.split_once('/')?;
    Some((member.parse().ok()?, number.parse().ok()?))
}

/// A claim of a run to be the only recovery of a policy, in the control store.
pub fn claim(policy: &PolicyName, number: u64) -> ObjectKey {
    key(format!("recoveries/{policy}/{number:020}.json"))
}

/// An entry of a lineage's ledger, in the control store.
pub fn ledger(lineage: &Lineage, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", ledger_prefix(lineage)))
}

/// Prefix of a lineage's ledger, in the control store.
pub fn ledger_prefix(lineage: &Lineage) -> String {
    format!("{SCHEDULE_PREFIX}{lineage}/ledger/")
}

/// An order to a lineage's schedule, in the control store.
pub fn schedule_order(lineage: &Lineage, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", schedule_order_prefix(lineage)))
}

/// Prefix of the orders to a lineage's schedule, in the control store.
pub fn schedule_order_prefix(lineage: &Lineage) -> String {
    format!("{SCHEDULE_PREFIX}{lineage}/orders/")
}

/// A term of the daemon that leads a site, in the control store.
pub fn lease(site: &SiteName, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", lease_prefix(site)))
}

/// Prefix of the terms of a site's leaders, in the control store.
pub fn lease_prefix(site: &SiteName) -> String {
    format!("{LEADERS_PREFIX}{site}/")
}

/// What people are told of a site, in the control store.
pub fn notices(site: &SiteName, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", notices_prefix(site)))
}

/// Prefix of what people are told of a site, in the control store.
pub fn notices_prefix(site: &SiteName) -> String {
    format!("{NOTICES_PREFIX}{site}/")
}

/// Prefix of ledgers and orders of all schedules, in the control store.
const SCHEDULE_PREFIX: &str = "schedule/";

/// Prefix of all leases, in the control store.
const LEADERS_PREFIX: &str = "leaders/";

/// Prefix of all findings, in the control store.
const FINDINGS_PREFIX: &str = "findings/";

/// Prefix of what checks of a site found about something.
pub fn findings_prefix(site: &SiteName, about: &str) -> String {
    format!("{FINDINGS_PREFIX}{site}/{about}/")
}

/// A numbered finding, in the control store. `about` is made of names.
pub fn finding(site: &SiteName, about: &str, number: u64) -> ObjectKey {
    key(format!("{}{number:020}.json", findings_prefix(site, about)))
}
/// Prefix of all notices, in the control store.
const NOTICES_PREFIX: &str = "notices/";

/// Prefix of all trust objects; their signatures lie below it too.
pub const TRUST_PREFIX: &str = "trust/";

/// Prefix of all journals, in the control store.
pub const RUNS_PREFIX: &str = "runs/";

/// Prefix of a run's journal, in the control store.
pub fn journal_prefix(run: &RunId) -> String {
    format!("{RUNS_PREFIX}{run}/")
}

/// Prefix of a vault's wrappings.
pub fn vault_prefix(id: &VaultId) -> String {
    format!("vaults/{id}/")
}

/// Prefix of everything that belongs to a lineage.
pub fn lineage_prefix(lineage: &Lineage) -> String {
    format!("{lineage}/")
}

/// Prefix of a record's entries.
pub fn record_prefix(lineage: &Lineage) -> String {
    format!("{lineage}/record/")
}

/// Prefix of a lineage's sealed parts.
pub fn sealed_prefix(lineage: &Lineage) -> String {
    format!("{lineage}/sealed/")
}

/// Prefix of a lineage's signatures.
pub fn signature_prefix(lineage: &Lineage) -> String {
    format!("{lineage}/signatures/")
}

/// Prefixes of what lies under an epoch, in the order in which prune deletes: what nothing else names goes last.
pub fn epoch_prefixes(lineage: &Lineage, epoch: &EpochId) -> [String; 4] {
    ["hints", "index", "packs", "packlists"].map(|kind| format!("{lineage}/{kind}/{epoch}/"))
}

/// The number in the last part of a numbered key (trust, vault, record entry, journal, ledger, lease, notices, finding), when it has exactly that form.
pub fn number(key: &ObjectKey) -> Option<u64> {
    let (folder, name) = key.as_str().rsplit_once('/')?;
    let (digits, extension) = name.split_once('.')?;
    let in_control =
        || [RUNS_PREFIX, SCHEDULE_PREFIX, LEADERS_PREFIX, NOTICES_PREFIX, FINDINGS_PREFIX].iter().any(|prefix| folder.starts_with(prefix));
    let numbered = folder == "trust" || folder.ends_with("/record") || folder.starts_with("vaults/") || in_control();
    let shape = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) && matches!(extension, "json" | "age");
    (numbered && shape).then(|| digits.parse().ok()).flatten().filter(|n| *n > 0)
}

/// The SHA-256 that a key promises, when its last part is one.
pub fn digest(key: &ObjectKey) -> Option<Sha256> {
    key.as_str().rsplit('/').next()?.split_once('.')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_format_page() {
        let lineage: Lineage = "production@we/1".parse().unwrap();
        let epoch: EpochId = "20261101T000000Z-00ff00ff".parse().unwrap();
        let zero = "0".repeat(64);
        assert_eq!(record(&lineage, EntryNumber(7)).as_str(), "production@we/1/record/00000000000000000007.json");
        assert_eq!(signature(&lineage, Sha256::ZERO).as_str(), format!("production@we/1/signatures/{zero}.minisig"));
        assert_eq!(pack(&lineage, &epoch, Sha256::ZERO).as_str(), format!("production@we/1/packs/{epoch}/{zero}.age"));
        assert_eq!(digest(&pack(&lineage, &epoch, Sha256::ZERO)), Some(Sha256::ZERO));
        assert_eq!(digest(&record(&lineage, EntryNumber(7))), None);
        assert_eq!(trust(1).as_str(), "trust/00000000000000000001.json");
        let longest: Lineage = format!("{}@{}/{}", "p".repeat(63), "s".repeat(63), u32::MAX).parse().unwrap();
        assert!(packlist(&longest, &epoch, Sha256::ZERO).as_str().len() < 512);
    }

    #[test]
    fn numbers_are_read_back_from_numbered_keys_only() {
        let lineage: Lineage = "production@we/1".parse().unwrap();
        assert_eq!(number(&record(&lineage, EntryNumber(42))), Some(42));
        assert_eq!(number(&trust(u64::MAX)), Some(u64::MAX));
        for other in
            ["trust/1.json", "repo.json", "trust/00000000000000000000.json", "a/record/99999999999999999999.json", "a/b/00000000000000000001.json"]
        {
            assert_eq!(number(&other.parse().unwrap()), None, "{other}");
        }
    }
}
