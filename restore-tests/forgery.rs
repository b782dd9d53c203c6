//! What an intruder with rights to the stores, or with the cluster's file, puts there is not believed; what is lost of the writer's own notes costs time.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use hourglass::{
    backup::Checkpoint,
    model::{ByteCount, EpochId, RunId, Sha256, StepId, SystemClock, Timestamp},
    orchestrator::{backup::plan_backup, journal::Journal, output::Output, process::Process, runs, state::JournalEvent},
    pipeline::{FrameEncoder, MacKey, VaultIdentity, decode_frames, frame::Frames, open, seal, sha256},
    repository::{
        index::{Fragment, Place},
        keys::SigningKey,
        layout,
        packlist::PackInfo,
        record::{Body, Expire, ExpiredPoint, Mark, Writer, append},
    },
    restore::fetch::Location,
    storage::{ObjectStore, Put, PutOptions},
};

use crate::crash::{
    snapshot::{assert_same, fill, noise, snapshot},
    world::{PACK, World, context, packed, tick},
};

async fn put(store: &Arc<dyn ObjectStore>, key: hourglass::model::ObjectKey, body: Bytes) {
    assert_eq!(store.put_new(&key, body.clone(), &PutOptions::of(&body)).await.unwrap(), Put::Created);
}

/// What an intruder plants: a pack of nonsense, and an index, encrypted to the right key, that says it holds the bytes that are backed up next.
struct Planted {
    epoch: EpochId,
    pack: PackInfo,
    index: Sha256,
}

async fn plant(world: &World, content: &[u8]) -> Planted {
    let (store, lineage, keys) = (world.store("repository"), world.lineage("weekly"), world.capture());
    let epoch = world.record("weekly").await.state().epochs.keys().next_back().unwrap().clone();
    let junk = Bytes::from(noise(66, 30_000));
    let pack = PackInfo { sha256: sha256(&junk), size: junk.len() as u64 };
    put(&store, layout::pack(&lineage, &epoch, pack.sha256), junk).await;
    let id = keys.lineage_chunk_key(&lineage).id(content);
    let place = Place { pack: 0, offset: 0, length: 1000, size: u32::try_from(content.len()).unwrap() };
    let fragment = Fragment { packs: vec![pack], chunks: vec![(id, place)] };
    let key: VaultIdentity = keys.index_identity.expose().parse().unwrap();
    let sealed = seal(&[&key.recipient()], &fragment.encode()).unwrap();
    let index = sha256(&sealed);
    put(&store, layout::index(&lineage, &epoch, index), sealed).await;
    Planted { epoch, pack, index }
}

/// A journal of a run that has died, with a checkpoint that names what was planted.
async fn forge_journal(world: &World, planted: &Planted, key: MacKey) -> RunId {
    let control = world.store("control");
    let real = world.runs("weekly").await.pop().unwrap();
    let run = RunId::new(Timestamp::now() + jiff::SignedDuration::from_secs(5), 7);
    let plan = hourglass::model::Plan { run: run.clone(), ..real.state.plan };
    let process = Process { started: 1, ..Process::current() };
    let mut journal = Journal::create(control, run.clone(), key);
    journal.append(JournalEvent::RunStarted { plan, process }, Timestamp::now()).await.unwrap();
    let Planted { epoch, pack, index } = planted;
    let output = Output::Stored(Checkpoint { epoch: epoch.clone(), packs: vec![*pack], index: vec![*index], hints: Vec::new() });
    let step: StepId = "store".parse().unwrap();
    journal.append(JournalEvent::Checkpoint { step, output }, Timestamp::now()).await.unwrap();
    run
}

async fn prepared() -> (World, Vec<u8>, Planted) {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 4);
    world.point("weekly", 0).await;
    tick();
    // A file that is a segment, and so a chunk, of its own.
    let content = noise(123, 20_000);
    fs::write(world.tree().join(&crate::crash::snapshot::boundary_names(9)[8]), &content).unwrap();
    let planted = plant(&world, &content).await;
    (world, content, planted)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_no_valid_entry_names_is_not_deduplicated_against() {
    let (world, _, _) = prepared().await;
    let expected = world.present("weekly");
    let number = world.point("weekly", 10).await;
    assert_same(&world.restored("weekly", number, &world.stores().data).await, &expected, "after the forgery");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_without_our_mac_is_not_taken_over() {
    let (world, _, planted) = prepared().await;
    let expected = world.present("weekly");
    let ours = runs::capture_key(&world.capture(), &world.lineage("weekly"));
    let twin = world.copy(true);
    let run = forge_journal(&twin, &planted, ours.clone()).await;
    let request = twin.request("weekly", &twin.stores()).await.unwrap();
    let (_, left) = plan_backup(&request, &context(10)).await.unwrap();
    assert!(left.iter().any(|(found, checkpoints)| *found == run && !checkpoints.is_empty()), "the form is right, only the key was not");

    let run = forge_journal(&world, &planted, runs::operator_key(&SigningKey::generate())).await;
    let plain = Bytes::from_static(b"{\"format\":1}\n");
    put(&world.store("control"), layout::journal(&RunId::new(Timestamp::now(), 9), 1), plain).await;
    let end = world.back_up("weekly", &world.stores(), 10).await.unwrap();
    assert!(end.outcome.is_success() && !end.adopted.contains(&run) && end.adopted.is_empty(), "{:?}", end.adopted);
    assert_same(&world.restored("weekly", end.entry.unwrap(), &world.stores().data).await, &expected, "after the forgery");
    let listed = world.hourglass(&["runs", "list"], 0);
    assert!(listed.contains("unreadable"), "{listed}");
}

/// What somebody who knows the vault's public key can put in a pack's place: it decrypts and decodes, with other content of the same lengths.
fn forge(pack: &Path, vault: &VaultIdentity) {
    let plain = open(vault, &fs::read(pack).unwrap()).unwrap();
    let (mut encoder, mut forged) = (FrameEncoder::new(3).unwrap(), Vec::new());
    for frame in Frames(&plain) {
        let ((frame, size), mut content) = (frame.unwrap(), Vec::new());
        decode_frames(frame, size, &mut content).unwrap();
        content.iter_mut().for_each(|byte| *byte ^= 0x55);
        // Of either level, as the frame that it stands for.
        let others = [encoder.encode(&content).unwrap(), encoder.encode_fast(&content).unwrap()];
        forged.extend_from_slice(others.iter().find(|other| other.len() == frame.len()).map_or(frame, Vec::as_slice));
    }
    assert!(forged != plain, "nothing of it could be forged");
    fs::write(pack, seal(&[&vault.recipient()], &forged).unwrap()).unwrap();
}

fn flip(pack: &Path) {
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).unwrap();
}

/// Packs of frames that can be forged: those of maps are compressed.
fn data_packs(world: &World, vault: &VaultIdentity) -> Vec<std::path::PathBuf> {
    let is_data = |pack: &std::path::PathBuf| {
        let plain = open(vault, &fs::read(pack).unwrap()).unwrap();
        plain.len() as u64 > PACK / 2
    };
    files(&world.root.join("repository/weekly@main/1/packs")).into_iter().filter(is_data).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_forged_or_damaged_at_one_location_is_read_at_the_next_and_never_restored_as_good() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 12);
    fs::write(world.tree().join("long"), noise(77, 300_000)).unwrap();
    let expected = world.present("weekly");
    let number = world.point("weekly", 0).await;
    let good = world.copy(true);
    let stores = world.stores();
    let vault = world.open("weekly", number, &stores.data).await.packs.vault;
    for harm in [forge as fn(&Path, &VaultIdentity), |pack, _| flip(pack)] {
        let packs = data_packs(&good, &vault);
        assert!(packs.len() > 3, "{}", packs.len());
        for pack in packs {
            let here = world.root.join(pack.strip_prefix(&good.root).unwrap());
            fs::copy(&pack, &here).unwrap();
            harm(&here, &vault);
        }
        let target = tempfile::tempdir().unwrap();
        let alone = world.restore("weekly", number, &target.path().join("alone"), &stores).await;
        let why = format!("{alone:?}");
        assert!(!alone.is_ok_and(|end| end.outcome.is_success()), "restored from nothing but a harmed copy");
        assert!(why.contains("packs/") && why.contains("SHA-256"), "{why}");
        let mut opened = world.open("weekly", number, &stores.data).await;
        opened.packs.locations.push(Location { name: "other".to_owned(), store: good.store("repository") });
        let all = target.path().join("all");
        let end = world.restore_opened(opened, &all, &stores).await.unwrap();
        assert!(end.outcome.is_success(), "{:?}", end.outcome);
        assert_same(&snapshot(&all), &expected, "from the good copy");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_or_damaged_hints_and_index_cost_time_only() {
    for kinds in [["hints"].as_slice(), &["index"], &["hints", "index"]] {
        for damage in [true, false] {
            let world = World::new();
            fill(&world.tree(), &world.dump(), 12);
            world.point("weekly", 0).await;
            let before = packed(&world.root, &world.lineage("weekly"));
            for path in kinds.iter().flat_map(|kind| files(&world.root.join("repository/weekly@main/1").join(kind))) {
                if damage { fs::write(path, b"damage").unwrap() } else { fs::remove_file(path).unwrap() }
            }
            tick();
            fs::write(world.tree().join("sub/one"), b"changed\n").unwrap();
            let expected = world.present("weekly");
            let number = world.point("weekly", 10).await;
            let why = format!("{kinds:?} {damage}");
            assert_same(&world.restored("weekly", number, &world.stores().data).await, &expected, &why);
            let stored = packed(&world.root, &world.lineage("weekly")) - before;
            // Either one of them is enough to find most of what is stored.
            assert!(kinds.len() == 2 || stored < before / 2, "{why}: {stored} of {before}");
            world.point("weekly", 20).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clusters_key_can_neither_expire_nor_hold_nor_prune() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 2);
    let number = world.point("weekly", 0).await;
    let (store, keys) = (world.store("repository"), world.capture());
    let writer = Writer { store: &*store, key: &keys.signing_key, clock: &SystemClock, retain_until: None };
    let mut record = world.record("weekly").await;
    let (point, seen) = (record.point(number).unwrap().0, Timestamp::now());
    let points = vec![ExpiredPoint { number, reason: "an intruder".to_owned() }];
    let mark = Mark { point, by: "an intruder".to_owned(), reason: "none".to_owned() };
    let epoch = record.state().epochs.keys().next().unwrap().clone();
    let prune = hourglass::repository::record::Prune { epoch, expire: number, objects: 1, bytes: ByteCount(1) };
    let bodies = [Body::Expire(Expire { points, seen, delete_after: seen }), Body::Hold(mark.clone()), Body::Suspect(mark), Body::Prune(prune)];
    for body in bodies {
        let kind = body.kind();
        assert!(append(&writer, &mut record, body).await.is_err(), "{kind}");
    }
    let config = fs::read_to_string(world.root.join("hourglass.yaml")).unwrap().replace("operator.key", "capture.key");
    fs::write(world.root.join("hourglass.yaml"), config).unwrap();
    let id = format!("weekly@main/1:{}", number.0);
    let said = world.hourglass(&["points", "hold", &id, "--by", "x", "--reason", "x"], 2);
    assert!(said.contains("operator"), "{said}");
    assert_eq!(world.points("weekly").await.len(), 1);
}
