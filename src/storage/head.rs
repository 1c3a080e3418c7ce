//! The two-slot file that says how far the chain reached.
//!
//! Written and synced after each batch, into the older of the two slots, so that a write which a power cut tears leaves
//! the other one readable. Without it, an engine that loses the newest records would look like one that never had them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame::{Link, take};
use super::store::{Finding, Head};

const MAGIC: [u8; 8] = *b"BURSARH1";
/// A page each, so that no device writes both slots at once.
const SLOT_LEN: u64 = 4096;
const BODY_LEN: usize = 8 + 8 + 16 + 8 + 8 + 16 + 8 + 1;

/// The open head file.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    head: Head,
    /// How often the file was written; its parity names the slot.
    writes: u64,
}

impl HeadFile {
    /// Makes the file; the caller syncs its directory.
    pub(super) fn create(path: &Path, head: Head) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(0)?;
        file.write_all_at(&[0; 2 * SLOT_LEN as usize], 0)?;
        let mut this = Self { file, head, writes: 0 };
        this.write(head)?;
        this.write(head)?;
        this.file.sync_all()
    }

    /// Opens the file at its newest readable slot. The outer error is the disk's, the inner one is damage.
    pub(super) fn open(path: &Path) -> io::Result<Result<Self, Finding>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err(Finding::Head("there is none")));
            }
            Err(error) => return Err(error),
        };
        let newest =
            [slot(&file, 0)?, slot(&file, 1)?].into_iter().flatten().max_by_key(|(writes, _)| *writes);
        let Some((writes, head)) = newest else {
            return Ok(Err(Finding::Head("neither of its two slots matches its checksum")));
        };
        if head.trimmed > head.number {
            return Ok(Err(Finding::Head("it gives up more records than there are")));
        }
        Ok(Ok(Self { file, head, writes }))
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Makes `head` durable. After an error the file counts as unwritten, and must not be used again.
    pub(super) fn write(&mut self, head: Head) -> io::Result<()> {
        let writes = self.writes + 1;
        self.file.write_all_at(&encode(writes, &head), writes % 2 * SLOT_LEN)?;
        self.file.sync_data()?;
        (self.writes, self.head) = (writes, head);
        Ok(())
    }
}

fn slot(file: &File, index: u64) -> io::Result<Option<(u64, Head)>> {
    let mut bytes = [0; BODY_LEN + 4];
    match file.read_exact_at(&mut bytes, index * SLOT_LEN) {
        Ok(()) => Ok(decode(&bytes).filter(|(writes, _)| writes % 2 == index)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode(writes: u64, head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(BODY_LEN + 4);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&writes.to_le_bytes());
    out.extend_from_slice(&head.id);
    out.extend_from_slice(&head.start.to_le_bytes());
    out.extend_from_slice(&head.number.to_le_bytes());
    out.extend_from_slice(&head.link.0);
    out.extend_from_slice(&head.trimmed.to_le_bytes());
    out.push(u8::from(head.clean));
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

fn decode(bytes: &[u8; BODY_LEN + 4]) -> Option<(u64, Head)> {
    let (body, mut checksum) = bytes.split_at_checked(BODY_LEN)?;
    if u32::from_le_bytes(take(&mut checksum)?) != crc32fast::hash(body) {
        return None;
    }
    let mut rest = body;
    if take(&mut rest)? != MAGIC {
        return None;
    }
    let writes = u64::from_le_bytes(take(&mut rest)?);
    let id = take(&mut rest)?;
    let start = u64::from_le_bytes(take(&mut rest)?);
    let number = u64::from_le_bytes(take(&mut rest)?);
    let link = Link(take(&mut rest)?);
    let trimmed = u64::from_le_bytes(take(&mut rest)?);
    let [clean] = take(&mut rest)?;
    Some((writes, Head { id, start, number, link, trimmed, clean: clean == 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64) -> Head {
        Head {
            start: 4,
            number,
            link: Link([5; 16]),
            trimmed: number / 2,
            clean: false,
            ..Head::new([6; 16])
        }
    }

    #[test]
    fn the_newest_write_is_read_and_a_torn_one_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        HeadFile::create(&path, Head::new([6; 16])).unwrap();
        for number in 1..6 {
            HeadFile::open(&path).unwrap().unwrap().write(head(number)).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().unwrap().head(), &head(number));
        }
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let found = *HeadFile::open(&path).unwrap().unwrap().head();
            assert!(found == head(5) || found == head(4), "byte {at}: {found:?}");
        }
    }

    #[test]
    fn an_unreadable_head_is_damage_and_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert!(HeadFile::open(&path).unwrap().is_err());
        std::fs::write(&path, b"").unwrap();
        assert!(HeadFile::open(&path).unwrap().is_err());
        std::fs::write(&path, [0; 8192]).unwrap();
        assert!(HeadFile::open(&path).unwrap().is_err());
    }
}
