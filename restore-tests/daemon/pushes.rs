//! Runs that no daemon makes, as a real Pushgateway knows them.

use std::fs;

use super::{
    outside::get,
    watched::{free_port, pushgateway},
    world::Kept,
};

#[test]
fn a_backup_tells_a_pushgateway_what_became_of_it_and_one_that_does_not_answer_is_told_and_harms_nothing() {
    let kept = Kept::new("0 0 1 1 *", "");
    let address = format!("127.0.0.1:{}", free_port());
    kept.site.configure(&format!("pushgateway: {{ url: \"http://{address}\" }}\n"));
    let said = kept.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete") && said.contains("the Pushgateway was not told"), "{said}");
    let _gateway = pushgateway(&kept, &address);
    let known = |line: &str| get(&address, "/metrics", None).lines().find_map(|known| known.strip_prefix(line).map(str::to_owned));
    let group = "{instance=\"\",job=\"hourglass_backup\",policy=\"p\",site=\"we\"} ";
    let of = |name: &str| known(&format!("hourglass_{name}{group}"));
    let said = kept.site.run(&["backup", "p"], 0);
    assert!(!said.contains("Pushgateway"), "{said}");
    assert_eq!((of("run_succeeded").as_deref(), of("rpo_broken").as_deref()), (Some("1"), Some("0")));
    let good = of("last_success_timestamp_seconds");
    assert!(good.is_some());
    fs::remove_file(kept.site.path("data")).unwrap();
    let failed = kept.site.output(&["backup", "p"]);
    assert!(!failed.status.success() && !String::from_utf8_lossy(&failed.stderr).contains("Pushgateway"), "{failed:?}");
    assert_eq!((of("run_succeeded").as_deref(), of("last_success_timestamp_seconds")), (Some("0"), good));
}
