//! Which operations there are, what each may say, and what its `expect` may name.

/// Operation, its keys, what its `expect` may name. `expect: []` of `alerts` and the like is read elsewhere.
const OPERATIONS: &[(&str, &[&str], &[&str])] = &[
    ("subscribe", &["account", "plan", "seats", "addons", "overrides", "zone"], &["error"]),
    ("suspend", &["account"], &["error"]),
    ("resume", &["account"], &["error"]),
    (
        "grant",
        &["as", "account", "credits", "species", "starts", "lasts", "priority", "pool", "price"],
        &["error"],
    ),
    ("void", &["account", "grant"], &["credits", "error"]),
    ("purchase", &["as", "account", "pack", "by", "user"], &["price", "error"]),
    ("award", &["account", "user", "incentive"], &["credits", "error"]),
    ("allocate", &["account", "from", "to", "credits"], &["error"]),
    ("set_overage_limit", &["account", "credits"], &["error"]),
    ("change_plan", &["account", "plan", "when"], &["error"]),
    ("set_seats", &["account", "seats"], &["error"]),
    ("cancel", &["account", "when"], &["error"]),
    (
        "set_cap",
        &["account", "name", "per", "match", "limit", "concurrent", "runs", "every", "soft"],
        &["error"],
    ),
    ("transfer", &["from", "to", "credits", "by"], &["error"]),
    ("refund", &["run", "credits", "account", "purchase"], &["credits", "amount", "error"]),
    ("publish", &[], &["error"]),
    ("authorize", AUTHORIZE, AUTHORIZED),
    (
        "progress",
        &["run", "quantity", "quantities", "ahead", "ttl", "request_id"],
        &["state", "decision", "reason", "held", "charged", "error"],
    ),
    ("commit", COMMIT, &["state", "charged", "paid_by", "debt", "error"]),
    ("release", &["run"], &["state", "error"]),
    ("record", RECORD, &["charged", "paid_by", "debt", "error"]),
    ("state", &["run"], &["state", "charged", "held", "error"]),
    (
        "balance",
        &["account", "pool"],
        &["available", "held", "spent", "lapsed", "debt", "by", "overage", "period_ends", "error"],
    ),
    ("features", &["account"], ANY),
    ("alerts", &["account"], ANY),
    ("invoice", &["account"], &["lines", "error"]),
    ("check", &[], &["errors", "warnings"]),
    ("partition", &[], &[]),
    ("heal", &[], &[]),
    ("crash", &["sidecar", "unflushed"], &[]),
    ("restart", &[], &[]),
    ("lose_disk", &[], &[]),
];

const AUTHORIZE: &[&str] = &[
    "as",
    "account",
    "team",
    "user",
    "agent",
    "action",
    "quantity",
    "quantities",
    "dimensions",
    "parent",
    "retry_of",
    "run_id",
    "ttl",
    "request_id",
    "validate_only",
];

const AUTHORIZED: &[&str] = &[
    "decision",
    "reason",
    "cap",
    "held",
    "charged",
    "paid_by",
    "final",
    "soft_caps_reached",
    "enforced",
    "would_be_decision",
    "would_be_reason",
    "error",
];

const COMMIT: &[&str] = &["run", "result", "quantity", "quantities", "completion", "verified", "request_id"];

const RECORD: &[&str] = &[
    "as",
    "account",
    "team",
    "user",
    "agent",
    "action",
    "quantity",
    "quantities",
    "dimensions",
    "parent",
    "retry_of",
    "run_id",
    "ttl",
    "request_id",
    "result",
    "completion",
    "verified",
];

/// Free to name anything.
const ANY: &[&str] = &["*"];

/// Operations that take a text instead of a map of keys.
pub fn takes_text(operation: &str) -> bool {
    matches!(operation, "publish" | "check" | "partition" | "heal" | "restart" | "lose_disk")
}

/// Says what is wrong with an operation's name.
pub fn known(operation: &str) -> Result<(), String> {
    if OPERATIONS.iter().any(|(name, _, _)| *name == operation) {
        return Ok(());
    }
    let names: Vec<&str> = OPERATIONS.iter().map(|(name, _, _)| *name).collect();
    Err(format!("no operation is called `{operation}`; there are {}", names.join(", ")))
}

pub fn key_of(operation: &str, key: &str) -> Result<(), String> {
    allowed(operation, key, |(_, keys, _)| keys)
}

pub fn expectation_of(operation: &str, key: &str) -> Result<(), String> {
    allowed(operation, key, |(_, _, expected)| expected)
}

type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

fn allowed(operation: &str, key: &str, column: fn(&Row) -> &'static [&'static str]) -> Result<(), String> {
    let keys = OPERATIONS.iter().find(|(name, _, _)| *name == operation).map(column).unwrap_or_default();
    if keys.contains(&key) || keys == ANY {
        return Ok(());
    }
    Err(format!("`{operation}` has no key `{key}`; it has {}", keys.join(", ")))
}
