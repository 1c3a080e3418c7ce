//! What is read from files, and again when they change. A change that can't be used leaves what was there before.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;

use crate::runtime::Shutdown;

/// Files are looked at this often: a few kilobytes are read, and whoever was taken out of the access document is out.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A chain has some kilobytes, a bundle of authorities some hundred.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}` {what}", path = path.display())]
pub struct TrustError {
    pub path: PathBuf,
    /// What is wrong, then what would be right.
    pub what: String,
}

impl TrustError {
    pub fn new(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into() }
    }
}

/// What the files' contents come to.
type Make<T> = Box<dyn Fn(&[Content]) -> Result<T, TrustError> + Send + Sync>;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Content {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// What the files came to when they were last of use.
pub struct Live<T>(Arc<Kept<T>>);

struct Kept<T> {
    /// For the log: what this is.
    what: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    now: ArcSwap<T>,
    /// Of what was looked at last, whether it could be used or not.
    seen: Mutex<blake3::Hash>,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked {
    Same,
    Taken,
    /// What was there before stays in force.
    Refused(TrustError),
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("what", &self.0.what)
            .field("files", &self.0.files)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Live<T> {
    /// Reads the files for the first time.
    ///
    /// Errors: what can't be used.
    pub fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn(&[Content]) -> Result<T, TrustError> + Send + Sync + 'static,
    ) -> Result<Self, TrustError> {
        let contents = read(&files)?;
        let now = ArcSwap::from_pointee(make(&contents)?);
        let seen = Mutex::new(fingerprint(&contents));
        Ok(Self(Arc::new(Kept { what, files, make: Box::new(make), now, seen })))
    }

    pub fn now(&self) -> Arc<T> {
        self.0.now.load_full()
    }

    /// Looks whether the files have changed.
    pub fn look(&self) -> Looked {
        let kept = &self.0;
        let made = read(&kept.files).and_then(|contents| {
            let fingerprint = fingerprint(&contents);
            if std::mem::replace(&mut *kept.seen.lock(), fingerprint) == fingerprint {
                return Ok(None);
            }
            (kept.make)(&contents).map(Some)
        });
        match made {
            Ok(None) => Looked::Same,
            Ok(Some(made)) => {
                kept.now.store(Arc::new(made));
                Looked::Taken
            }
            Err(why) => Looked::Refused(why),
        }
    }

    /// Looks every now and then, until the shutdown.
    pub async fn keep_up(self, shutdown: Shutdown) {
        let mut refused = None;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let live = self.clone();
            let looked = tokio::task::spawn_blocking(move || live.look()).await;
            match looked.unwrap_or(Looked::Same) {
                Looked::Taken => {
                    refused = None;
                    tracing::info!(what = self.0.what, "its files have changed: they are in force");
                }
                Looked::Refused(why) if refused.as_ref() != Some(&why) => {
                    tracing::error!(what = self.0.what, %why, "its files have changed, and can't be used: what was before stays in force");
                    refused = Some(why);
                }
                Looked::Refused(_) | Looked::Same => {}
            }
        }
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Content>, TrustError> {
    files.iter().map(|path| one(path)).collect()
}

fn one(path: &Path) -> Result<Content, TrustError> {
    let unreadable = |error: std::io::Error| TrustError::new(path, format!("can't be read: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TrustError::new(path, format!("has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Content { path: path.to_owned(), bytes })
}

fn fingerprint(contents: &[Content]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for content in contents {
        hasher.update(&(content.bytes.len() as u64).to_le_bytes()).update(&content.bytes);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_change_leaves_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let make = |contents: &[Content]| {
            let text = std::str::from_utf8(&contents[0].bytes).unwrap();
            text.parse::<u32>().map_err(|_| TrustError::new(&contents[0].path, "is no number"))
        };
        let live = Live::open("a number", vec![path.clone()], make).unwrap();
        assert_eq!((*live.now(), live.look()), (1, Looked::Same));
        std::fs::write(&path, "two").unwrap();
        assert!(matches!(live.look(), Looked::Refused(_)));
        assert_eq!((*live.now(), live.look()), (1, Looked::Same));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(live.look(), Looked::Refused(_)));
        std::fs::write(&path, "3").unwrap();
        assert_eq!((live.look(), *live.now()), (Looked::Taken, 3));
        let missing = Live::open("a number", vec![dir.path().join("none")], make).unwrap_err();
        assert!(missing.to_string().contains("can't be read"), "{missing}");
    }
}
