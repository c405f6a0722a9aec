//! Lists, page by page.

use super::{AdministrationClient, AdministrationError, HttpClient, Timer};
use crate::servicebus::administration::{FromEntry, Operation, Resource, ResponseError, read_page};
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// How many entries a page has unless the caller says otherwise: as many as the service gives at most.
const PAGE_SIZE: u32 = 100;

/// Entries and pages that a list has at most. A topic's correlation filters are the longest list of the service, and
/// there are at most 100 000 (Service Bus quotas).
const MOST: usize = if cfg!(test) { 2_000 } else { 200_000 };

#[derive(Debug)]
enum Next {
    First,
    Link(String),
    End,
}

/// A list that is read page by page. Entities that are made or deleted meanwhile may be missed or listed twice.
#[derive(Debug)]
pub struct Pages<'a, H, T, E> {
    client: &'a AdministrationClient<H, T>,
    resource: Resource,
    page_size: u32,
    next: Next,
    /// Entries and pages so far.
    read: usize,
    entries: PhantomData<fn() -> E>,
}

impl<'a, H: HttpClient, T: Timer, E: FromEntry> Pages<'a, H, T, E> {
    pub(super) fn new(client: &'a AdministrationClient<H, T>, resource: Resource) -> Self {
        Self { client, resource, page_size: PAGE_SIZE, next: Next::First, read: 0, entries: PhantomData }
    }

    /// With so many entries on a page: 1 to 100, 100 by default.
    #[must_use]
    pub fn page_size(self, page_size: u32) -> Self {
        Self { page_size: page_size.clamp(1, PAGE_SIZE), ..self }
    }

    /// The next page; `None` after the last. After an error the same page can be asked for again.
    ///
    /// Cancel safe: a page whose future is dropped is read again by the next call.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<E>>, AdministrationError<H::Error>> {
        let requests = self.client.requests();
        let unsigned = match &self.next {
            Next::First => requests.list(&self.resource, 0, self.page_size)?,
            Next::Link(link) => requests.follow(link),
            Next::End => return Ok(None),
        };
        let response = self.client.send(&unsigned, Operation::Get).await?;
        let page = read_page(&response, &self.resource)?;
        self.next = match page.next {
            // A page that names itself would never end, and neither would pages that name others without an end.
            Some(link) if requests.follow(&link) == unsigned || self.read >= MOST => {
                return Err(ResponseError::Unexpected.into());
            }
            Some(link) => Next::Link(link),
            None => Next::End,
        };
        self.read += page.entries.len().max(1);
        Ok(Some(page.entries))
    }

    /// All entries of all pages that are left.
    ///
    /// Cancel safe: nothing is lost but the pages read so far.
    ///
    /// # Errors
    /// [`AdministrationError`].
    pub async fn all(mut self) -> Result<Vec<E>, AdministrationError<H::Error>> {
        let mut entries = Vec::new();
        while let Some(page) = self.next_page().await? {
            entries.extend(page);
        }
        Ok(entries)
    }
}
