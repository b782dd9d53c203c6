//! Tests of the product from outside. Services come from `restore-tests/run`, which says where they are through `HOURGLASS_LAB_*`.

mod lab;
mod tidy;
