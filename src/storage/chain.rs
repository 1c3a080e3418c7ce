//! Is what came back whole? Numbers without a gap, each record linked to the one before it, and nothing missing that
//! the head file covers.

use super::frame::{self, Link};
use super::store::{Finding, Head, StoredRecord};

/// One batch as an engine found it.
#[derive(Debug)]
pub(super) struct StoredBatch {
    pub first: u64,
    pub last: u64,
    /// Its frames; `None` where a part of it is missing.
    pub bytes: Option<Vec<u8>>,
    /// The bytes that the engine keeps for it.
    pub stored: u64,
}

/// A batch that is still needed; `bytes` as the engine keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveBatch {
    pub first: u64,
    pub last: u64,
    pub bytes: u64,
}

/// What the walk along the chain found.
#[derive(Debug)]
pub(super) struct Walk {
    /// The head as the records show it: a batch that became durable just before its head did counts.
    pub head: Head,
    /// The live records, in order; with damage, those before it.
    pub records: Vec<StoredRecord>,
    pub live: Vec<LiveBatch>,
    pub damage: Option<Finding>,
}

/// Walks the batches in their order against the head that was stored.
pub(super) fn walk(stored: Head, batches: Vec<StoredBatch>) -> Walk {
    let mut walker = Walker { stored, before: None, torn: None, records: Vec::new(), live: Vec::new() };
    let damage = batches.into_iter().try_for_each(|batch| walker.batch(batch)).err();
    let Walker { records, live, .. } = walker;
    let reached = records.last().map_or(stored.trimmed, |record| record.number);
    let damage = damage.or_else(|| {
        (reached < stored.number).then_some(Finding::LostTail { found: reached, head: stored.number })
    });
    let head =
        records.last().map_or(stored, |record| Head { number: record.number, link: record.link, ..stored });
    Walk { head, records, live, damage }
}

struct Walker {
    stored: Head,
    /// The link and the start of the record before.
    before: Option<(Link, u64)>,
    /// The first number of a commit that a crash interrupted: nobody was told that it is safe; nothing may follow it.
    torn: Option<u64>,
    records: Vec<StoredRecord>,
    live: Vec<LiveBatch>,
}

impl Walker {
    fn batch(&mut self, StoredBatch { first, last, bytes, stored }: StoredBatch) -> Result<(), Finding> {
        if last <= self.stored.trimmed {
            // Removal comes after the head says so, and may have been interrupted anywhere.
            return Ok(());
        }
        if let Some(expected) = self.torn {
            return Err(Finding::Gap { expected, found: first });
        }
        let Some(bytes) = bytes else {
            if first <= self.stored.number {
                return Err(Finding::TornBatch { first, last });
            }
            self.torn = Some(first);
            return Ok(());
        };
        let expected = self.records.last().map_or(self.stored.trimmed, |record| record.number) + 1;
        if first > expected || (first < expected && self.before.is_some()) {
            return Err(Finding::Gap { expected, found: first });
        }
        let mut rest = bytes.as_slice();
        let mut next = first;
        while !rest.is_empty() {
            next = self.frame(next, &mut rest)?;
        }
        if next != last + 1 {
            return Err(Finding::Gap { expected: next, found: last + 1 });
        }
        self.live.push(LiveBatch { first, last, bytes: stored });
        Ok(())
    }

    /// Answers the number after the frame's last record.
    fn frame(&mut self, expected: u64, rest: &mut &[u8]) -> Result<u64, Finding> {
        let frame = frame::decode(rest, expected.saturating_sub(1))?;
        let (first, start, link, stored) = (frame.first, frame.start, frame.link, &self.stored);
        if first != expected {
            return Err(Finding::Gap { expected, found: first });
        }
        // The first record found has nothing before it to follow from, unless it is the first of all or the head's next.
        let previous = match self.before {
            Some((link, _)) => Some(link),
            None if first == 1 => Some(Link(stored.id)),
            None if first == stored.number + 1 => Some(stored.link),
            None => None,
        };
        if previous.is_some_and(|previous| previous != frame.previous) {
            return Err(Finding::Link { number: first });
        }
        let next = first + frame.payloads.len() as u64;
        // A head is written after a whole frame, and names its link.
        if (first..next).contains(&stored.number) && (stored.number + 1 != next || link != stored.link) {
            return Err(Finding::HeadLink { number: stored.number });
        }
        let oldest = self.before.map_or(0, |(_, start)| start);
        if start < oldest || start > stored.start {
            return Err(Finding::Start { number: first, found: start, oldest, newest: stored.start });
        }
        self.before = Some((link, start));
        let needed = (first..).zip(frame.payloads).filter(|(number, _)| *number > stored.trimmed);
        let records =
            needed.map(|(number, payload)| StoredRecord { number, start, link, payload: payload.to_vec() });
        self.records.extend(records);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::Batch;

    const ID: [u8; 16] = [9; 16];

    /// Batches of the given sizes from the first record on, and the head after them.
    fn written(sizes: &[u64]) -> (Head, Vec<StoredBatch>) {
        let mut head = Head { start: 1, ..Head::new(ID) };
        let mut batch = Batch::after(&head);
        let mut batches = Vec::new();
        for size in sizes {
            (0..*size).for_each(|n| batch.push(format!("record {n}").as_bytes()));
            batch.seal();
            let bytes = Some(batch.bytes().to_vec());
            batches.push(StoredBatch { first: batch.first(), last: batch.last(), bytes, stored: 0 });
            (head.number, head.link) = (batch.last(), batch.link());
            batch.clear();
        }
        (head, batches)
    }

    fn numbers(walk: &Walk) -> Vec<u64> {
        walk.records.iter().map(|record| record.number).collect()
    }

    #[test]
    fn a_whole_chain_comes_back() {
        let (head, batches) = written(&[2, 1, 3]);
        let walk = walk(head, batches);
        assert_eq!((numbers(&walk), walk.damage, walk.head), (vec![1, 2, 3, 4, 5, 6], None, head));
        let (head, batches) = written(&[]);
        assert_eq!(super::walk(head, batches).damage, None);
    }

    #[test]
    fn what_the_head_does_not_cover_may_be_there_or_not() {
        let (newest, batches) = written(&[2, 1, 3]);
        let (older, _) = written(&[2, 1]);
        let found = walk(older, batches);
        assert_eq!((found.head, found.damage), (newest, None), "durable, and its head was not");
        let (_, mut batches) = written(&[2, 1, 3]);
        batches[2].bytes = None;
        let found = walk(older, batches);
        assert_eq!((found.head, found.damage), (older, None), "half of it: nobody was told");
        let (_, mut batches) = written(&[2, 1, 3, 1]);
        batches[2].bytes = None;
        assert_eq!(walk(older, batches).damage, Some(Finding::Gap { expected: 4, found: 7 }));
    }

    #[test]
    fn a_lost_tail_is_damage() {
        let (head, mut batches) = written(&[2, 1, 3]);
        batches.pop();
        let walk = walk(head, batches);
        assert_eq!(walk.damage, Some(Finding::LostTail { found: 3, head: 6 }));
        assert_eq!(numbers(&walk), [1, 2, 3], "what is sound is still handed over");
        let (head, _) = written(&[1]);
        assert_eq!(super::walk(head, vec![]).damage, Some(Finding::LostTail { found: 0, head: 1 }));
    }

    #[test]
    fn gaps_torn_batches_and_foreign_records_are_damage() {
        let (head, mut batches) = written(&[2, 1, 3]);
        batches.remove(1);
        assert_eq!(walk(head, batches).damage, Some(Finding::Gap { expected: 3, found: 4 }));
        let (head, mut batches) = written(&[2, 1, 3]);
        batches.remove(0);
        assert_eq!(walk(head, batches).damage, Some(Finding::Gap { expected: 1, found: 3 }));
        let (head, mut batches) = written(&[2, 1, 3]);
        batches[1].bytes = None;
        assert_eq!(walk(head, batches).damage, Some(Finding::TornBatch { first: 3, last: 3 }));
        let (head, batches) = written(&[2, 1, 3]);
        let foreign = Head { id: [8; 16], ..head };
        assert_eq!(walk(foreign, batches).damage, Some(Finding::Link { number: 1 }));
        let (head, batches) = written(&[2, 1, 3]);
        let other = Head { link: Link(ID), ..head };
        assert_eq!(walk(other, batches).damage, Some(Finding::HeadLink { number: 6 }));
        let (head, batches) = written(&[2]);
        let older = Head { start: 0, ..head };
        assert!(matches!(walk(older, batches).damage, Some(Finding::Start { number: 1, found: 1, .. })));
    }

    #[test]
    fn trimmed_records_may_be_there_or_not() {
        let (head, batches) = written(&[2, 1, 3]);
        let head = Head { trimmed: 4, ..head };
        assert_eq!(
            numbers(&walk(head, batches)),
            [5, 6],
            "resurrected ones are skipped, and the batch still links"
        );
        let (_, mut batches) = written(&[2, 1, 3]);
        batches.remove(0);
        batches[0].bytes = None;
        assert_eq!(walk(head, batches).damage, None);
        let everything = Head { trimmed: 6, ..head };
        let walk = walk(everything, vec![]);
        assert_eq!((walk.head, walk.damage), (everything, None));
    }
}
