//! What of a table counts as equal: the canonical forms whose digest is kept. Format: docs/format/source-cassandra.md.

use std::collections::HashSet;

use super::{
    cells::{self, Form},
    layout::Layout,
    parts::{Part, Parted},
};
use crate::sources::{RowDigest, RowDigester, RowKey};

/// How many cells that expire soon are remembered one by one.
const MOST_NEAR: usize = 500_000;
/// What expires within this many seconds of its restore may be gone when the target is read back.
pub(super) const NEAR: i64 = 6 * 3600;

/// Adds up the canonical forms of rows, in the order of a scan.
pub(super) struct Tally<'a> {
    layout: &'a Layout,
    digester: RowDigester,
    partition: Option<Vec<u8>>,
    form: Vec<u8>,
    /// Rows that were seen.
    pub rows: u64,
    /// Whether there were cells that expire.
    pub expiring: bool,
}

impl<'a> Tally<'a> {
    pub(super) fn new(layout: &'a Layout, key: &RowKey) -> Tally<'a> {
        Tally { layout, digester: key.digester(), partition: None, form: Vec::new(), rows: 0, expiring: false }
    }

    /// Adds a row; cells for which `skip` is true of their form are left out, if they expire.
    pub(super) fn add(&mut self, row: &Parted<'_>, skip: impl Fn(&[u8]) -> bool) {
        self.rows += 1;
        if self.partition.as_deref() != Some(&row.partition) {
            self.partition = Some(row.partition.clone());
            if row.statics.iter().any(|part| part.expires.is_none()) {
                self.whole(b'S', &row.partition, &row.statics);
            }
            self.expiring(&row.partition, &row.statics, &skip);
        }
        if row.clustering.is_some() {
            let key = row.key();
            if row.regulars.is_empty() || row.regulars.iter().any(|part| part.expires.is_none()) {
                self.whole(b'R', &key, &row.regulars);
            }
            self.expiring(&key, &row.regulars, &skip);
        }
    }

    /// A row's cells without an end, as one.
    fn whole(&mut self, tag: u8, key: &[u8], parts: &[Part<'_>]) {
        self.form.clear();
        self.form.push(tag);
        cells::put(&mut self.form, Some(key));
        for part in parts.iter().filter(|part| part.expires.is_none()) {
            put_part(&mut self.form, self.layout, part);
        }
        self.digester.row(&self.form);
    }

    fn expiring(&mut self, key: &[u8], parts: &[Part<'_>], skip: &impl Fn(&[u8]) -> bool) {
        for part in parts.iter().filter(|part| part.expires.is_some()) {
            self.expiring = true;
            expiring_form(&mut self.form, self.layout, key, part);
            if !skip(&self.form) {
                self.digester.row(&self.form);
            }
        }
    }

    pub(super) fn digest(&self) -> RowDigest {
        self.digester.digest()
    }
}

/// A cell with an end, by itself: it vanishes by itself.
fn expiring_form(form: &mut Vec<u8>, layout: &Layout, key: &[u8], part: &Part<'_>) {
    form.clear();
    form.push(b'T');
    cells::put(form, Some(key));
    put_part(form, layout, part);
}

/// Column, place where it matters, value, and time of writing where it can be kept.
fn put_part(form: &mut Vec<u8>, layout: &Layout, part: &Part<'_>) {
    let column = &layout.columns[part.column];
    cells::put(form, Some(column.name.as_bytes()));
    if column.form() == Form::Fields {
        form.extend_from_slice(&u32::try_from(part.place).expect("types have few fields").to_be_bytes());
    }
    cells::put(form, Some(part.bytes));
    match part.time {
        // Elements of a list are identified by when they were added, so that a repeated restore may have to add them later.
        Some(time) if column.form() != Form::List => cells::put(form, Some(&time.to_be_bytes())),
        _ => cells::put(form, None),
    }
}

/// What a restore left out or expects to vanish before it is compared.
#[derive(Debug)]
pub(super) struct Vanishing {
    digester: RowDigester,
    near: HashSet<u128>,
    /// Whether there was more than can be remembered.
    pub overflowed: bool,
    /// The second at which the restore of the component began.
    pub since: i64,
}

impl Vanishing {
    pub(super) fn new(key: &RowKey, since: i64) -> Vanishing {
        Vanishing { digester: key.digester(), near: HashSet::new(), overflowed: false, since }
    }

    /// Remembers a row's cells that expire soon, or have.
    pub(super) fn add(&mut self, layout: &Layout, row: &Parted<'_>, first_of_partition: bool) {
        let before = self.since + NEAR;
        let is_near = |part: &&Part<'_>| part.expires.is_some_and(|at| at <= before);
        let statics = row.statics.iter().filter(|_| first_of_partition).filter(is_near).map(|part| (true, part));
        let near: Vec<_> = statics.chain(row.regulars.iter().filter(is_near).map(|part| (false, part))).collect();
        if near.is_empty() {
            return;
        }
        let (mut form, key) = (Vec::new(), row.key());
        for (is_static, part) in near {
            expiring_form(&mut form, layout, if is_static { &row.partition } else { &key }, part);
            self.overflowed |= self.near.len() >= MOST_NEAR;
            if !self.overflowed {
                self.digester.row(&form);
                self.near.insert(short(&form));
            }
        }
    }

    pub(super) fn holds(&self, form: &[u8]) -> bool {
        !self.near.is_empty() && self.near.contains(&short(form))
    }

    pub(super) fn digest(&self) -> RowDigest {
        self.digester.digest()
    }
}

fn short(form: &[u8]) -> u128 {
    u128::from_le_bytes(*blake3::hash(form).as_bytes().first_chunk().expect("a hash has 32 bytes"))
}
