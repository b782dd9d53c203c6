//! Search clusters: what region A has is restored by region B from a repository that it only reads, and judged by searching it.

mod killed;
mod mirrors;
mod place;
mod planted;
mod spent;
pub mod world;
mod writes;

use std::fs;

use serde_json::json;

use self::world::{World, ask, documents, try_ask, write};
use crate::{
    docs::{of_page, run},
    lab::{Region, Servers},
    stores::places::{S3, bucket, container},
};

/// Indices with much of what mappings know, a data stream with its template, and a pipeline.
fn fill(world: &World) {
    let a = &world.a;
    let mappings = json!({"properties": {
        "text": {"type": "text", "analyzer": "folding"}, "at": {"type": "date_nanos"}, "where": {"type": "geo_point"}, "who": {"type": "nested"},
        "address": {"type": "ip"}, "exact": {"type": "double"}, "big": {"type": "unsigned_long"}, "tags": {"type": "keyword"}}});
    let analysis = json!({"analyzer": {"folding": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]}}});
    let settings = json!({"number_of_shards": 3, "number_of_replicas": 0, "analysis": analysis, "routing.allocation.exclude._name": "elsewhere"});
    let index = json!({"settings": settings, "mappings": mappings, "aliases": {world.of("alias"): {}}});
    ask(a, "PUT", &world.of("calls"), &index.to_string());
    let call = |id: u64| {
        let who = json!([{"name": format!("Zoë {id}"), "age": id}]);
        json!({"text": "Größe naïve", "at": format!("2026-11-21T12:00:00.{id:09}Z"), "where": {"lat": 51.5, "lon": id as f64 / 7.0}, "who": who,
            "address": format!("2001:db8::{id:x}"), "exact": 0.1 + id as f64, "big": u64::MAX - id, "tags": ["a", null], "deep": {"er": [id, 0], "x": ""}})
        .to_string()
    };
    write(a, &world.of("calls"), &(0..500).map(call).collect::<Vec<_>>());
    ask(a, "DELETE", &format!("{}/_doc/7?refresh=true", world.of("calls")), "");
    ask(a, "PUT", &world.of("empty"), r#"{"settings": {"number_of_replicas": 0}}"#);
    ask(a, "PUT", &format!("_component_template/{}", world.of("part")), r#"{"template": {"settings": {"number_of_replicas": 0}}}"#);
    let template = json!({"index_patterns": [world.of("stream*")], "composed_of": [world.of("part")], "data_stream": {}, "priority": 500});
    ask(a, "PUT", &format!("_index_template/{}", world.of("stream")), &template.to_string());
    for number in 0..20 {
        let document = format!(r#"{{"@timestamp": "2026-11-21T00:00:{number:02}Z", "n": {number}}}"#);
        ask(a, "POST", &format!("{}/_create/{number}", world.of("stream")), &document);
        if number == 9 {
            ask(a, "POST", &format!("{}/_rollover", world.of("stream")), "");
        }
    }
    ask(a, "PUT", &format!("_ingest/pipeline/{}", world.of("pipe")), r#"{"processors": [{"set": {"field": "seen", "value": true}}]}"#);
}

/// Backs up region A, loses it, restores it in region B, and compares by searching.
fn comes_back_in_the_other_region(world: &World) {
    fill(world);
    let names = ["calls", "empty", "stream"].map(|name| world.of(name));
    let expected = names.clone().map(|name| documents(&world.a, &name));
    assert_eq!(expected.each_ref().map(Vec::len), [499, 0, 20]);
    let said = world.site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    write(&world.a, &world.of("later"), &["{}".to_owned()]);
    ask(&world.a, "DELETE", &world.of("calls"), "");
    let said = world.site.run(&["restore", "p", "events", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved") || said.contains("not all of it could be read back"), "{said}");
    assert_eq!(names.clone().map(|name| documents(&world.b, &name)), expected);
    assert!(try_ask(&world.b, "GET", &world.of("later"), "").is_err(), "it was made after the point");
    let index = ask(&world.b, "GET", &world.of("alias"), "");
    let index = &index[world.of("calls")];
    assert_eq!(index["mappings"]["properties"]["text"]["analyzer"], "folding");
    assert!(index["settings"]["index"]["routing"]["allocation"]["exclude"].is_null(), "{index}");
    let found = ask(&world.b, "GET", &format!("{}/_search?q=text:grosse", world.of("calls")), "");
    assert_eq!(found["hits"]["total"]["value"], 499, "the analyzer folds as before");
    let pipeline = format!("_ingest/pipeline/{}", world.of("pipe"));
    assert_eq!(ask(&world.b, "GET", &pipeline, ""), ask(&world.a, "GET", &pipeline, ""));
    ask(&world.b, "POST", &format!("{}/_create/20", world.of("stream")), r#"{"@timestamp": "2026-11-21T00:01:00Z"}"#);
    assert_eq!(documents(&world.b, &world.of("stream")).len(), 21, "the stream goes on");
    let repository = ask(&world.b, "GET", &format!("_snapshot/{}", world.name), "");
    assert_eq!(repository[&world.name]["settings"]["readonly"], "true", "{repository}");
}

#[test]
fn what_region_a_has_comes_back_in_region_b() {
    // Templates are the whole cluster's: other tests must not remove theirs meanwhile.
    let _lab = Servers::Search.alone();
    comes_back_in_the_other_region(&World::new());
}

#[test]
fn analytics_come_back_from_repositories_in_s3_and_azure() {
    let _lab = Servers::Search.alone();
    let places = async { (bucket(S3::SeaweedFs, None).await.url.to_string(), container(None).await) };
    let (s3, (_folder, azure)) = tokio::runtime::Runtime::new().unwrap().block_on(places);
    let (bucket, container) = (s3.rsplit('/').next().unwrap(), azure.url.to_string());
    let container = container.rsplit('/').next().unwrap();
    let repositories = [
        format!(
            "{{ name: REPOSITORY, type: s3, settings: {{ bucket: {bucket}, base_path: analytics, chunk_size: 1gb, compress: \"true\", server_side_encryption_type: bucket_default }} }}"
        ),
        format!("{{ name: REPOSITORY, type: azure, settings: {{ container: {container}, base_path: analytics, compress: \"true\" }} }}"),
    ];
    for repository in repositories {
        comes_back_in_the_other_region(&World::with_repository(&repository));
    }
}

#[test]
fn an_index_is_restored_alone_under_another_name_and_over_itself_only_by_name() {
    let _lab = Servers::Search.together();
    let world = World::new();
    fill(&world);
    let (calls, old, expected) = (world.of("calls"), world.of("old"), documents(&world.a, &world.of("calls")));
    world.site.run(&["backup", "p"], 0);
    let renaming = format!("{calls}={old}");
    world.site.run(&["restore", "p", "events", &calls, "--into", "spare", "--rename", &renaming], 0);
    assert_eq!(documents(&world.b, &old), expected);
    for absent in [&calls, &world.of("alias"), &world.of("empty")] {
        assert!(try_ask(&world.b, "GET", absent, "").is_err(), "{absent}");
    }
    write(&world.b, &calls, &["{}".to_owned()]);
    let refused = world.site.run(&["restore", "p", "events", &calls, "--into", "spare"], 1);
    assert!(refused.contains(&format!("the index {calls} is not empty")), "{refused}");
    assert_eq!(documents(&world.b, &calls).len(), 1, "it was not touched");
    // In the cluster whose repository it is, which has it registered for writing.
    ask(&world.a, "POST", &format!("{calls}/_delete_by_query?refresh=true"), r#"{"query": {"match_all": {}}}"#);
    world.site.run(&["restore", "p", "events", &calls, "--in-place", "events"], 0);
    assert_eq!(documents(&world.a, &calls), expected);
    world.site.run(&["restore", "p", "events", "--to", "read"], 0);
    let description = fs::read_to_string(world.site.path("read/indices").join(&calls)).unwrap();
    assert!(description.contains("asciifolding") && description.contains(r#""documents":499"#), "{description}");
}

#[test]
fn the_how_to_of_analytics_works_as_written() {
    let _lab = Servers::Search.alone();
    let (world, page) = (World::new(), "docs/how-to/analytics.md");
    let tidy = || {
        for cluster in [&world.a, &world.b] {
            for path in ["apic-calls", "_snapshot/analytics"] {
                let _gone = try_ask(cluster, "DELETE", path, "");
            }
        }
    };
    tidy();
    write(&world.a, "apic-calls", &[r#"{"n": 1}"#.to_owned(), r#"{"n": 2}"#.to_owned()]);
    let place = Region::A.search().repositories.join(world.of("how-to"));
    let yaml = of_page(page, "Three commands", "yaml").concat();
    let yaml =
        yaml.replace("https://analytics.example.internal:9200", &world.a.url).replace("https://analytics-dr.example.internal:9200", &world.b.url);
    let yaml = yaml.replace("user: backup", &format!("user: {}", world.a.user)).replace("/mnt/snapshots", &place.display().to_string());
    let home = tempfile::tempdir().unwrap();
    for (to, from) in [("analytics.password", "search.password"), ("analytics-ca.pem", "ca.pem")] {
        fs::copy(world.site.path(from), home.path().join(to)).unwrap();
    }
    let before = format!("chmod 600 *.password\nhourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{yaml}END\nhourglass keys prove\n");
    let said = run(home.path(), &(before + &of_page(page, "Three commands", "sh").concat()));
    assert!(said.contains("is complete") && said.contains("found equal to what was saved"), "{said}");
    assert_eq!(documents(&world.b, "apic-calls").len(), 2);
    tidy();
}
