//! Lists, page by page.

use super::{AdministrationClient, AdministrationError, HttpClient, Timer};
use crate::servicebus::administration::{FromEntry, Operation, Resource, ResponseError, read_page};
#[cfg(feature = "stream")]
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Default entries per page: the service's maximum.
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

/// A list that is read page by page: with [`next_page`](Self::next_page), all at once with [`all`](Self::all), or as a
/// stream of entities (`stream`, with the feature of that name). Entities that are created or deleted meanwhile may be
/// missed or listed twice.
///
/// # Examples
///
/// ```
/// # servicebus_simulation::administration_example(async |admin| {
/// let mut pages = admin.list_queues().with_page_size(2);
/// while let Some(queues) = pages.next_page().await? {
///     println!("{}", queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", "));
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
pub struct Pages<H, T, E> {
    client: AdministrationClient<H, T>,
    resource: Resource,
    page_size: u32,
    next: Next,
    /// Entries and pages so far.
    read: usize,
    entries: PhantomData<fn() -> E>,
}

impl<H: HttpClient, T: Timer, E: FromEntry> Pages<H, T, E> {
    pub(super) fn new(client: &AdministrationClient<H, T>, resource: Resource) -> Self {
        Self {
            client: client.clone(),
            resource,
            page_size: PAGE_SIZE,
            next: Next::First,
            read: 0,
            entries: PhantomData,
        }
    }

    /// Sets how many entries a page has: 1 to 100, 100 by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let first = admin.list_queues().with_page_size(1).next_page().await?;
    /// assert_eq!(first.map(|queues| queues.len()), Some(1));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn with_page_size(self, page_size: u32) -> Self {
        Self { page_size: page_size.clamp(1, PAGE_SIZE), ..self }
    }

    /// The next page; `None` after the last. After an error the same page can be asked for again.
    ///
    /// Cancel safety: a page whose future is dropped is read again by the next call.
    ///
    /// Bound: the retry policy.
    ///
    /// # Errors
    /// [`AdministrationError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut pages = admin.list_topics();
    /// assert_eq!(pages.next_page().await?.map(|topics| topics.len()), Some(1));
    /// assert_eq!(pages.next_page().await?, None);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn next_page(&mut self) -> Result<Option<Vec<E>>, AdministrationError<H::Error>> {
        // A handle of its own, so that the request does not borrow what the answer changes.
        let client = self.client.clone();
        let requests = client.requests();
        let unsigned = match &self.next {
            Next::First => requests.list(&self.resource, 0, self.page_size)?,
            Next::Link(link) => requests.follow(link),
            Next::End => return Ok(None),
        };
        let response = client.send(&unsigned, Operation::Get).await?;
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
    /// Cancel safety: nothing is lost but the pages read so far.
    ///
    /// Bound: the retry policy for each page.
    ///
    /// # Errors
    /// [`AdministrationError`].
    ///
    /// # Examples
    ///
    /// ```
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let queues = admin.list_queues().all().await?;
    /// assert_eq!(queues.len(), 3);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn all(mut self) -> Result<Vec<E>, AdministrationError<H::Error>> {
        let mut entries = Vec::new();
        while let Some(page) = self.next_page().await? {
            entries.extend(page);
        }
        Ok(entries)
    }

    /// The entities one after the other; a page is read when the one before it is used up. After an error that [is
    /// transient](AdministrationError::is_transient) the stream goes on with the same page, so that a loop has to
    /// decide whether to end; any other error is the last item. After its end it stays at its end.
    ///
    /// It is `Unpin`, owns a handle of the client, and can be sent to other threads where the HTTP client can.
    ///
    /// ```
    /// use core::pin::Pin;
    /// use futures_core::Stream;
    ///
    /// # servicebus_simulation::administration_example(async |admin| {
    /// let mut queues = admin.list_queues().stream();
    /// while let Some(queue) = core::future::poll_fn(|cx| Pin::new(&mut queues).poll_next(cx)).await {
    ///     println!("{}", queue?.name);
    /// }
    /// # Ok(())
    /// # });
    /// ```
    #[cfg(feature = "stream")]
    pub fn stream(
        self,
    ) -> impl futures_core::Stream<Item = Result<E, AdministrationError<H::Error>>> + Unpin + use<H, T, E> {
        let start = Some((self, Vec::new().into_iter()));
        let stream = futures_util::stream::unfold(start, |state| async move {
            let (mut pages, mut entries) = state?;
            loop {
                if let Some(entry) = entries.next() {
                    return Some((Ok(entry), Some((pages, entries))));
                }
                match pages.next_page().await {
                    Ok(Some(page)) => entries = page.into_iter(),
                    Ok(None) => return None,
                    Err(error) => {
                        let rest = error.is_transient().then_some((pages, entries));
                        return Some((Err(error), rest));
                    }
                }
            }
        });
        Box::pin(futures_util::StreamExt::fuse(stream))
    }
}
