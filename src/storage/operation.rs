//! The requests that a store gets, as data: for wrappers that count them or make them fail.

/// Which method of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `put_new`
    Put,
    /// `get`
    Get,
    /// `head`
    Head,
    /// `list`
    List,
    /// `delete`
    Delete,
    /// `versions`
    Versions,
    /// `get_version`
    GetVersion,
    /// `delete_version`
    DeleteVersion,
}

impl OperationKind {
    /// All of them.
    pub const ALL: [OperationKind; 8] = [
        OperationKind::Put,
        OperationKind::Get,
        OperationKind::Head,
        OperationKind::List,
        OperationKind::Delete,
        OperationKind::Versions,
        OperationKind::GetVersion,
        OperationKind::DeleteVersion,
    ];

    /// Whether it changes what is stored.
    pub fn is_write(self) -> bool {
        matches!(self, OperationKind::Put | OperationKind::Delete | OperationKind::DeleteVersion)
    }
}

/// One request to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Counts requests to this store, from 1.
    pub number: u64,
    /// What is asked.
    pub kind: OperationKind,
    /// Of which object; the prefix, for a listing.
    pub key: String,
}
