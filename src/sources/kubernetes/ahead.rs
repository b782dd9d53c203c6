//! Pages of a list of which one is asked for while the one before it is used: so server and client work at the same time. Two are in memory.

use tokio_util::task::AbortOnDropHandle;

use super::{
    api::{Api, Page},
    listing::Pages,
};
use crate::sources::{SourceError, SourceErrorKind};

type Coming = AbortOnDropHandle<(Pages, Result<Option<Page>, SourceError>)>;

/// Pages that are read ahead, from the first that is asked for.
#[derive(Debug)]
pub struct Ahead {
    api: Api,
    /// Absent while a task has them.
    pages: Option<Pages>,
    coming: Option<Coming>,
    /// Of the page that was given last: what the list is a snapshot of.
    pub version: String,
    /// Whether it is newer than the first.
    pub is_torn: bool,
}

impl Ahead {
    /// Asks for nothing yet.
    pub fn new(api: Api, pages: Pages) -> Ahead {
        Ahead { api, pages: Some(pages), coming: None, version: String::new(), is_torn: false }
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or has an object that is too large.
    pub async fn next(&mut self) -> Result<Option<Page>, SourceError> {
        self.ask();
        let Some(coming) = self.coming.take() else { return Ok(None) };
        let (pages, page) = coming.await.map_err(|error| SourceError::Database {
            doing: "read a list".to_owned(),
            kind: SourceErrorKind::Failed,
            source: error.into(),
        })?;
        self.version.clone_from(&pages.version);
        self.is_torn = pages.is_torn;
        self.pages = Some(pages);
        let page = page?;
        if page.is_some() {
            self.ask();
        }
        Ok(page)
    }

    fn ask(&mut self) {
        let Some(mut pages) = self.pages.take() else { return };
        let api = self.api.clone();
        let asked = async move {
            let page = pages.next(&api).await;
            (pages, page)
        };
        self.coming = Some(AbortOnDropHandle::new(self.api.handle().spawn(asked)));
    }
}
