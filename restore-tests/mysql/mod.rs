//! MariaDB and MySQL 8, real ones: what comes back is judged by SQL and by the stock dump program, not by our code.

mod engine;
mod equal;
mod faults;
mod readme;
mod rights;
mod users;
mod world;
