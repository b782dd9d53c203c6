//! What a bucket does to its objects of its own accord.

use aws_sdk_s3::types::{DefaultRetention, ExpirationStatus, LifecycleRule, ObjectLockEnabled, TransitionStorageClass};

use super::S3Store;
use crate::storage::{ErrorKind, StoreError};

impl S3Store {
    /// See [`crate::storage::rules`].
    pub(in crate::storage) async fn rules(&self) -> Vec<Result<String, StoreError>> {
        let mut found = Vec::new();
        match self.lifecycle().await {
            Ok(rules) => found.extend(rules.iter().filter_map(|rule| self.deletes_or_archives(rule)).map(Ok)),
            Err(error) => found.extend(asked(error).map(Err)),
        }
        match self.object_lock().await {
            Ok(lock) => found.extend(lock.map(Ok)),
            Err(error) => found.extend(asked(error).map(Err)),
        }
        found
    }

    async fn lifecycle(&self) -> Result<Vec<LifecycleRule>, StoreError> {
        let asked = self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await;
        Ok(asked.map_err(|error| self.error(error, "get", "the lifecycle rules"))?.rules.unwrap_or_default())
    }

    async fn object_lock(&self) -> Result<Option<String>, StoreError> {
        let asked = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
        let lock = asked.map_err(|error| self.error(error, "get", "the object lock"))?.object_lock_configuration;
        let lock = lock.filter(|lock| lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled));
        let described = |retention: &DefaultRetention| {
            let span = retention.days().map_or(format!("{} years", retention.years().unwrap_or_default()), |days| format!("{days} days"));
            format!("the bucket locks every object for {span}: whatever is deleted there stays, and is paid for")
        };
        let versions = || "the bucket has object lock, which keeps versions: whatever is deleted there stays, and is paid for".to_owned();
        Ok(lock.map(|lock| lock.rule().and_then(|rule| rule.default_retention()).map_or_else(versions, described)))
    }

    /// What a rule does to objects of this store, if it takes them away. What has become an old version counts as deleted already.
    fn deletes_or_archives(&self, rule: &LifecycleRule) -> Option<String> {
        let of_filter = rule.filter().and_then(|filter| filter.prefix().or_else(|| filter.and()?.prefix()));
        #[expect(deprecated, reason = "rules that were made long ago have it")]
        let prefix = of_filter.or(rule.prefix()).unwrap_or_default();
        if *rule.status() != ExpirationStatus::Enabled || !(prefix.starts_with(&self.prefix) || self.prefix.starts_with(prefix)) {
            return None;
        }
        let name = format!("the lifecycle rule {:?} of the bucket, for {:?},", rule.id().unwrap_or_default(), format!("{prefix}*"));
        let after = |days: Option<i32>| days.map_or("on a date".to_owned(), |days| format!("after {days} days"));
        let deletes = rule.expiration().filter(|expiration| expiration.days().is_some() || expiration.date().is_some());
        if let Some(expiration) = deletes {
            return Some(format!("{name} deletes objects {}", after(expiration.days())));
        }
        let is_archive = |class: &TransitionStorageClass| matches!(class, TransitionStorageClass::Glacier | TransitionStorageClass::DeepArchive);
        let archives =
            rule.transitions().iter().find_map(|transition| Some((transition, transition.storage_class().filter(|class| is_archive(class))?)));
        archives.map(|(transition, class)| format!("{name} moves objects {} to {class}, where they cannot be read", after(transition.days())))
    }
}

/// An error that says more than that there are no such rules.
fn asked(error: StoreError) -> Option<StoreError> {
    let nothing = error.kind() == ErrorKind::Unsupported || (error.kind() == ErrorKind::NotFound && error.has_key());
    (!nothing).then_some(error)
}
