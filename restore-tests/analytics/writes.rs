//! Indices that are written to while their snapshot is taken: nobody knows how many documents it holds, and equality is judged all the same.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{
    fill,
    world::{World, ask, try_ask},
};
use crate::{images::world::wait_until, lab::Servers};

/// Makes a point while somebody writes to `calls` all the time.
fn backed_up_under_writes(world: &World) {
    let (index, over) = (world.of("calls"), AtomicBool::new(false));
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut written = 0_u64;
            while !over.load(Ordering::Relaxed) {
                ask(&world.a, "PUT", &format!("{index}/_doc/w{written}"), "{\"tags\": [\"late\"]}");
                written += 1;
            }
            written
        });
        // A failure is one only once nobody writes any more.
        let backed_up = world.site.output(&["backup", "p"]);
        over.store(true, Ordering::Relaxed);
        assert!(writing.join().unwrap() > 10, "nobody has written");
        assert!(backed_up.status.success(), "{}", String::from_utf8_lossy(&backed_up.stderr));
    });
}

#[test]
fn analytics_that_are_written_to_all_the_time_are_compared_with_their_snapshot_and_later_writes_are_found() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    world.reconfigure("timeout: 10m", "timeout: 10m, lanes: 1");
    backed_up_under_writes(&world);
    let said = world.site.run(&["restore", "p", "events", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    // Another time somebody deletes a document as soon as its index is there again, while others still come back.
    for name in ["calls", "empty"] {
        ask(&world.b, "DELETE", &world.of(name), "");
    }
    ask(&world.b, "DELETE", &format!("_data_stream/{}", world.of("stream")), "");
    let said = thread::scope(|scope| {
        let deleting = scope.spawn(|| wait_until("the index", || try_ask(&world.b, "DELETE", &format!("{}/_doc/1", world.of("calls")), "").is_ok()));
        let said = world.site.run(&["restore", "p", "events", "--into", "spare"], 3);
        deleting.join().unwrap();
        said
    });
    let named = format!("index {}", world.of("calls"));
    assert!(said.contains(&named) && said.contains("0 documents were written, and 1 deleted") && !said.contains("found equal"), "{said}");
}
