//! Tests of the product from outside. Services come from `restore-tests/run`, which says where they are through `HOURGLASS_LAB_*`.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod byhand;
mod cli;
mod clouds;
mod damage;
mod fixtures;
mod lab;
mod postgres;
mod site;
mod stores;
mod tidy;
