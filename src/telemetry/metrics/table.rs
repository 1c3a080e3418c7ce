//! Every metric, once. Dashboards and alert rules hold on to these names; `docs/metrics.md` is made of this table.

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// As it is scraped, but for the `_total` of counters and `_info`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// Whose it is.
    pub of: &'static [Part],
    /// For people: one or two sentences.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the process's start.
    Counter,
    Gauge,
    /// Seconds, by bucket.
    Histogram,
    /// Always 1: its labels say it.
    Info,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Sidecar,
    Ledger,
}

macro_rules! metrics {
    ($( $(#[doc = $help:literal])+ $constant:ident = $name:literal, $kind:ident, [$($label:literal),*], [$($part:ident),+]; )+) => {
        $(
            $(#[doc = $help])+
            pub static $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                of: &[$(Part::$part),+],
                help: concat!($($help),+).trim_ascii(),
            };
        )+

        /// All of them, in the order of the documentation.
        pub static ALL: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    /// Which build runs.
    BUILD = "bursar_build", Info, ["version", "part"], [Sidecar, Ledger];

    /// How long calls took, from the request's last byte to the answer's first. Calls over `Session` count with their rpc's
    /// name.
    CALL_SECONDS = "rpc_server_call_duration_seconds", Histogram, ["rpc_method"], [Sidecar];

    /// Calls that ended with an error instead of an answer, by gRPC's status.
    CALL_ERRORS = "bursar_call_errors", Counter, ["rpc_method", "rpc_status_code"], [Sidecar];

    /// What `Authorize`, `BatchAuthorize` (each run of it) and `Progress` were answered, unless they were only to validate. `reason` is empty where nothing was
    /// denied. `mode`: `lease` = decided here on the lease in hand, `ledger` = the ledger decided, `offline` = decided
    /// here with the ledger out of reach.
    DECISIONS = "bursar_decisions", Counter, ["decision", "reason", "mode"], [Sidecar];

    /// Credits that runs began to hold here.
    RESERVED = "bursar_reserved_credits", Counter, [], [Sidecar];

    /// Credits charged here. What a later answer took back of a charge does not come off.
    CHARGED = "bursar_charged_credits", Counter, [], [Sidecar];

    /// Credits that were consumed here and that no block could pay.
    DEBT = "bursar_debt_credits", Counter, [], [Sidecar];

    /// Credits leased to this sidecar, idle or held by open runs.
    LEASED = "bursar_leased_credits", Gauge, [], [Sidecar];

    /// Of the leased credits those that no run holds: nobody else can use them until they return.
    STRANDED = "bursar_stranded_credits", Gauge, [], [Sidecar];

    /// Of the leased credits those that may be spent past a hard limit while the ledger is away: emergency allowances.
    EMERGENCY = "bursar_emergency_credits", Gauge, [], [Sidecar];

    /// By how much hard limits may be passed through this sidecar: `bursar_emergency_credits`, and what was consumed since the
    /// start that no block could pay.
    OVERSPEND_BOUND = "bursar_overspend_bound_credits", Gauge, [], [Sidecar];

    /// Open runs that this sidecar settles.
    OPEN_RUNS = "bursar_open_runs", Gauge, [], [Sidecar];

    /// Accounts in memory.
    ACCOUNTS = "bursar_accounts", Gauge, [], [Sidecar, Ledger];

    /// Accounts whose calls are refused because a bug was found in their state: each needs a restart and a report of the bug.
    BROKEN_ACCOUNTS = "bursar_broken_accounts", Gauge, [], [Sidecar];

    /// 1 while the ledger is in reach.
    LEDGER_UP = "bursar_ledger_up", Gauge, [], [Sidecar];

    /// Seconds since the ledger was last in reach: 0 while it is, and counted from the start where it never was.
    LEDGER_CONTACT_AGE = "bursar_ledger_contact_age_seconds", Gauge, [], [Sidecar];

    /// Records that the ledger has not acknowledged.
    OUTBOX_RECORDS = "bursar_outbox_records", Gauge, [], [Sidecar];

    /// Their bytes. At `outbox_bytes_max` new work is refused.
    OUTBOX_BYTES = "bursar_outbox_bytes", Gauge, [], [Sidecar];

    /// The option `outbox_bytes_max`.
    OUTBOX_BYTES_MAX = "bursar_outbox_bytes_max", Gauge, [], [Sidecar];

    /// Bytes that the journal's files take on disk.
    JOURNAL_BYTES = "bursar_journal_bytes", Gauge, [], [Sidecar];

    /// Records taken and not yet on disk.
    JOURNAL_QUEUED = "bursar_journal_queued_records", Gauge, [], [Sidecar];

    /// How long the journal's commits took, each with its sync.
    FLUSH_SECONDS = "bursar_journal_flush_seconds", Histogram, [], [Sidecar];

    /// Sidecars attached to this ledger process.
    SIDECARS = "bursar_attached_sidecars", Gauge, [], [Ledger];

    /// 1 while the ledger still learns, after a restore, what sidecars hold: until then it leases nothing.
    LEARNING = "bursar_ledger_learning", Gauge, [], [Ledger];
}

impl Metric {
    /// As Prometheus stores it.
    pub fn stored_name(&self) -> String {
        let end = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{end}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// What `docs/metrics.md` holds between its two marks.
    fn page() -> String {
        let mut page = String::from("| metric | kind | labels | of | |\n|---|---|---|---|---|\n");
        for metric in ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Info => "info",
            };
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let of: Vec<_> = metric
                .of
                .iter()
                .map(|part| match part {
                    Part::Sidecar => "sidecar",
                    Part::Ledger => "ledger",
                })
                .collect();
            let help = metric.help.replace('|', "\\|");
            let (labels, of) = (labels.join(", "), of.join(", "));
            writeln!(page, "| `{}` | {kind} | {labels} | {of} | {help} |", metric.stored_name()).unwrap();
        }
        page
    }

    #[test]
    fn the_documentation_has_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, rest) = document.split_once("<!-- metrics -->\n").unwrap();
        let (held, _) = rest.split_once("<!-- end of metrics -->").unwrap();
        let page = page();
        assert!(held == page, "put this between the two marks of docs/metrics.md:\n{page}");
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for metric in ALL {
            let lowercase = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(
                lowercase(metric.name) && metric.labels.iter().all(|label| lowercase(label)),
                "{metric:?}"
            );
            assert!(!metric.name.ends_with("_total") && !metric.name.ends_with("_info"), "{metric:?}");
            assert_eq!(
                metric.kind == Kind::Histogram,
                metric.name.ends_with("_duration_seconds") || metric.name.ends_with("_flush_seconds")
            );
            assert_eq!(ALL.iter().filter(|other| other.name == metric.name).count(), 1, "{metric:?}");
        }
    }
}
