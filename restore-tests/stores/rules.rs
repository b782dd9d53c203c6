//! What stores do to objects of their own accord: found where they say it.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, DefaultRetention, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
};
use hourglass::{
    config::{LockMode, StoreConfig, StoreUrl},
    model::Secret,
    storage::{AccessKey, ErrorKind, rules},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::places::{S3, access_key, below, bucket, container, s3_client};

/// All that is found; nothing may be left unanswered.
async fn found(config: &StoreConfig) -> Vec<String> {
    rules(config, Some(&access_key())).await.into_iter().map(Result::unwrap).collect()
}

fn name(config: &StoreConfig) -> &str {
    let StoreUrl::S3 { bucket, .. } = &config.url else { panic!("{}", config.url) };
    bucket
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_without_rules_of_their_own_have_none() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        assert_eq!(found(&bucket(service, None).await).await, [""; 0], "{service:?}");
    }
    let (_folder, azure) = container(None).await;
    assert_eq!(found(&azure).await, [""; 0]);
    assert_eq!(found(&StoreConfig::at("/nowhere".parse().unwrap())).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_rules_that_delete_objects_of_the_store_are_found() {
    let config = bucket(S3::SeaweedFs, None).await;
    let rule = |id: &str, status: ExpirationStatus, prefix: &str| {
        let rule = LifecycleRule::builder().id(id).status(status).filter(LifecycleRuleFilter::builder().prefix(prefix).build());
        rule.expiration(LifecycleExpiration::builder().days(30).build()).build().unwrap()
    };
    let rules = BucketLifecycleConfiguration::builder().rules(rule("below", ExpirationStatus::Enabled, "live/indices/"));
    let rules = rules.rules(rule("above", ExpirationStatus::Enabled, "li")).rules(rule("beside", ExpirationStatus::Enabled, "logs/"));
    let rules = rules.rules(rule("asleep", ExpirationStatus::Disabled, "live/")).build().unwrap();
    let put = s3_client(S3::SeaweedFs).put_bucket_lifecycle_configuration().bucket(name(&config)).lifecycle_configuration(rules);
    put.send().await.unwrap();
    let mut found = found(&below(&config, "live")).await;
    found.sort();
    assert_eq!(
        found,
        [
            r#"the lifecycle rule "above" of the bucket, for "li*", deletes objects after 30 days"#,
            r#"the lifecycle rule "below" of the bucket, for "live/indices/*", deletes objects after 30 days"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_that_lock_their_objects_are_found() {
    for service in [S3::SeaweedFs, S3::VersityGw] {
        let config = bucket(service, Some(LockMode::Governance)).await;
        let without = found(&config).await;
        assert!(without.len() == 1 && without[0].contains("has object lock, which keeps versions"), "{service:?}: {without:?}");
        let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(9).build();
        let rule = ObjectLockRule::builder().default_retention(default).build();
        let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
        s3_client(service).put_object_lock_configuration().bucket(name(&config)).object_lock_configuration(lock).send().await.unwrap();
        let with = found(&config).await;
        assert!(with.len() == 1 && with[0].contains("locks every object for 9 days"), "{service:?}: {with:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_rules_cannot_be_asked_for_is_said() {
    let config = bucket(S3::SeaweedFs, None).await;
    let wrong = AccessKey { secret: Secret::new("a-wrong-secret".to_owned()), ..access_key() };
    let unanswered = rules(&config, Some(&wrong)).await;
    assert!(!unanswered.is_empty() && unanswered.iter().all(|rule| rule.as_ref().unwrap_err().kind() == ErrorKind::AccessDenied), "{unanswered:?}");
    let absent = StoreConfig { url: "s3://no-such-bucket".parse().unwrap(), ..config };
    assert!(rules(&absent, Some(&access_key())).await.iter().any(|rule| rule.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)));
}

/// The lab's container has no immutability, so the service's answer is written here, as its reference has it.
#[tokio::test(flavor = "multi_thread")]
async fn containers_that_are_immutable_are_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(client.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 200 OK\r\nx-ms-has-immutability-policy: true\r\nx-ms-has-legal-hold: false\r\ncontent-length: 0\r\n\r\n";
        client.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    let (_folder, config) = container(None).await;
    let found = found(&StoreConfig { endpoint: Some(endpoint.parse().unwrap()), ..config }).await;
    assert_eq!(found, ["the container has an immutability policy: nothing in it can be replaced or deleted"]);
    assert!(served.await.unwrap().contains("restype=container"));
}
