//! Every span and attribute name, once: dashboards, alert rules and readers of logs hold on to these.

/// Span names: the full name of the rpc, as OpenTelemetry's conventions for RPCs have it.
pub mod span {
    pub const AUTHORIZE: &str = "bursar.v1.EntitlementService/Authorize";
    pub const BATCH_AUTHORIZE: &str = "bursar.v1.EntitlementService/BatchAuthorize";
    pub const PROGRESS: &str = "bursar.v1.EntitlementService/Progress";
    pub const COMMIT: &str = "bursar.v1.EntitlementService/Commit";
    pub const RELEASE: &str = "bursar.v1.EntitlementService/Release";
    pub const RECORD: &str = "bursar.v1.EntitlementService/Record";
    pub const LEASE: &str = "bursar.ledger.v1.LeaseService/Lease";
    pub const DECIDE: &str = "bursar.ledger.v1.LeaseService/Decide";
}

/// A turn at an account in the database: its lock, what is read of it, what is written.
pub mod turn {
    pub const LOCK: &str = "bursar.turn lock";
    pub const READ: &str = "bursar.turn read";
    pub const WRITE: &str = "bursar.turn write";
}

/// Attributes of OpenTelemetry's own conventions.
pub const RPC_SYSTEM: &str = "rpc.system.name";
pub const RPC_METHOD: &str = "rpc.method";
/// gRPC's number, as a string.
pub const RPC_STATUS: &str = "rpc.response.status_code";
pub const ERROR_TYPE: &str = "error.type";
pub const DB_SYSTEM: &str = "db.system.name";
pub const DB_OPERATION: &str = "db.operation.name";

pub const ACCOUNT: &str = "bursar.account";
pub const ACTION: &str = "bursar.action";
pub const RUN_ID: &str = "bursar.run_id";
pub const DECISION_ID: &str = "bursar.decision_id";
/// As in the API, without the enum's prefix: `ALLOWED`, `DENIED`.
pub const DECISION: &str = "bursar.decision";
/// As in the API, without the enum's prefix: `CAP_REACHED`. Not set where nothing was denied.
pub const REASON: &str = "bursar.reason";
pub const CAP: &str = "bursar.cap";
/// The reservation's id, never its handle: a handle in a trace could be used.
pub const RESERVATION: &str = "bursar.reservation";
/// Credits, as decimal strings.
pub const HELD: &str = "bursar.held";
pub const CHARGED: &str = "bursar.charged";
/// `SIDECAR` or `LEDGER`.
pub const DECIDED_BY: &str = "bursar.decided_by";
/// `ONLINE` or `OFFLINE`.
pub const CONNECTIVITY: &str = "bursar.connectivity";
pub const PLAYBOOK_VERSION: &str = "bursar.playbook_version";

/// The target of the log lines about decisions, for filters such as `bursar::decision=debug`.
pub const DECISION_LOG: &str = "bursar::decision";
