//! Tests of the product from outside. Services come from `restore-tests/run`, which says where they are through `HOURGLASS_LAB_*`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test says what is wrong by panicking, and what it measured by printing")]

mod analytics;
mod byhand;
mod cassandra;
mod churn;
mod cli;
mod clouds;
mod concurrent;
mod crash;
mod damage;
mod demo;
mod docs;
mod faults;
mod fixtures;
mod forgery;
mod fuzz;
mod histories;
mod incomplete;
mod lab;
mod mysql;
mod paused;
mod points;
mod postgres;
mod pruned;
mod recover;
mod refused;
mod regions;
mod secrets;
mod servers;
mod signers;
mod site;
mod stores;
mod tidy;
mod weather;
mod wire;
