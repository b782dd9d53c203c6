//! Writes for one table: prepared statements, and the values that a row becomes. Nothing is ever written as null, so that no restore
//! leaves a tombstone.

use std::collections::BTreeMap;

use scylla::statement::prepared::PreparedStatement;

use super::{
    cells::{self, Form},
    connect::Cluster,
    cql::{path, quoted},
    error::CassandraError,
    layout::Layout,
    life::{Life, Moment, Times, groups, newest},
    parts::{Part, Parted},
    schema::Kind,
    values::Values,
};

/// The prepared writes of a table.
#[derive(Debug)]
pub(super) struct Statements {
    /// `INSERT`, which also says that the row exists; values that are not given stay unset.
    insert: PreparedStatement,
    update: Option<PreparedStatement>,
    insert_static: Option<PreparedStatement>,
    /// By column: adds elements, or sets fields.
    add: BTreeMap<usize, PreparedStatement>,
    /// By column: replaces a list.
    assign: BTreeMap<usize, PreparedStatement>,
    /// Columns of `insert`, `update` and `insert_static` that are no key.
    whole: Vec<usize>,
    whole_static: Vec<usize>,
}

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Insert,
    Update,
    InsertStatic,
    Add(usize),
    /// Elements of a list; the first of its value replace it when it is written again.
    AddToList(usize, bool),
}

/// One write.
#[derive(Debug, Clone)]
pub(super) struct Write {
    which: Which,
    values: Values,
    /// Where the time stands in the values.
    time_at: usize,
}

impl Write {
    pub(super) fn size(&self) -> usize {
        self.values.bytes.len() + 64
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// Whether doing it again would add elements a second time.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.which, Which::AddToList(..))
    }

    /// The same, written again at `time`: it replaces what the first try may have left.
    pub(super) fn again(mut self, time: i64) -> Write {
        if self.is_list() {
            let at = self.time_at + 4;
            let old = cells::long(&self.values.bytes[at..at + 8]).expect("a time stands there");
            self.values.bytes[at..at + 8].copy_from_slice(&time.max(old.saturating_add(1)).to_be_bytes());
        }
        self
    }
}

impl Statements {
    pub(super) async fn prepare(cluster: &Cluster, layout: &Layout) -> Result<Statements, CassandraError> {
        let is_whole = |layout: &Layout, number: &usize| layout.columns[*number].form() == Form::Whole;
        let whole: Vec<usize> = layout.of(Kind::Regular).map(|(number, _)| number).filter(|number| is_whole(layout, number)).collect();
        let whole_static: Vec<usize> = layout.of(Kind::Static).map(|(number, _)| number).filter(|number| is_whole(layout, number)).collect();
        let name = path(&layout.keyspace, &layout.table);
        let prepare = async |text: String| {
            let mut prepared = cluster.prepare(&text).await?;
            prepared.set_is_idempotent(true);
            Ok::<_, CassandraError>(prepared)
        };
        let insert = |kinds: &[Kind], columns: &[usize]| {
            let mut names: Vec<String> = kinds.iter().flat_map(|kind| layout.names(*kind)).collect();
            names.extend(columns.iter().map(|number| quoted(&layout.columns[*number].name)));
            format!("INSERT INTO {name} ({}) VALUES ({}) USING TIMESTAMP ? AND TTL ?", names.join(", "), vec!["?"; names.len()].join(", "))
        };
        let set = |parts: &str, fixed: bool| format!("UPDATE {name} USING TIMESTAMP ? AND TTL ? SET {parts} WHERE {}", layout.key_condition(fixed));
        let (mut add, mut assign) = (BTreeMap::new(), BTreeMap::new());
        for (number, column) in layout.columns.iter().enumerate().filter(|(_, column)| !column.is_key()) {
            let (quoted_name, fixed) = (quoted(&column.name), column.kind == Kind::Static);
            match column.form() {
                Form::Whole => {}
                Form::Fields => {
                    let fields = field_names(cluster, layout, column.ty.name()).await?;
                    let parts: Vec<String> = fields.iter().map(|field| format!("{quoted_name}.{} = ?", quoted(field))).collect();
                    add.insert(number, prepare(set(&parts.join(", "), fixed)).await?);
                }
                form => {
                    add.insert(number, prepare(set(&format!("{quoted_name} = {quoted_name} + ?"), fixed)).await?);
                    if form == Form::List {
                        assign.insert(number, prepare(set(&format!("{quoted_name} = ?"), fixed)).await?);
                    }
                }
            }
        }
        let assignments: Vec<String> = whole.iter().map(|number| format!("{} = ?", quoted(&layout.columns[*number].name))).collect();
        Ok(Statements {
            insert: prepare(insert(&[Kind::Partition, Kind::Clustering], &whole)).await?,
            update: if whole.is_empty() { None } else { Some(prepare(set(&assignments.join(", "), false)).await?) },
            insert_static: if whole_static.is_empty() { None } else { Some(prepare(insert(&[Kind::Partition], &whole_static)).await?) },
            add,
            assign,
            whole,
            whole_static,
        })
    }

    /// The statement for a write; `again`: when it may have been done before.
    pub(super) fn of(&self, write: &Write, again: bool) -> &PreparedStatement {
        let known = "a write is made for a column that has its statement";
        match write.which {
            Which::Insert => &self.insert,
            Which::Update => self.update.as_ref().expect(known),
            Which::InsertStatic => self.insert_static.as_ref().expect(known),
            Which::AddToList(column, true) if again => self.assign.get(&column).expect(known),
            Which::Add(column) | Which::AddToList(column, _) => self.add.get(&column).expect(known),
        }
    }

    /// The writes that make a row, and its partition's static row if this is the first of the partition. Nothing when all of it has expired.
    pub(super) fn writes(&self, layout: &Layout, row: &Parted<'_>, with_statics: bool, moment: Moment) -> Vec<Write> {
        let mut writes = Vec::new();
        if with_statics {
            for ((expires, time), parts) in groups(&row.statics, moment) {
                let life = Life { time, ttl: moment.ttl(expires) };
                self.simple(Which::InsertStatic, &row.partition, &self.whole_static, life, &parts, &mut writes);
            }
            self.elements(layout, &row.partition, &row.statics, moment, &mut writes);
        }
        let Some(_) = &row.clustering else { return writes };
        let key = row.key();
        if row.regulars.is_empty() {
            // Only the mark that the row exists; when it ends is not told, and in a table whose rows end it ends no later than a new one.
            let life = Life { time: moment.read_at.saturating_mul(1_000_000), ttl: layout.default_ttl };
            writes.push(self.write(Which::Insert, &key, &self.whole, life, &[]));
            return writes;
        }
        let groups = groups(&row.regulars, moment);
        // The mark that the row exists lives as long as the cell that lives longest.
        let Some(mark) = groups.keys().map(|(expires, time)| (expires.is_none(), *expires, *time)).max() else { return writes };
        for ((expires, time), parts) in &groups {
            let is_mark = (expires.is_none(), *expires, *time) == mark;
            let life = Life { time: *time, ttl: moment.ttl(*expires) };
            if is_mark {
                let simple: Vec<&Part<'_>> = parts.iter().filter(|part| self.whole.contains(&part.column)).copied().collect();
                writes.push(self.write(Which::Insert, &key, &self.whole, life, &simple));
            } else {
                self.simple(Which::Update, &key, &self.whole, life, parts, &mut writes);
            }
        }
        self.elements(layout, &key, &row.regulars, moment, &mut writes);
        writes
    }

    /// A write of those of `parts` that are no elements, if there are any.
    fn simple(&self, which: Which, key: &[u8], columns: &[usize], life: Life, parts: &[&Part<'_>], writes: &mut Vec<Write>) {
        let simple: Vec<&Part<'_>> = parts.iter().filter(|part| columns.contains(&part.column)).copied().collect();
        if !simple.is_empty() {
            writes.push(self.write(which, key, columns, life, &simple));
        }
    }

    fn write(&self, which: Which, key: &[u8], columns: &[usize], life: Life, parts: &[&Part<'_>]) -> Write {
        let mut values = Values::default();
        let first = matches!(which, Which::Update);
        if first {
            life.put(&mut values);
        } else {
            values.extend(key);
        }
        for column in columns {
            match parts.iter().find(|part| part.column == *column) {
                Some(part) => values.push(part.bytes),
                None => values.unset(),
            }
        }
        let time_at = if first { 0 } else { values.bytes.len() };
        if first {
            values.extend(key);
        } else {
            life.put(&mut values);
        }
        Write { which, values, time_at }
    }

    /// Writes of elements: together where time and end are the same; those of a list in their order.
    fn elements(&self, layout: &Layout, key: &[u8], parts: &[Part<'_>], moment: Moment, writes: &mut Vec<Write>) {
        let fallback = newest(parts, moment);
        for (number, statement) in &self.add {
            let form = layout.columns[*number].form();
            let mine: Vec<&Part<'_>> = parts.iter().filter(|part| part.column == *number && moment.lives(part)).collect();
            let mut runs: Vec<(Times, Vec<&Part<'_>>)> = Vec::new();
            for part in mine {
                let life = (part.expires, part.time.unwrap_or(fallback));
                let known = if form == Form::List {
                    runs.last_mut().filter(|(known, _)| *known == life)
                } else {
                    runs.iter_mut().find(|(known, _)| *known == life)
                };
                match known {
                    Some((_, run)) => run.push(part),
                    None => runs.push((life, vec![part])),
                }
            }
            for (nth, ((expires, time), run)) in runs.into_iter().enumerate() {
                let mut values = Values::default();
                Life { time, ttl: moment.ttl(expires) }.put(&mut values);
                if form == Form::Fields {
                    // Markers: time, time to live, fields, key.
                    let fields = statement.get_variable_col_specs().len() - 2 - key_values(key);
                    for place in 0..fields {
                        match run.iter().find(|part| part.place == place) {
                            Some(part) => values.extend(part.bytes),
                            None => values.unset(),
                        }
                    }
                } else {
                    values.push(&cells::collection(run.iter().map(|part| part.bytes)));
                }
                values.extend(key);
                let which = if form == Form::List { Which::AddToList(*number, nth == 0) } else { Which::Add(*number) };
                writes.push(Write { which, values, time_at: 0 });
            }
        }
    }
}

fn key_values(mut key: &[u8]) -> usize {
    let mut count = 0;
    while cells::take(&mut key).is_some() {
        count += 1;
    }
    count
}

/// Fields of a type, as the target has it.
async fn field_names(cluster: &Cluster, layout: &Layout, ty: &str) -> Result<Vec<String>, CassandraError> {
    let name = super::cql::words(ty).next().unwrap_or_default();
    let text = "SELECT field_names FROM system_schema.types WHERE keyspace_name = ? AND type_name = ?";
    let rows = cluster.rows(text, (&layout.keyspace, &name)).await?;
    rows.iter().next().map(|row| row.texts("field_names")).ok_or_else(|| CassandraError::Cluster(format!("the target has no type {name}")))
}
