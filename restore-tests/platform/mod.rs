//! A small API platform of our own, which really works: it lives in region A, and comes back in region B.

mod client;
mod daemon;
mod recovery;
mod residue;
mod sites;
mod world;

use self::{
    client::{call, token},
    world::Place,
};
use crate::{clusters::Cluster, lab::Region};

#[test]
fn the_platform_comes_up_in_a_region_and_checks_tokens_that_its_manager_issued() {
    let region = Cluster::region_for_the_platform(Region::A);
    let a = Place { name: "a", folder: region.folder().to_owned() };
    a.prepare();
    a.install("install", &[]);
    let (manager, gateway) = (a.service("manager"), a.service("gateway"));
    let good = token(&manager).unwrap();
    assert_eq!(call(&gateway, &good, "first"), Ok(200));
    for (wrong, request) in [("of-nobody", "second"), ("", "third")] {
        assert_eq!(call(&gateway, wrong, request), Ok(401));
    }
    assert_eq!(a.sql("select request, app from apim.metrics"), "first\tshop\n");
    let life = a.cql(&[&format!("select app, ttl(app) from apim.tokens where id = '{good}'")]);
    assert!(life.starts_with("('shop', 86"), "{life}");
    a.gateways(2);
    a.fill_portal();
    assert!(a.portal_files().join("sites/shop/logo.svg").exists());
    let release = |name: &str| (name.to_owned(), "deployed".to_owned(), "1".to_owned());
    assert_eq!(a.releases(), [release("apim"), release("portal")]);
}
