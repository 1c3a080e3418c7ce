//! The process itself, if it runs, and the ledger.

use std::net::SocketAddr;
use std::time::Duration;

use super::check::Check;
use crate::config::{Endpoint, LedgerConfig, SidecarConfig};
use crate::grpc::call_error::CallError;
use crate::grpc::client::{Bearer, LedgerClient, is_serving};
use crate::grpc::connect::Way;
use crate::grpc::entitlement::ENTITLEMENT_SERVICE;
use crate::grpc::proto::ledger_v1::{DescribeRequest, DescribeResponse};
use crate::ledger;
use crate::runtime::Clock;
use crate::trust::client::ClientFiles;
use crate::types::Timestamp;

/// Whoever takes longer is away.
const WITHIN: Duration = Duration::from_secs(5);

/// Clocks further apart than this make logs and traces of two machines hard to read side by side.
const APART: Duration = Duration::from_secs(2);

/// Whether a sidecar of this configuration runs here and takes calls.
pub async fn sidecar(config: &SidecarConfig) -> Check {
    let socket = config.socket.clone().map(Endpoint::Unix);
    let Some(endpoint) = socket.or_else(|| config.listen.map(http)) else {
        return Check::skipped("process", "it listens nowhere".to_owned());
    };
    match is_serving(&endpoint, ENTITLEMENT_SERVICE, WITHIN).await {
        Ok(true) => Check::ok("process", format!("a sidecar takes calls at {endpoint}")),
        Ok(false) => Check::failed(
            "process",
            format!("the sidecar at {endpoint} takes no calls now"),
            "it starts or stops: look again, and into its log".to_owned(),
        ),
        Err(_) => Check::skipped("process", format!("no sidecar answers at {endpoint}")),
    }
}

/// The ledger that sidecars call.
pub async fn ledger(config: &SidecarConfig) -> Vec<Check> {
    let endpoint = &config.ledger;
    let tls = config.ledger_tls().files().map(ClientFiles::open).transpose();
    let way = tls.map_err(anyhow::Error::from).and_then(|tls| Ok(Way::new(endpoint.clone(), tls)?));
    let way = match way {
        Ok(way) => way,
        // What is wrong with the certificates is said in their own line.
        Err(_) => return away(Check::skipped("ledger", format!("{endpoint} was not asked"))),
    };
    match described(&way).await {
        Ok(asked) => asked.checks(endpoint),
        Err(why) => away(Check::failed(
            "ledger",
            format!("{endpoint} does not answer: {why}"),
            "start it, or correct `ledger`; until then plans go on by their offline modes".to_owned(),
        )),
    }
}

/// The ledger of this configuration, if it runs here.
pub async fn own_ledger(config: &LedgerConfig) -> Vec<Check> {
    let Some(listen) = config.listen else {
        return away(Check::skipped("ledger", "it listens nowhere".to_owned()));
    };
    if config.tls_cert.is_some() {
        return away(Check::skipped("ledger", "it speaks TLS: ask from where a sidecar stands".to_owned()));
    }
    let endpoint = http(listen);
    let Ok(way) = Way::new(endpoint.clone(), None) else {
        return away(Check::skipped("ledger", format!("{endpoint} was not asked")));
    };
    match described(&way).await {
        Ok(asked) => asked.checks(&endpoint),
        Err(_) => away(Check::skipped("ledger", format!("no ledger answers at {endpoint}"))),
    }
}

/// The database of a ledger: whether it can be reached, and has the tables of this build.
pub async fn database(config: &LedgerConfig) -> Check {
    let advice =
        "correct `database`, and run `bursar ledger migrate` once for each new build (docs/postgresql.md)";
    match ledger::looked_at(config).await {
        Ok(()) => Check::ok("database", "it answers, and has the tables of this build".to_owned()),
        Err(why) => Check::failed("database", format!("{why:#}"), advice.to_owned()),
    }
}

/// What a ledger said, and when it was asked by this machine's clock.
struct Asked {
    said: DescribeResponse,
    between: (Timestamp, Timestamp),
}

async fn described(way: &Way) -> Result<Asked, CallError> {
    let mut client = LedgerClient::connect_by(way, Bearer::default(), WITHIN).await?;
    let clock = Clock::system();
    let asked = clock.wall();
    let said = client.describe(DescribeRequest {}).await?;
    Ok(Asked { said, between: (asked, clock.wall()) })
}

impl Asked {
    fn checks(&self, endpoint: &Endpoint) -> Vec<Check> {
        vec![
            Check::ok("ledger", format!("{endpoint} answers")),
            self.version(),
            self.clock(),
            self.learning(),
        ]
    }

    fn version(&self) -> Check {
        const OWN: &str = env!("CARGO_PKG_VERSION");
        let theirs = &self.said.version;
        if theirs == OWN {
            return Check::ok("version", format!("ledger and this build are both {OWN}"));
        }
        Check::warning(
            "version",
            format!("the ledger is {theirs}, this build is {OWN}"),
            "update the ledgers first, then the sidecars".to_owned(),
        )
    }

    fn clock(&self) -> Check {
        let Some(now) = &self.said.now else {
            return Check::skipped("clock", "the ledger does not tell its clock".to_owned());
        };
        let theirs = now.seconds.saturating_mul(1_000_000).saturating_add(i64::from(now.nanos / 1000));
        let (asked, answered) = self.between;
        // The answer was made somewhere between.
        let apart = (asked.micros() - theirs).max(theirs - answered.micros()).max(0);
        let apart = Duration::from_micros(apart.unsigned_abs());
        if apart <= APART {
            return Check::ok("clock", "this machine's clock and the ledger's agree".to_owned());
        }
        Check::warning(
            "clock",
            format!("this machine's clock and the ledger's are at least {apart:.1?} apart"),
            "let a time service set both; decisions go by the ledger's, logs and traces by each machine's"
                .to_owned(),
        )
    }

    fn learning(&self) -> Check {
        if self.said.learning_until.is_none() {
            return Check::ok(
                "learning",
                format!("it leases; its store is in life {}", self.said.generation),
            );
        }
        Check::warning(
            "learning",
            "it was restored from a backup, learns what sidecars hold, and leases nothing yet".to_owned(),
            "keep sidecars connected, and wait (docs/restore.md)".to_owned(),
        )
    }
}

/// Nothing more can be said of a ledger that does not answer.
fn away(found: Check) -> Vec<Check> {
    let rest = ["version", "clock", "learning"];
    let skipped = rest.map(|name| Check::skipped(name, "no ledger was asked".to_owned()));
    [found].into_iter().chain(skipped).collect()
}

fn http(address: SocketAddr) -> Endpoint {
    Endpoint::Http(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn asked(now: i64, version: &str) -> Asked {
        let (seconds, nanos) = (now / 1_000_000, i32::try_from(now % 1_000_000).unwrap() * 1000);
        let now = Some(prost_types::Timestamp { seconds, nanos });
        let said = DescribeResponse { version: version.to_owned(), now, generation: 1, learning_until: None };
        Asked { said, between: (Timestamp::from_micros(100_000_000), Timestamp::from_micros(101_000_000)) }
    }

    #[test]
    fn clocks_may_be_two_seconds_apart() {
        for (now, state) in [
            (100_500_000, State::Ok),
            (98_000_000, State::Ok),
            (97_999_999, State::Warning),
            (103_000_000, State::Ok),
            (103_000_001, State::Warning),
        ] {
            assert_eq!(asked(now, "").clock().state, state, "{now}");
        }
    }

    #[test]
    fn another_version_is_told() {
        assert_eq!(asked(0, env!("CARGO_PKG_VERSION")).version().state, State::Ok);
        assert_eq!(asked(0, "0.0.1").version().state, State::Warning);
    }
}
