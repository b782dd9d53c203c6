//! Snapshots go when their points are pruned, and no other snapshot ever does.

use hourglass::{
    model::{EntryNumber, RunId, Timestamp},
    repository::trust::Role,
};
use serde_json::{Value, json};

use super::{
    killed::slow_world,
    world::{World, ask, documents, write},
};
use crate::{lab::Servers, signers::give_up};

fn snapshots(world: &World) -> Vec<String> {
    let found = ask(&world.a, "GET", &format!("_snapshot/{}/_all", world.name), "");
    let mut names: Vec<_> = found["snapshots"].as_array().unwrap().iter().map(|found| found["snapshot"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Backs up, and gives what was said and the names of the snapshots that are there then.
fn backup(world: &World) -> (String, Vec<String>) {
    let said = world.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    (said, snapshots(world))
}

/// The points, oldest first.
fn points(world: &World) -> Vec<EntryNumber> {
    // They are at the first location alone.
    let listed: Value = serde_json::from_str(&world.site.run(&["points", "list", "--output", "json"], 3)).unwrap();
    let id = |point: &Value| point["point"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().map(EntryNumber).unwrap();
    let mut numbers: Vec<_> = listed["data"]["points"].as_array().unwrap().iter().map(id).collect();
    numbers.sort();
    numbers
}

/// Somebody's snapshot.
fn make(world: &World, name: &str) -> String {
    let body = json!({"indices": world.of("calls"), "include_global_state": false});
    ask(&world.a, "PUT", &format!("_snapshot/{}/{name}?wait_for_completion=true", world.name), &body.to_string());
    name.to_owned()
}

fn named(start: Timestamp, tag: &str) -> String {
    format!("hourglass-{}-{tag}", RunId::new(start, 7).as_str().to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_analytics_goes_when_its_point_is_pruned_and_no_other_does() {
    let _lab = Servers::Search.alone();
    let world = slow_world();
    write(&world.a, &world.of("calls"), &["{}".to_owned()]);
    let first = backup(&world).1.remove(0);
    let tag = first.rsplit_once('-').unwrap().1.to_owned();
    backup(&world);
    let now = Timestamp::now();
    let old = now - jiff::SignedDuration::from_hours(49);
    let dead = make(&world, &named(old, &tag));
    // A run that goes on, the dead one of somebody else, and what a person made.
    let others = [make(&world, &named(now, &tag)), make(&world, &named(old, "0123456789ab")), make(&world, "nightly")];
    let (said, left) = backup(&world);
    assert!(said.contains(&format!("snapshot {dead}: was removed")), "{said}");
    assert!(left.len() == 6 && left.contains(&first) && others.iter().all(|other| left.contains(other)), "{left:?}");

    let kept = points(&world);
    give_up(&world.site, "p@we/1", ("operator.key", Role::Operator), kept[0].0).await;
    let said = world.site.run(&["prune", "p"], 0);
    assert!(said.contains(": deleted "), "{said}");
    // The cluster deletes nothing that it restores from.
    let again = format!("again-{}", world.name);
    let body = json!({"indices": world.of("slow"), "rename_pattern": ".+", "rename_replacement": again, "include_global_state": false});
    ask(&world.a, "POST", &format!("_snapshot/{}/{first}/_restore", world.name), &body.to_string());
    let (said, left) = backup(&world);
    assert!(said.contains(&format!("snapshot {first}: was removed")), "{said}");
    assert!(left.len() == 6 && !left.contains(&first) && others.iter().all(|other| left.contains(other)), "{left:?}");
    assert_eq!(documents(&world.a, &again).len(), 100);
    ask(&world.a, "DELETE", &again, "");

    let second = format!("p@we/1:{}", kept[1].0);
    let said = world.site.run(&["restore", &second, "events", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved") || said.contains("not all of it could be read back"), "{said}");
}
