//! The append-only ledger: every movement of money, in order, optionally on disk as JSON lines.
//!
//! It records and reads back; it decides nothing. An entry is on disk before it is in memory, so what was answered
//! is never missing after a restart.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;

/// Which way the money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// From the customer to the merchant.
    Capture,
    /// Back to the customer.
    Refund,
}

/// One movement of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// When the money moved.
    pub at: Timestamp,
    /// Which way.
    pub kind: EntryKind,
    /// The payment, unmasked: audits match on it. For Stripe, the payment intent's id.
    pub payment_key: String,
    /// The order id fixed at checkout. For Stripe, `metadata[order_id]`; empty when there was none.
    pub order_id: String,
    /// KRW, always positive.
    pub amount: i64,
    /// The `Idempotency-Key` of the request that moved it, if it had one.
    pub idempotency_key: Option<String>,
    /// The protocol that moved it; absent: Toss, as in the files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

impl Entry {
    /// The protocol that moved it.
    pub fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect::Toss)
    }
}

/// A movement about to be recorded: an [`Entry`] without its place and time.
#[derive(Debug, Clone)]
pub struct Movement<'a> {
    /// The protocol that moves it.
    pub dialect: Dialect,
    /// Which way.
    pub kind: EntryKind,
    /// The payment.
    pub payment_key: &'a str,
    /// The order id fixed at checkout.
    pub order_id: &'a str,
    /// KRW, positive.
    pub amount: i64,
    /// The request's `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
}

/// Why a ledger file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened, read, written or truncated.
    #[error("ledger file: {0}")]
    Io(#[from] io::Error),
    /// A line that is not an entry, or an entry out of order.
    #[error("ledger file: line {line} is not the next entry: {why}")]
    Corrupt {
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// All movements so far.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    file: Option<File>,
}

impl Ledger {
    /// An empty ledger that lives as long as the process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Opens or creates `path` and reads back what it holds.
    ///
    /// A last line without its newline was being written when the process died; nobody got an answer for it, so it
    /// is cut off.
    ///
    /// # Errors
    /// When the file cannot be opened or read, or holds something that is not the next entry.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            tracing::warn!("the ledger file ended within an entry; it was cut off");
            file.set_len(whole as u64)?;
        }
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text[..whole].lines().enumerate() {
            let corrupt = |why: String| LedgerError::Corrupt { line: index + 1, why };
            let entry: Entry = serde_json::from_str(line).map_err(|error| corrupt(error.to_string()))?;
            if entry.seq != entries.len() as u64 + 1 {
                return Err(corrupt(format!("it has seq {}", entry.seq)));
            }
            entries.push(entry);
        }
        Ok(Self { entries, file: Some(file) })
    }

    /// Records a movement, on disk first.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing is recorded, and the money must not move.
    pub fn append(&mut self, movement: &Movement<'_>, at: Timestamp) -> Result<(), LedgerError> {
        let entry = Entry {
            seq: self.entries.len() as u64 + 1,
            at,
            kind: movement.kind,
            payment_key: movement.payment_key.to_owned(),
            order_id: movement.order_id.to_owned(),
            amount: movement.amount,
            idempotency_key: movement.idempotency_key.map(str::to_owned),
            dialect: Some(movement.dialect).filter(|dialect| *dialect != Dialect::Toss),
        };
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&entry).map_err(io::Error::from)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Every movement so far, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Forgets everything, on disk too.
    ///
    /// # Errors
    /// When the file cannot be truncated; then nothing is forgotten.
    pub fn clear(&mut self) -> Result<(), LedgerError> {
        if let Some(file) = &self.file {
            file.set_len(0)?;
        }
        self.entries.clear();
        Ok(())
    }

    /// The ledger as a table for people, with the balance in the last line.
    pub fn table(&self) -> String {
        let mut table =
            String::from("  SEQ  AT                        KIND        AMOUNT  ORDER ID / PAYMENT KEY\n");
        let mut balance: i64 = 0;
        for entry in &self.entries {
            let kind = match entry.kind {
                EntryKind::Capture => "Capture",
                EntryKind::Refund => "Refund",
            };
            balance += match entry.kind {
                EntryKind::Capture => entry.amount,
                EntryKind::Refund => -entry.amount,
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{:>5}  {:<24}  {kind:<7} {:>10}  {} / {}",
                entry.seq,
                entry.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
                entry.amount,
                entry.order_id,
                entry.payment_key
            );
        }
        let _ = writeln!(table, "{} entries, balance {balance} KRW", self.entries.len());
        table
    }
}

#[cfg(test)]
mod tests {
    use std::env::temp_dir;
    use std::path::PathBuf;

    use super::*;

    fn movement(kind: EntryKind, amount: i64) -> Movement<'static> {
        Movement {
            dialect: Dialect::Toss,
            kind,
            payment_key: "pk_1",
            order_id: "order-1",
            amount,
            idempotency_key: Some("k1"),
        }
    }

    struct TempFile(PathBuf);

    impl TempFile {
        fn new(name: &str) -> Self {
            Self(temp_dir().join(format!("sandbox-ledger-{}-{name}", std::process::id())))
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let path = TempFile::new("restart");
        let mut ledger = Ledger::open(&path.0).unwrap();
        ledger.append(&movement(EntryKind::Capture, 100), Timestamp::UNIX_EPOCH).unwrap();
        ledger.append(&movement(EntryKind::Refund, 40), Timestamp::UNIX_EPOCH).unwrap();
        let before = ledger.entries().to_vec();
        drop(ledger);
        assert_eq!(Ledger::open(&path.0).unwrap().entries(), before);
    }

    #[test]
    fn the_dialect_is_on_disk_only_where_it_is_not_toss() {
        let path = TempFile::new("dialect");
        let mut ledger = Ledger::open(&path.0).unwrap();
        let toss = movement(EntryKind::Capture, 100);
        let stripe = Movement { dialect: Dialect::Stripe, ..toss.clone() };
        ledger.append(&toss, Timestamp::UNIX_EPOCH).unwrap();
        ledger.append(&stripe, Timestamp::UNIX_EPOCH).unwrap();
        let text = std::fs::read_to_string(&path.0).unwrap();
        let named: Vec<_> = text.lines().map(|line| line.contains("dialect")).collect();
        assert_eq!(named, [false, true]);
        let read: Vec<_> = Ledger::open(&path.0).unwrap().entries().iter().map(Entry::dialect).collect();
        assert_eq!(read, [Dialect::Toss, Dialect::Stripe]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_next_entry_takes_its_place() {
        let path = TempFile::new("torn");
        let mut ledger = Ledger::open(&path.0).unwrap();
        ledger.append(&movement(EntryKind::Capture, 100), Timestamp::UNIX_EPOCH).unwrap();
        drop(ledger);
        let mut file = OpenOptions::new().append(true).open(&path.0).unwrap();
        file.write_all(b"{\"seq\":2,\"at\"").unwrap();
        let mut ledger = Ledger::open(&path.0).unwrap();
        assert_eq!(ledger.entries().len(), 1);
        ledger.append(&movement(EntryKind::Refund, 1), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(Ledger::open(&path.0).unwrap().entries().len(), 2);
    }

    #[test]
    fn a_line_that_is_not_the_next_entry_is_an_error_and_not_a_gap() {
        let path = TempFile::new("corrupt");
        std::fs::write(&path.0, "nonsense\n").unwrap();
        assert!(matches!(Ledger::open(&path.0), Err(LedgerError::Corrupt { line: 1, .. })));
    }

    #[test]
    fn the_table_ends_with_the_balance() {
        let mut ledger = Ledger::in_memory();
        ledger.append(&movement(EntryKind::Capture, 100), Timestamp::UNIX_EPOCH).unwrap();
        ledger.append(&movement(EntryKind::Refund, 40), Timestamp::UNIX_EPOCH).unwrap();
        assert!(ledger.table().ends_with("2 entries, balance 60 KRW\n"), "{}", ledger.table());
    }
}
