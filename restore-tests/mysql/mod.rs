//! MariaDB and MySQL 8, real ones: what comes back is judged by SQL, not by our code.

mod balance;
mod engine;
mod equal;
pub mod faults;
mod managed;
mod planted;
mod rights;
mod room;
mod users;
mod walk_through;
pub mod world;
