//! A PostgreSQL of its own, with `fsync` on.

use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgresql");

/// A PostgreSQL that ends with this value.
pub struct Cluster {
    dir: String,
    pub url: String,
}

impl Cluster {
    pub fn start() -> Result<Self> {
        let started = Command::new(SCRIPT).arg("start").stderr(Stdio::inherit()).output()?;
        ensure!(started.status.success(), "PostgreSQL did not start");
        let said = String::from_utf8(started.stdout)?;
        let mut lines = said.lines().map(str::to_owned);
        let (Some(dir), Some(url)) = (lines.next(), lines.next()) else { bail!("`{said}`") };
        Ok(Self { dir, url })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _best_effort = Command::new(SCRIPT).args(["stop", &self.dir]).status();
    }
}
