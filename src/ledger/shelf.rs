//! The published playbooks.

use std::collections::BTreeMap;

use super::record::Published;
use crate::engine::Playbooks;
use crate::engine::contract::PublishRefusal;
use crate::grpc::ledger_api::{LedgerError, Version};
use crate::playbook::{self, Playbook};
use crate::types::{RequestId, Timestamp};

/// Sources of all versions together at most: each sidecar that attaches is sent all of them in one answer.
pub const SOURCES_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Debug, Default)]
pub struct Shelf {
    pub playbooks: Playbooks,
    published_at: BTreeMap<u32, Timestamp>,
    requests: BTreeMap<RequestId, u32>,
    bytes: usize,
}

impl Shelf {
    /// What was published in an earlier life of the process.
    ///
    /// Errors: this build refuses what an earlier one published.
    pub fn found(published: &[Published]) -> Result<Self, String> {
        let mut shelf = Self::default();
        for version in published {
            let playbook = playbook::load(&version.source).map_err(|report| {
                format!(
                    "version {} of the playbook is refused by this build:\n{}",
                    version.version,
                    report.in_file("playbook")
                )
            })?;
            shelf.put(playbook, version);
        }
        Ok(shelf)
    }

    /// The shelf with one more version.
    pub fn with(&self, playbook: Playbook, published: &Published) -> Self {
        let mut shelf = self.clone();
        shelf.put(playbook, published);
        shelf
    }

    fn put(&mut self, playbook: Playbook, published: &Published) {
        self.bytes += published.source.len();
        self.playbooks.publish_at(playbook, published.at);
        self.published_at.insert(published.version, published.at);
        if let Some(request) = &published.request {
            self.requests.insert(request.clone(), published.version);
        }
    }

    /// The highest version; 0 where there is none.
    pub fn newest(&self) -> u32 {
        self.playbooks.latest().map_or(0, |playbook| playbook.version)
    }

    /// Whether the playbook may be the next version.
    pub fn admits(&self, playbook: &Playbook, at: Timestamp) -> Result<(), LedgerError> {
        self.playbooks.admits(playbook, at).map_err(|refusal| match refusal {
            PublishRefusal::VersionNotHigher { given, newest } => {
                LedgerError::VersionNotHigher { given, newest }
            }
            short @ PublishRefusal::NoticeTooShort { .. } => LedgerError::NoticeTooShort(short),
        })?;
        if self.bytes + playbook.source.len() > SOURCES_BYTES_MAX {
            return Err(LedgerError::TooManyPlaybooks { most: SOURCES_BYTES_MAX });
        }
        Ok(())
    }

    /// The version that a request published before, with its source.
    pub fn answered(&self, request: &RequestId, at: Timestamp) -> Option<(Version, String)> {
        self.version(*self.requests.get(request)?, at)
    }

    /// A version with its source; 0 = the one in force at `at`.
    pub fn version(&self, number: u32, at: Timestamp) -> Option<(Version, String)> {
        let in_force = self.playbooks.in_force(at)?;
        let playbook = if number == 0 { in_force } else { self.playbooks.version(number)? };
        let version = Version {
            playbook: playbook.name.clone(),
            version: playbook.version,
            published_at: self.published_at.get(&playbook.version).copied(),
            effective_at: self.playbooks.in_force_from(playbook.version),
            in_force: playbook.version == in_force.version,
        };
        Some((version, playbook.source.to_string()))
    }

    /// Newest first.
    pub fn versions(&self, at: Timestamp) -> Vec<Version> {
        self.playbooks.all().rev().filter_map(|p| Some(self.version(p.version, at)?.0)).collect()
    }

    /// Versions and sources above a version, in order.
    pub fn after(&self, version: u32) -> Vec<(u32, String)> {
        let newer = self.playbooks.all().filter(|playbook| playbook.version > version);
        newer.map(|playbook| (playbook.version, playbook.source.to_string())).collect()
    }
}
