//! Limits that every store keeps, so that nothing waits for ever.

use std::time::Duration;

/// To connect.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// For one request, from the first byte sent to the last one received: an object of the largest size at 0.4 MiB/s.
pub(super) const ATTEMPT: Duration = Duration::from_secs(180);

/// Between two parts of an answer.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
