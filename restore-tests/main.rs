//! Tests of the product from outside. Services come from `restore-tests/run`, which says where they are through `HOURGLASS_LAB_*`.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod cli;
mod concurrent;
mod crash;
mod damage;
mod faults;
mod forgery;
mod histories;
mod lab;
mod secrets;
mod stores;
mod tidy;
