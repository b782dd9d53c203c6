//! Values for the markers of a statement, as they travel: nothing is encoded here.

use scylla::serialize::{
    SerializationError,
    row::{RowSerializationContext, SerializeRow},
    writers::RowWriter,
};

use super::cells;

/// Values in the order of a statement's markers: each with its length, -2 for what stays unset.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    pub bytes: Vec<u8>,
}

impl Values {
    pub(super) fn push(&mut self, value: &[u8]) {
        cells::put(&mut self.bytes, Some(value));
    }

    pub(super) fn unset(&mut self) {
        self.bytes.extend_from_slice(&(-2i32).to_be_bytes());
    }

    /// Values that have their lengths already.
    pub(super) fn extend(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
    }
}

impl SerializeRow for Values {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let mut rest = self.bytes.as_slice();
        while let Some(length) = rest.first_chunk::<4>().copied() {
            let value = cells::take(&mut rest).expect("values are put together here");
            let cell = writer.make_cell_writer();
            match value {
                Some(value) => cell.set_value(value).map(|_| ()).map_err(SerializationError::new)?,
                None if i32::from_be_bytes(length) == -2 => drop(cell.set_unset()),
                None => drop(cell.set_null()),
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
