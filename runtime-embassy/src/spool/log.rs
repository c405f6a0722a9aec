//! Records in flash, appended page after page around a ring, each removed by a word of its own.
//!
//! ```text
//! page:   mark, sequence number, epoch, check │ record │ record │ … │ erased
//! record: length, number, checks │ a word that is erased until the record is removed │ body
//! ```
//!
//! Every word is written once after an erasure, so that flash with an error-correcting code works as well. A page is erased
//! right before it is used, never sooner: whatever an erasure that was cut has left, the page has no head then, or holds
//! records that were to go. A write that was cut leaves a head whose check is wrong, behind which the page is not used any
//! more, or a body whose check is wrong, which is passed over. A page in which no write of a record has ended is used again: a
//! power that fails at each boot uses up no pages, and the page before keeps the last number.
//!
//! Pages of another epoch than the last page's hold nothing: a log is cleared by a page that begins another epoch.
//!
//! What flash has lost later, or what its error-correcting code cannot tell any more, is as what a cut has left, and no number
//! in it may come again. Records may follow the damaged head of a record, which they do not behind one whose write was cut:
//! numbers go on behind all those that can have been there. A page with a damaged head may be the last one, and is passed over
//! then, so that its numbers are known until a later page has the next one.
//!
//! Not over the package sequential-storage (8.0.2): its removal writes words twice, and an erasure that is cut, after which
//! the contents of the page are undefined by embedded-storage's contract, can leave its queue corrupted for good.

use core::ops::Range;
use embedded_storage_async::nor_flash::NorFlash;

/// The longest word of a flash.
const WORD: usize = 32;
/// Bytes of a page's head and of a record's, before they are rounded up to words.
const PAGE_HEAD: usize = 20;
const RECORD_HEAD: usize = 12;
/// What a page begins with.
const MARK: u32 = 0x3170_5342;

/// Some drivers want what they write at addresses of whole words.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// Where the next record goes.
#[derive(Clone, Copy)]
struct Tail {
    page: u32,
    sequence: u32,
    /// Bytes of the page that are used.
    at: u32,
    /// The number of the next record.
    number: u32,
    epoch: u64,
    /// The page has no whole record, and the one before it has the last number.
    follows: bool,
}

/// A place in the order of the records.
#[derive(Default)]
pub(super) struct Cursor {
    /// Pages behind the oldest one.
    step: u32,
    at: u32,
}

/// A record that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it is in the flash.
    address: u32,
    pub(super) number: u32,
    length: u16,
    check: u32,
}

/// A page's head as it was read.
enum PageHead {
    /// It is erased, and no record follows.
    Erased,
    /// It was damaged, or a write or an erasure was cut here.
    Damaged,
    Of {
        sequence: u32,
        epoch: u64,
    },
}

/// What the records of a page tell, whatever its head is.
struct Scan {
    /// Where the next record goes.
    end: u32,
    /// The number behind the last record's.
    next: Option<u32>,
    /// So many records may be behind a head that was damaged after its write.
    behind: u32,
    /// The write of one has ended.
    whole: bool,
}

/// A record's head as it was read.
enum Head {
    /// It is erased: no record has followed yet.
    Free,
    /// A write was cut here.
    Torn,
    Of(Record),
}

pub(super) struct Log<F, const N: usize> {
    flash: F,
    range: Range<u32>,
    /// Of a log that begins with erased flash.
    new_epoch: u64,
    /// `None` before the flash was read, and after a write that has not ended: then it is read again.
    tail: Option<Tail>,
    buffer: Aligned<N>,
}

/// A range of the flash that no log can be in.
#[derive(Debug)]
pub(super) struct BadRange;

/// Why a record was not appended.
pub(super) enum NotAppended<E> {
    TooLong,
    Full,
    Flash(E),
}

impl<F: NorFlash, const N: usize> Log<F, N> {
    const UNIT: usize = if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE };
    const PAGE: u32 = F::ERASE_SIZE as u32;
    const PAGE_HEAD: u32 = PAGE_HEAD.next_multiple_of(Self::UNIT) as u32;
    const RECORD_HEAD: u32 = RECORD_HEAD.next_multiple_of(Self::UNIT) as u32;

    pub(super) fn new(flash: F, range: Range<u32>, new_epoch: u64) -> Result<Self, BadRange> {
        let whole = range.start.is_multiple_of(Self::PAGE) && range.end.is_multiple_of(Self::PAGE);
        let pages = range.end.saturating_sub(range.start) / Self::PAGE;
        let units = Self::UNIT <= WORD
            && WORD.is_multiple_of(Self::UNIT)
            // One record of the shortest has room in a page.
            && Self::PAGE >= Self::PAGE_HEAD + Self::size(1);
        let inside = usize::try_from(range.end).is_ok_and(|end| end <= flash.capacity());
        if !(whole && pages >= 2 && units && inside) {
            return Err(BadRange);
        }
        Ok(Self { flash, range, new_epoch, tail: None, buffer: Aligned([0; N]) })
    }

    fn pages(&self) -> u32 {
        (self.range.end - self.range.start) / Self::PAGE
    }

    fn address(&self, page: u32, at: u32) -> u32 {
        self.range.start + page * Self::PAGE + at
    }

    const fn body(record: &Record) -> u32 {
        record.address + Self::RECORD_HEAD + Self::UNIT as u32
    }

    /// Bytes of a record in the flash.
    fn size(length: u16) -> u32 {
        Self::RECORD_HEAD + Self::UNIT as u32 + u32::from(length).next_multiple_of(Self::UNIT as u32)
    }

    /// The epoch of the log, which its records' numbers count in.
    pub(super) async fn epoch(&mut self) -> Result<u64, F::Error> {
        Ok(self.tail().await?.epoch)
    }

    /// Appends a record. With `overwrites`, the records of the oldest page go where there is no other room.
    pub(super) async fn append(&mut self, body: &[u8], overwrites: bool) -> Result<(), NotAppended<F::Error>> {
        let padded = body.len().next_multiple_of(Self::UNIT);
        let length = u16::try_from(body.len()).map_err(|_| NotAppended::TooLong)?;
        let size = Self::size(length);
        if padded > N || size > Self::PAGE - Self::PAGE_HEAD {
            return Err(NotAppended::TooLong);
        }
        let mut tail = self.tail().await.map_err(NotAppended::Flash)?;
        if tail.at + size > Self::PAGE {
            let next = if tail.follows { tail.page } else { (tail.page + 1) % self.pages() };
            if !overwrites && self.is_in_use(next, tail.epoch).await.map_err(NotAppended::Flash)? {
                return Err(NotAppended::Full);
            }
            self.tail = None;
            tail = self.open(next, tail).await.map_err(NotAppended::Flash)?;
        }
        let record =
            Record { address: self.address(tail.page, tail.at), number: tail.number, length, check: crc(body) };
        // Until both writes have ended, the flash is not as it is known.
        self.tail = None;
        self.write_record(&record, body).await.map_err(NotAppended::Flash)?;
        tail.at += size;
        tail.number = tail.number.wrapping_add(1);
        tail.follows = false;
        self.tail = Some(tail);
        Ok(())
    }

    async fn write_record(&mut self, record: &Record, body: &[u8]) -> Result<(), F::Error> {
        let mut head = Aligned([0xff; WORD]);
        head.0[..2].copy_from_slice(&record.length.to_le_bytes());
        head.0[4..8].copy_from_slice(&record.number.to_le_bytes());
        head.0[8..12].copy_from_slice(&record.check.to_le_bytes());
        let check = check_of(&head.0);
        head.0[2..4].copy_from_slice(&check.to_le_bytes());
        self.flash.write(record.address, &head.0[..Self::RECORD_HEAD as usize]).await?;
        let padded = body.len().next_multiple_of(Self::UNIT);
        if let Some(buffer) = self.buffer.0.get_mut(..padded).filter(|buffer| !buffer.is_empty()) {
            buffer.fill(0xff);
            buffer[..body.len()].copy_from_slice(body);
            self.flash.write(Self::body(record), buffer).await?;
        }
        Ok(())
    }

    /// Erases a page and makes it the last one.
    async fn open(&mut self, page: u32, before: Tail) -> Result<Tail, F::Error> {
        let start = self.address(page, 0);
        self.flash.erase(start, start + Self::PAGE).await?;
        let sequence = before.sequence.wrapping_add(1);
        let mut head = Aligned([0xff; WORD]);
        head.0[..4].copy_from_slice(&MARK.to_le_bytes());
        head.0[4..8].copy_from_slice(&sequence.to_le_bytes());
        head.0[8..16].copy_from_slice(&before.epoch.to_le_bytes());
        let check = crc(&head.0[..16]);
        head.0[16..20].copy_from_slice(&check.to_le_bytes());
        self.flash.write(start, &head.0[..Self::PAGE_HEAD as usize]).await?;
        Ok(Tail { page, sequence, at: Self::PAGE_HEAD, ..before })
    }

    /// The next record that is there from the cursor on.
    pub(super) async fn next(&mut self, cursor: &mut Cursor) -> Result<Option<Record>, F::Error> {
        let tail = self.tail().await?;
        while cursor.step < self.pages() {
            let page = (tail.page + 1 + cursor.step) % self.pages();
            if let Some(record) = self.next_in(page, tail.epoch, &mut cursor.at).await? {
                return Ok(Some(record));
            }
            (cursor.step, cursor.at) = (cursor.step + 1, 0);
        }
        Ok(None)
    }

    /// The next record in a page of this epoch that is not removed.
    async fn next_in(&mut self, page: u32, epoch: u64, at: &mut u32) -> Result<Option<Record>, F::Error> {
        if *at == 0 {
            if !self.is_of(page, epoch).await? {
                return Ok(None);
            }
            *at = Self::PAGE_HEAD;
        }
        while let Head::Of(record) = self.record_head(page, *at).await? {
            *at += Self::size(record.length);
            if !self.is_removed(&record).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Reads words; `false` when the flash cannot tell what is in them.
    ///
    /// Flash with an error-correcting code answers so for good, until an erasure, where a write was cut. Flash that answers
    /// nothing at all, as on a bus that is down, is another thing: its pages may be whole.
    async fn read_words(flash: &mut F, range: &Range<u32>, address: u32, words: &mut [u8]) -> Result<bool, F::Error> {
        let Err(error) = flash.read(address, words).await else { return Ok(true) };
        for page in range.clone().step_by(F::ERASE_SIZE) {
            for place in [page, page + Self::PAGE - Self::UNIT as u32] {
                let mut other = Aligned([0; WORD]);
                if flash.read(place, &mut other.0[..Self::UNIT]).await.is_ok() {
                    return Ok(flash.read(address, words).await.is_ok());
                }
            }
        }
        Err(error)
    }

    /// The body of a record; `None` when its write was cut, or it has gone meanwhile, or is longer than the buffer.
    pub(super) async fn read(&mut self, record: &Record) -> Result<Option<&[u8]>, F::Error> {
        let padded = usize::from(record.length).next_multiple_of(Self::UNIT);
        let Some(buffer) = self.buffer.0.get_mut(..padded) else { return Ok(None) };
        if !buffer.is_empty() {
            let is_read = Self::read_words(&mut self.flash, &self.range, Self::body(record), buffer).await?;
            if !is_read {
                return Ok(None);
            }
        }
        let body = self.buffer.0.get(..usize::from(record.length)).unwrap_or_default();
        Ok((crc(body) == record.check).then_some(body))
    }

    /// Removes a record of this epoch, if it is still there.
    pub(super) async fn remove(&mut self, record: &Record, epoch: u64) -> Result<(), F::Error> {
        let page = (record.address - self.range.start) / Self::PAGE;
        let at = (record.address - self.range.start) % Self::PAGE;
        // Its page may have been used again since.
        let is_there = self.is_of(page, epoch).await?
            && matches!(self.record_head(page, at).await?, Head::Of(found) if found == *record)
            && !self.is_removed(record).await?;
        if is_there {
            let zeros = Aligned([0; WORD]);
            self.flash.write(record.address + Self::RECORD_HEAD, &zeros.0[..Self::UNIT]).await?;
        }
        Ok(())
    }

    /// Erases all of it. A page of another epoch comes first: from then on nothing of what is erased counts, and no number of
    /// the next records has been in this epoch.
    pub(super) async fn clear(&mut self) -> Result<(), F::Error> {
        let Ok(tail) = self.tail().await else {
            // Flash that cannot be read holds no number to go on from.
            self.new_epoch = self.new_epoch.wrapping_add(1);
            return self.flash.erase(self.range.start, self.range.end).await;
        };
        self.tail = None;
        let first = (tail.page + 1) % self.pages();
        let empty = Tail { number: 0, epoch: self.epoch_behind(&tail).await?, follows: false, ..tail };
        let empty = self.open(first, empty).await?;
        for step in 1..self.pages() {
            let start = self.address((first + step) % self.pages(), 0);
            self.flash.erase(start, start + Self::PAGE).await?;
        }
        self.tail = Some(empty);
        Ok(())
    }

    async fn is_removed(&mut self, record: &Record) -> Result<bool, F::Error> {
        let mut word = Aligned([0; WORD]);
        let word = &mut word.0[..Self::UNIT];
        let is_read = Self::read_words(&mut self.flash, &self.range, record.address + Self::RECORD_HEAD, word).await?;
        // A removal that was cut counts: the service had confirmed it.
        Ok(!is_read || word.iter().any(|byte| *byte != 0xff))
    }

    /// Whether the write of a record has ended: its number was used.
    async fn was_written(&mut self, record: &Record) -> Result<bool, F::Error> {
        Ok(self.is_removed(record).await? || self.is_whole(record).await?)
    }

    /// Whether the body of a record was written; one that is longer than the buffer counts as whole.
    pub(super) async fn is_whole(&mut self, record: &Record) -> Result<bool, F::Error> {
        let too_long = usize::from(record.length).next_multiple_of(Self::UNIT) > N;
        Ok(too_long || self.read(record).await?.is_some())
    }

    /// Whether a page holds a record that is not removed.
    async fn is_in_use(&mut self, page: u32, epoch: u64) -> Result<bool, F::Error> {
        let mut at = 0;
        while let Some(record) = self.next_in(page, epoch, &mut at).await? {
            if self.is_whole(&record).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn page_head(&mut self, page: u32) -> Result<PageHead, F::Error> {
        let address = self.address(page, 0);
        let mut head = Aligned([0; WORD]);
        let words = &mut head.0[..Self::PAGE_HEAD as usize];
        if !Self::read_words(&mut self.flash, &self.range, address, words).await? {
            return Ok(PageHead::Damaged);
        }
        if words.iter().all(|byte| *byte == 0xff) {
            let is_erased = matches!(self.record_head(page, Self::PAGE_HEAD).await?, Head::Free);
            return Ok(if is_erased { PageHead::Erased } else { PageHead::Damaged });
        }
        let word = |at| u32_at(&head.0, at);
        if word(0) != MARK || word(16) != crc(&head.0[..16]) {
            return Ok(PageHead::Damaged);
        }
        Ok(PageHead::Of { sequence: word(4), epoch: u64::from(word(12)) << 32 | u64::from(word(8)) })
    }

    async fn is_of(&mut self, page: u32, epoch: u64) -> Result<bool, F::Error> {
        Ok(matches!(self.page_head(page).await?, PageHead::Of { epoch: of, .. } if of == epoch))
    }

    /// An epoch that comes after this one, and after those that pages with damaged heads can have begun, also pages that were
    /// used again since: later clears find later sequence numbers.
    async fn epoch_behind(&mut self, tail: &Tail) -> Result<u64, F::Error> {
        let mut next = tail.epoch.wrapping_add(1).wrapping_add(u64::from(tail.sequence));
        for page in 0..self.pages() {
            if matches!(self.page_head(page).await?, PageHead::Damaged) {
                next = next.wrapping_add(1);
            }
        }
        Ok(next)
    }

    async fn record_head(&mut self, page: u32, at: u32) -> Result<Head, F::Error> {
        if at + Self::RECORD_HEAD > Self::PAGE {
            return Ok(Head::Torn);
        }
        let address = self.address(page, at);
        let mut head = Aligned([0xff; WORD]);
        let words = &mut head.0[..Self::RECORD_HEAD as usize];
        if !Self::read_words(&mut self.flash, &self.range, address, words).await? {
            return Ok(Head::Torn);
        }
        if head.0.iter().all(|byte| *byte == 0xff) {
            return Ok(Head::Free);
        }
        let [low, high, check_low, check_high, ..] = head.0;
        let length = u16::from_le_bytes([low, high]);
        let whole = u16::from_le_bytes([check_low, check_high]) == check_of(&head.0);
        if !whole || at + Self::size(length) > Self::PAGE {
            return Ok(Head::Torn);
        }
        Ok(Head::Of(Record { address, number: u32_at(&head.0, 4), length, check: u32_at(&head.0, 8) }))
    }

    async fn scan(&mut self, page: u32) -> Result<Scan, F::Error> {
        let mut scan = Scan { end: Self::PAGE_HEAD, next: None, behind: 0, whole: false };
        loop {
            match self.record_head(page, scan.end).await? {
                Head::Of(record) => {
                    scan.end += Self::size(record.length);
                    scan.next = Some(record.number.wrapping_add(1));
                    scan.whole = scan.whole || self.was_written(&record).await?;
                }
                Head::Free => return Ok(scan),
                Head::Torn => {
                    if !self.is_erased(page, scan.end + Self::RECORD_HEAD).await? {
                        scan.behind = Self::PAGE.saturating_sub(scan.end) / Self::size(0);
                    }
                    scan.end = Self::PAGE;
                    return Ok(scan);
                }
            }
        }
    }

    /// Whether nothing is in a page from here on.
    async fn is_erased(&mut self, page: u32, from: u32) -> Result<bool, F::Error> {
        for at in (from..Self::PAGE).step_by(Self::UNIT) {
            let mut word = Aligned([0xff; WORD]);
            let address = self.address(page, at);
            let is_read = Self::read_words(&mut self.flash, &self.range, address, &mut word.0[..Self::UNIT]).await?;
            if !is_read || word.0.iter().any(|byte| *byte != 0xff) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where the next record goes; reads the flash when that is not known.
    async fn tail(&mut self) -> Result<Tail, F::Error> {
        if let Some(tail) = self.tail {
            return Ok(tail);
        }
        let mut last: Option<Tail> = None;
        for page in 0..self.pages() {
            let PageHead::Of { sequence, epoch } = self.page_head(page).await? else { continue };
            if last.is_none_or(|last| sequence.wrapping_sub(last.sequence) < u32::MAX / 2) {
                last = Some(Tail { page, sequence, at: Self::PAGE_HEAD, number: 0, epoch, follows: false });
            }
        }
        let tail = match last {
            Some(last) => {
                let last = self.behind_the_last_record(last).await?;
                self.behind_damaged_pages(last).await?
            }
            // Erased flash: the first page is opened by the first record.
            None => Tail {
                page: self.pages() - 1,
                sequence: 0,
                at: Self::PAGE,
                number: 0,
                epoch: self.new_epoch,
                follows: false,
            },
        };
        self.tail = Some(tail);
        Ok(tail)
    }

    /// The tail in the last page. That may have no whole record yet: the one before it has the last number that was used then.
    async fn behind_the_last_record(&mut self, mut tail: Tail) -> Result<Tail, F::Error> {
        let (mut next, mut skipped, mut is_damaged, mut stays) = (None, 0, false, false);
        for back in 0..self.pages() {
            let page = (tail.page + self.pages() - back) % self.pages();
            match self.page_head(page).await? {
                PageHead::Of { epoch, .. } if epoch == tail.epoch => {}
                PageHead::Damaged => is_damaged = true,
                _ => break,
            }
            let scan = self.scan(page).await?;
            if back == 0 {
                tail.at = scan.end;
                // It tells that numbers behind its own were used.
                stays = scan.behind > 0;
            }
            if next.is_none() {
                skipped += scan.behind;
                next = scan.next.map(|next| next.wrapping_add(skipped));
            }
            if scan.next.is_some() {
                tail.follows = back > 0 && !stays;
            }
            if scan.whole {
                break;
            }
        }
        if next.is_none() && is_damaged {
            // Nothing waits, and nothing is left that tells the last number.
            let epoch = self.epoch_behind(&tail).await?;
            return Ok(Tail { at: Self::PAGE, epoch, ..tail });
        }
        Ok(Tail { number: next.unwrap_or(skipped), ..tail })
    }

    /// The tail behind the pages with damaged heads that come next: they are the oldest ones, or were the last.
    async fn behind_damaged_pages(&mut self, mut tail: Tail) -> Result<Tail, F::Error> {
        let last = tail.page;
        for ahead in 1..self.pages() {
            let page = (last + ahead) % self.pages();
            if !matches!(self.page_head(page).await?, PageHead::Damaged) {
                break;
            }
            let scan = self.scan(page).await?;
            let number = tail.number;
            let is_later = |next: &u32| *next != number && next.wrapping_sub(number) < u32::MAX / 2;
            if let Some(next) = scan.next.filter(is_later) {
                (tail.page, tail.number, tail.follows) = (page, next, false);
            }
            tail.number = tail.number.wrapping_add(scan.behind);
            // What is written now is later than they are, whatever they were.
            tail.sequence = tail.sequence.wrapping_add(1);
            tail.at = Self::PAGE;
        }
        Ok(tail)
    }
}

fn u32_at(bytes: &[u8; WORD], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    u32::from_le_bytes(word.copied().unwrap_or_default())
}

/// The check of a record's head, over all of it but the check itself.
fn check_of(head: &[u8; WORD]) -> u16 {
    let sum = crc(&head[..2]) ^ crc(&head[4..RECORD_HEAD]).rotate_left(1);
    (sum ^ sum >> 16) as u16
}

/// CRC-32C, four bits at a time.
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut place = 0;
        while place < 16 {
            let (mut crc, mut bit) = (place as u32, 0);
            while bit < 4 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[place] = crc;
            place += 1;
        }
        table
    };
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        crc = crc >> 4 ^ TABLE[(crc & 15) as usize];
        crc = crc >> 4 ^ TABLE[(crc & 15) as usize];
    }
    !crc
}
