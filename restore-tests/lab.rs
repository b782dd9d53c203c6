//! Where the services are that `restore-tests/run` has started.

use std::env;

/// The value of a variable that the lab sets; without it the test fails, because a missing service is a failure.
pub fn require(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the tests with restore-tests/run"))
}
