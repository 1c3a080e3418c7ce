//! Where in the embedded ledger's journal each account's entries are, so that an auditor can read them back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::LedgerRecord;
use super::store::StoreError;
use crate::engine::account::Entry;
use crate::storage::{ReadBatch, Reader};
use crate::types::AccountId;

/// For each record of an account: the number of the last entry in it, and its own. Sixteen bytes for each write.
#[derive(Clone, Debug, Default)]
pub struct Index(Arc<Mutex<Records>>);

/// By account: the last entry of each record, and the record.
type Records = BTreeMap<AccountId, Vec<(u64, u64)>>;

/// The index and what reads by it.
pub struct Archive {
    index: Index,
    /// `None` once the store is closed.
    reader: Option<Arc<dyn Reader>>,
}

/// Records of one account that are to be read.
pub struct Reading {
    reader: Arc<dyn Reader>,
    records: Vec<u64>,
    after: u64,
}

/// Records that one reading looks at, at most: a page is a thousand entries, and a record has at least one.
const RECORDS_MAX: usize = 1024;

impl Index {
    /// A record with entries up to `last` was taken.
    pub fn note(&self, account: &AccountId, last: Option<u64>, record: u64) {
        let Some(last) = last else { return };
        let mut index = self.0.lock();
        match index.get_mut(account) {
            Some(records) => records.push((last, record)),
            None => {
                index.insert(account.clone(), vec![(last, record)]);
            }
        }
    }
}

impl Archive {
    pub fn new(reader: Box<dyn Reader>) -> Self {
        Self { index: Index::default(), reader: Some(reader.into()) }
    }

    pub fn index(&self) -> Index {
        self.index.clone()
    }

    /// What is to be read for the entries after this number, as far as it is durable.
    pub fn reading(&self, account: &AccountId, after: u64, durable: u64) -> Option<Reading> {
        let index = self.index.0.lock();
        let records = index.get(account)?;
        let from = records.partition_point(|(last, _)| *last <= after);
        let records = records.iter().skip(from).take(RECORDS_MAX).map(|(_, record)| *record);
        let records = records.take_while(|record| *record <= durable).collect();
        Some(Reading { reader: Arc::clone(self.reader.as_ref()?), records, after })
    }

    /// Gives the store free.
    pub fn close(&mut self) {
        self.reader = None;
    }
}

impl Reading {
    /// Reads until there are `most`. Blocks.
    pub fn entries(self, most: usize) -> Result<Vec<Entry>, StoreError> {
        let unreadable = |record: u64, why: &str| {
            StoreError::Refused(format!("record {record} of the journal can't be read back: {why}").into())
        };
        let (mut entries, mut batch): (Vec<Entry>, ReadBatch) = (Vec::new(), (0, Vec::new()));
        for number in self.records {
            if number.checked_sub(batch.0).is_none_or(|place| place >= batch.1.len() as u64) {
                let read =
                    self.reader.batch(number).map_err(|error| unreadable(number, &error.to_string()))?;
                batch = read.ok_or_else(|| unreadable(number, "it is not there"))?;
            }
            let place = usize::try_from(number - batch.0).unwrap_or(usize::MAX);
            let payload = batch.1.get(place).ok_or_else(|| unreadable(number, "its batch is shorter"))?;
            match minicbor::decode(payload) {
                Ok(LedgerRecord::Entries(record)) => entries.extend(record.entries),
                Ok(_) => return Err(unreadable(number, "it is of another kind")),
                Err(error) => return Err(unreadable(number, &error.to_string())),
            }
            if entries.len() >= most {
                break;
            }
        }
        entries.retain(|entry| entry.number > self.after);
        Ok(entries)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("accounts", &self.index.0.lock().len()).finish_non_exhaustive()
    }
}
