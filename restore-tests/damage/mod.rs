//! Damage: every kind of object, in every way, through the binary. It is found at the depth that can see it, and named; no restore ends
//! well with other data than was saved; the next backup works, or says why not.

mod matrix;
mod repository;
mod versions;
