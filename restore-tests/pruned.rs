//! Prune on the clouds: nothing of an epoch is left, hidden versions included; what is locked stays and is told of.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bytes::Bytes;
use hourglass::{
    config::{LockMode, StoreConfig, StoreUrl},
    model::{ByteCount, EntryNumber, SystemClock, Timestamp},
    repository::{
        layout,
        prune::{Deletion, delete_epoch, plan},
        record::{Body, EpochClose, Expire, ExpiredPoint, Prune, Writer, append},
    },
    storage::{Put, PutOptions, list_all},
};

use crate::{
    crash::{
        snapshot::{Snapshot, assert_same, fill},
        world::{World, context},
    },
    stores::places::{S3, bucket, container, s3_client},
};

/// A repository in a cloud, with two points in two epochs, the first given up and its epoch closed.
struct Old {
    world: World,
    kept: (EntryNumber, Snapshot),
    deletion: Deletion,
}

impl Old {
    async fn new(place: &StoreConfig) -> Old {
        let source = World::new();
        fill(&source.tree(), &source.dump(), 6);
        let world = source.lifted(place).await;
        let first = world.point("daily", 0).await;
        let (key, store) = (world.operator().signing_key, world.store("repository"));
        let writer = Writer { store: &*store, key: &key, clock: &SystemClock, retain_until: None };
        let mut record = world.record("daily").await;
        let epoch = record.state().open_epochs().next().unwrap().0.clone();
        append(&writer, &mut record, Body::EpochClose(EpochClose { epoch, reason: "a test".to_owned() })).await.unwrap();
        let points = vec![ExpiredPoint { number: first, reason: "a test".to_owned() }];
        let seen = Timestamp::now();
        append(&writer, &mut record, Body::Expire(Expire { points, seen, delete_after: seen })).await.unwrap();
        let kept = (world.point("daily", 60).await, source.present("daily"));
        let mut decided = plan(&world.record("daily").await, &[], Timestamp::now()).unwrap();
        assert_eq!(decided.delete.len(), 1);
        Old { world, kept, deletion: decided.delete.remove(0) }
    }

    /// Every key under which the deletion may leave nothing.
    async fn keys(&self) -> Vec<hourglass::model::ObjectKey> {
        let (store, lineage) = (self.world.store("repository"), self.world.lineage("daily"));
        let mut keys: Vec<_> = self.deletion.sealed.iter().map(|digest| layout::sealed(&lineage, *digest)).collect();
        for prefix in layout::epoch_prefixes(&lineage, &self.deletion.epoch) {
            keys.extend(list_all(&*store, &prefix).await.unwrap().into_iter().map(|object| object.key));
        }
        keys
    }

    /// Deletes, checks that nothing but the epoch is gone, and writes it down.
    async fn prune(&self, keys: &[hourglass::model::ObjectKey]) {
        let (world, store) = (&self.world, self.world.store("repository"));
        let mut record = world.record("daily").await;
        let deleted = delete_epoch(&*store, &record, &self.deletion, &context(0)).await.unwrap();
        assert!(deleted.is_finished() && deleted.objects == keys.len() as u64, "{deleted:?}");
        for key in keys {
            assert!(store.head(key).await.unwrap().is_none(), "{key}");
            assert!(store.versions(key).await.is_ok_and(|versions| versions.is_empty()), "{key}");
        }
        assert_same(&world.restored("daily", self.kept.0, &store).await, &self.kept.1, "the kept point");
        let key = world.operator().signing_key;
        let writer = Writer { store: &*store, key: &key, clock: &SystemClock, retain_until: None };
        let Deletion { epoch, expire, .. } = self.deletion.clone();
        append(&writer, &mut record, Body::Prune(Prune { epoch, expire, objects: deleted.objects, bytes: ByteCount(1) })).await.unwrap();
        assert!(plan(&world.record("daily").await, &[], Timestamp::now()).unwrap().delete.is_empty());
        world.points("daily").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_epoch_leaves_nothing_in_azure() {
    let (_folder, place) = container(None).await;
    let old = Old::new(&place).await;
    old.prune(&old.keys().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_epoch_leaves_no_version_in_a_versioned_bucket_hidden_ones_included() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let place = bucket(service, None).await;
        let StoreUrl::S3 { bucket: name, .. } = &place.url else { unreachable!() };
        let status = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3_client(service).put_bucket_versioning().bucket(name).versioning_configuration(status).send().await.unwrap();
        let old = Old::new(&place).await;
        let (keys, store) = (old.keys().await, old.world.store("repository"));
        // Every second object is hidden; some of these have a second version above the marker.
        for (i, key) in keys.iter().enumerate().filter(|(i, key)| i % 2 == 0 && !key.as_str().contains("/packlists/")) {
            let body = store.get(key, None).await.unwrap();
            store.delete(key).await.unwrap();
            if i % 4 == 0 {
                let _again = store.put_new(key, Bytes::clone(&body), &PutOptions::of(&body)).await.unwrap();
            }
        }
        old.prune(&keys).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_outlives_a_prune_that_says_so_and_can_be_run_again() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let place = bucket(service, Some(LockMode::Governance)).await;
        let old = Old::new(&place).await;
        let (keys, store) = (old.keys().await, old.world.store("repository"));
        // The policy of these tests locks nothing by itself: a pack is put once more, as a run with a lock puts it.
        let pack = keys.iter().find(|key| key.as_str().contains("/packs/")).unwrap();
        let body = store.get(pack, None).await.unwrap();
        store.delete_version(pack, &store.head(pack).await.unwrap().unwrap().version.unwrap()).await.unwrap();
        let soon = Timestamp::now() + std::time::Duration::from_secs(3600);
        let options = PutOptions { retain_until: Some(soon), ..PutOptions::of(&body) };
        assert_eq!(store.put_new(pack, body.clone(), &options).await.unwrap(), Put::Created);
        let record = old.world.record("daily").await;
        for _ in 0..2 {
            let deleted = delete_epoch(&*store, &record, &old.deletion, &context(0)).await.unwrap();
            assert!(!deleted.is_finished(), "{service:?}: {deleted:?}");
            let refused: Vec<_> = deleted.refused.iter().map(|problem| problem.subject.clone()).collect();
            assert_eq!(refused, [pack.to_string()], "{service:?}");
            assert_eq!(store.get(pack, None).await.unwrap(), body, "{service:?}");
        }
        // What names the pack is still there, so that a later prune finds it.
        assert!(!list_all(&*store, &layout::epoch_prefixes(&old.world.lineage("daily"), &old.deletion.epoch)[3]).await.unwrap().is_empty());
        assert_same(&old.world.restored("daily", old.kept.0, &store).await, &old.kept.1, "the kept point");
    }
}
