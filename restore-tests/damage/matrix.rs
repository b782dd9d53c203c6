use std::{fs, path::Path};

use super::repository::{Kind, Lab};

const KINDS: [Kind; 11] = [
    Kind::Repo,
    Kind::Trust,
    Kind::TrustSignature,
    Kind::Vault,
    Kind::Entry,
    Kind::Signature,
    Kind::Sealed,
    Kind::PackList,
    Kind::Pack,
    Kind::Index,
    Kind::Hints,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Delete,
    Truncate,
    Flip,
    Swap,
    Older,
    Empty,
    Squat,
}

const DAMAGES: [Damage; 7] = [Damage::Delete, Damage::Truncate, Damage::Flip, Damage::Swap, Damage::Older, Damage::Empty, Damage::Squat];

/// Does the damage; false when a kind does not have it.
fn damage(lab: &Lab, kind: Kind, damage: Damage) -> bool {
    let objects = lab.objects(kind);
    let (path, other) = (&objects[0], objects.get(1));
    let bytes = fs::read(path).unwrap();
    match damage {
        Damage::Delete => fs::remove_file(path).unwrap(),
        Damage::Truncate => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
        Damage::Empty => fs::write(path, b"").unwrap(),
        Damage::Flip => flip(path, bytes, kind),
        Damage::Swap | Damage::Older if other.is_none() => return false,
        Damage::Swap => {
            fs::write(path, fs::read(other.unwrap()).unwrap()).unwrap();
            fs::write(other.unwrap(), bytes).unwrap();
        }
        Damage::Older => fs::write(path, fs::read(other.unwrap()).unwrap()).unwrap(),
        Damage::Squat => match lab.next_number(kind) {
            Some(next) => fs::write(next, b"{}").unwrap(),
            None => return false,
        },
    }
    true
}

/// In the middle; in `repo.json`, which nobody signs, in the id that the signed trust names too; in a signature, whose comments are free,
/// in the signature proper.
fn flip(path: &Path, mut bytes: Vec<u8>, kind: Kind) {
    let middle = match kind {
        Kind::Repo => 30,
        Kind::TrustSignature | Kind::Signature => bytes.iter().position(|b| *b == b'\n').unwrap() + 40,
        _ => bytes.len() / 2,
    };
    bytes[middle] = if bytes[middle] == b'0' { b'1' } else { b'0' };
    fs::write(path, bytes).unwrap();
}

/// How a report may name the object.
fn names(lab: &Lab, kind: Kind) -> Vec<String> {
    let path = lab.objects(kind).remove(0);
    let file = path.file_name().unwrap().to_str().unwrap().to_owned();
    match kind {
        // The repository's id is checked against the trust.
        Kind::Repo => vec![file, "trust object 1".to_owned()],
        // An entry that names a trust object that is gone is void; a swap makes the first one void.
        Kind::Trust | Kind::TrustSignature => vec!["trust object".to_owned()],
        Kind::Vault => vec![file, path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()],
        Kind::Entry | Kind::Signature => vec![file, "entry ".to_owned(), "the record ends at".to_owned()],
        _ => vec![file],
    }
}

#[test]
fn all_damage_is_found_and_named_and_no_restore_ends_well_with_other_data() {
    let lab = Lab::new();
    for kind in KINDS {
        let names = names(&lab, kind);
        for done in DAMAGES {
            lab.reset();
            let case = format!("{kind:?} {done:?}");
            if !damage(&lab, kind, done) {
                continue;
            }
            let harmless = (kind, done) == (Kind::Vault, Damage::Squat);
            let verify = |depth: &str| lab.run(&["verify", "--depth", depth]);
            let found = |depth: &str| {
                let (status, _, text) = verify(depth);
                let named = names.iter().any(|name| text.contains(name));
                assert!(status == 0 || named, "{case}: {depth} does not name {names:?}: {text}");
                status
            };
            let (present, intact, restorable) = (found("present"), found("intact"), found("restorable"));
            if !harmless {
                assert_eq!(restorable, 6, "{case} is not found by `restorable`");
                assert_eq!(intact, 6, "{case} is not found by `intact`");
            }
            if done == Damage::Delete {
                assert_eq!(present, 6, "{case} is not found by `present`");
            }
            lab.reset();
            damage(&lab, kind, done);
            let (before, _) = lab.restore(&case);
            let flipped = ((kind, done) == (Kind::Pack, Damage::Flip)).then(|| lab.objects(kind).remove(0));
            lab.change(5);
            let (backup, data, text) = lab.run(&["backup", "daily"]);
            let (after, point) = lab.restore(&case);
            println!("{case}: verify {present} {intact} {restorable}, restore {before}, backup {backup}, restore {after}");
            if backup != 0 {
                assert!(
                    (text.contains("\"message\"") || text.contains("\"what\"")) && matches!(backup, 1 | 3 | 5 | 6),
                    "{case}: a backup that stops must say why: {text}"
                );
                continue;
            }
            let (mut after, mut point, mut newest) = (after, point, data["point"].clone());
            if let Some(pack) = flipped {
                // A run sees sizes, not bytes: the damage is for `verify` to find, and gone with what it named.
                fs::remove_file(pack).unwrap();
                newest = lab.must(&["backup", "daily"])["point"].clone();
                (after, point) = lab.restore(&case);
            }
            assert_eq!(after, 0, "{case}: the backup ended well, and its point cannot be restored");
            assert_eq!(point.as_deref(), newest.as_str(), "{case}: the newest point is another one");
        }
    }
}

#[test]
fn a_copy_mends_nothing_silently_and_brings_back_what_is_lost() {
    let lab = Lab::new();
    lab.must(&["copy", "--to", "other"]);
    let pack = lab.objects(Kind::Pack).remove(0);
    fs::remove_file(&pack).unwrap();
    let listed = lab.must(&["points", "list"]);
    let state = |place: &str| listed["points"][0]["locations"][place]["complete"].as_bool();
    assert_eq!((state("primary"), state("other")), (Some(false), Some(true)));
    assert_eq!(lab.restore("from the other location").0, 0, "a pack that is missing here is read there");
    lab.must(&["copy", "--to", "primary", "--from", "other"]);
    assert!(pack.is_file());
    fs::write(&pack, b"something else").unwrap();
    let (status, _, text) = lab.run(&["copy", "--to", "primary", "--from", "other"]);
    assert_eq!(status, 6, "{text}");
    assert!(text.contains(pack.file_name().unwrap().to_str().unwrap()), "{text}");
}

#[test]
fn a_point_whose_pack_is_lost_at_the_source_is_named_and_the_others_are_copied() {
    let lab = Lab::new();
    let pack = lab.objects(Kind::Pack).remove(0);
    fs::remove_file(&pack).unwrap();
    let (status, data, text) = lab.run(&["copy", "--to", "other"]);
    assert_eq!(status, 3, "{text}");
    assert!(text.contains(pack.file_name().unwrap().to_str().unwrap()), "{text}");
    let points = data["lineages"][0]["points"].as_array().unwrap();
    let complete: Vec<bool> = points.iter().map(|point| point["complete"].as_bool().unwrap()).collect();
    assert_eq!(complete[..2], [true, true]);
    assert!(complete.contains(&false));
    assert_eq!(lab.run(&["verify", "--location", "other", "--depth", "intact"]).0, 6);
}
