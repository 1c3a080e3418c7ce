//! Which checks are made for which process, and how they are shown.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::check::{Check, State};
use super::{certificate, disk, server};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::process::unflagged;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::config::{Checked, ConfigArgs, LedgerConfig, SidecarConfig, ledger, sidecar};

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Which process [default: sidecar]
    #[command(subcommand)]
    process: Option<Which>,
}

#[derive(Clone, Debug, Subcommand)]
enum Which {
    /// What a sidecar stands on; the flags are those of `bursar sidecar`
    Sidecar(ConfigArgs<SidecarConfig>),
    /// What a ledger stands on; the flags are those of `bursar ledger`
    Ledger(ConfigArgs<LedgerConfig>),
}

impl DoctorArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let checks = match self.process {
            Some(Which::Sidecar(args)) => {
                of_sidecar(args.load(Path::new(sidecar::USUAL_FILE)).map_err(Failure::from)).await
            }
            Some(Which::Ledger(args)) => {
                of_ledger(args.load(Path::new(ledger::USUAL_FILE)).map_err(Failure::from)).await
            }
            None => of_sidecar(unflagged(sidecar::USUAL_FILE)).await,
        };
        let failed = checks.iter().any(|check| check.state == State::Failed);
        if screen.json {
            let all: Vec<Value> = checks.iter().map(Check::json).collect();
            screen.print_json(&json!({ "success": !failed, "checks": all }))?;
        } else {
            let rows: Vec<Value> = checks.iter().map(Check::json).collect();
            screen.print(&table::rows(&["check", "state", "found"], &rows))?;
            for advice in checks.iter().filter_map(Check::advised) {
                screen.say(&advice);
            }
        }
        Ok(if failed { Exit::Failure } else { Exit::Success })
    }
}

async fn of_sidecar(loaded: Result<Checked<SidecarConfig>, Failure>) -> Vec<Check> {
    let Checked { config, unused, .. } = match loaded {
        Ok(checked) => checked,
        Err(why) => return vec![misconfigured(&why)],
    };
    let room = config.outbox_bytes_max.saturating_add(config.retain_bytes_max);
    let mut checks = vec![configured(&unused)];
    checks.extend(disk::looked_at(&config.data_dir, room));
    checks.push(server::sidecar(&config).await);
    checks.push(certificate::of_sidecar(&config));
    checks.extend(server::ledger(&config).await);
    checks
}

async fn of_ledger(loaded: Result<Checked<LedgerConfig>, Failure>) -> Vec<Check> {
    let Checked { config, unused, .. } = match loaded {
        Ok(checked) => checked,
        Err(why) => return vec![misconfigured(&why)],
    };
    let mut checks = vec![configured(&unused)];
    if config.database.is_some() {
        checks.push(server::database(&config).await);
    } else {
        checks.extend(disk::looked_at(&config.data_dir, disk::LEDGER_ROOM));
    }
    checks.push(certificate::of_ledger(&config));
    checks.extend(server::own_ledger(&config).await);
    checks
}

fn configured(unused: &[String]) -> Check {
    if unused.is_empty() {
        return Check::ok(
            "configuration",
            "every option can be read, and none contradicts another".to_owned(),
        );
    }
    Check::warning(
        "configuration",
        format!("{} set, and nothing reads it", unused.join(", ")),
        "correct the name, or take it away: `bursar config show` lists every option with its variable"
            .to_owned(),
    )
}

fn misconfigured(why: &Failure) -> Check {
    Check::failed(
        "configuration",
        why.to_string().trim_start_matches("error: ").to_owned(),
        "correct what is named; `bursar config show` tells where each value comes from".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every check: each is a heading of the documentation.
    const ALL: [&str; 11] = [
        "configuration",
        "data-directory",
        "durability",
        "space",
        "database",
        "process",
        "certificate",
        "ledger",
        "version",
        "clock",
        "learning",
    ];

    #[test]
    fn every_check_has_its_place_in_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md");
        let document = std::fs::read_to_string(path).unwrap();
        let headings: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, ALL);
    }

    #[tokio::test]
    async fn every_check_has_a_name_of_the_documentation() {
        let mut sidecar = unflagged::<SidecarConfig>("/nowhere/sidecar.toml").unwrap();
        sidecar.config.ledger = crate::config::Endpoint::Http("127.0.0.1:1".to_owned());
        let mut ledger = unflagged::<LedgerConfig>("/nowhere/ledger.toml").unwrap();
        ledger.config.listen = Some("127.0.0.1:1".parse().unwrap());
        ledger.config.database =
            Some(crate::config::value::database("postgres://u@127.0.0.1:1/d").unwrap().unwrap());
        let (sidecar, ledger) = (of_sidecar(Ok(sidecar)).await, of_ledger(Ok(ledger)).await);
        let names = |checks: &[Check]| checks.iter().map(|check| check.name).collect::<Vec<_>>();
        assert!(names(&sidecar).iter().chain(&names(&ledger)).all(|name| ALL.contains(name)));
        for name in ALL {
            assert!(names(&sidecar).contains(&name) || names(&ledger).contains(&name), "{name}");
        }
        let state =
            |checks: &[Check], name: &str| checks.iter().find(|check| check.name == name).map(|c| c.state);
        assert_eq!(state(&sidecar, "ledger"), Some(State::Failed));
        assert_eq!(state(&sidecar, "clock"), Some(State::Skipped));
        assert_eq!(state(&ledger, "database"), Some(State::Failed));
    }
}
