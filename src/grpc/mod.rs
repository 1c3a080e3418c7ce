//! Everything that knows the wire: what is asked is parsed here, once, and what is answered is written here.
//!
//! | file | what |
//! |---|---|
//! | `proto` | the generated types |
//! | `entitlement` | the service that agent runtimes call |
//! | `batch` | several authorises in one call |
//! | `entitlement_server` | its calls, as the generated server has them |
//! | `session` | its calls pipelined over one stream |
//! | `watch_balance` | a balance as a stream |
//! | `entitlement_api` | what that service needs of whoever decides |
//! | `convert`, `field` | wire → questions, or what is wrong with them |
//! | `reply` | answers → wire |
//! | `route` | which service a call is for |
//! | `hot`, `unary` | the way of `Authorize` and `Commit` around the generated server |
//! | `explain` | the trail of rules behind a decision |
//! | `status` | the one table of error → status |
//! | `call` | what a call brings besides its message: a deadline, a trace |
//! | `health` | which services serve |
//! | `listen`, `accept` | where callers come in, and which connections are taken |
//! | `connection` | one caller's connection, and who is at its other end |
//! | `permits`, `guard` | whom the ledger answers: what each call needs, and who makes it |
//! | `http2` | the calls of one connection |
//! | `ledger_api` | what the ledger's servers need of a ledger |
//! | `ledger_view` | what people are shown of it |
//! | `ledger_server` | the ledger's door: services, health, reflection, bounds |
//! | `ledger_status` | which status answers where the ledger does not do it |
//! | `admission` | how many calls are in work at once |
//! | `lease_server`, `lease_wire` | `LeaseService` and its conversions |
//! | `lease_client`, `link_error` | the ledger, as a sidecar reaches it; why it did not answer |
//! | `watch_alerts` | alerts as a stream |
//! | `account_server`, `account_wire`, `contract_wire` | `AccountService` and its conversions |
//! | `playbook_server` | `PlaybookService` |
//! | `audit_server` | `AuditService` |
//! | `describe` | `LedgerService` |
//! | `connect` | how a server is reached: its place, and TLS |
//! | `client` | one connection to a sidecar or a ledger, for the command line |
//! | `call_error` | why a call was not answered, as its status and details say |
//! | `json` | messages as JSON, with the protos' own field names |

mod accept;
mod account_server;
mod account_wire;
mod admission;
mod audit_server;
mod batch;
pub mod call;
pub mod call_error;
pub mod client;
pub mod connect;
mod connection;
mod contract_wire;
pub mod convert;
mod describe;
pub mod entitlement;
pub mod entitlement_api;
mod entitlement_server;
mod explain;
mod field;
mod guard;
pub mod health;
mod hot;
pub mod http2;
pub mod json;
pub mod lease_client;
mod lease_server;
mod lease_wire;
pub mod ledger_api;
pub mod ledger_server;
mod ledger_status;
pub mod ledger_view;
mod link_error;
pub mod listen;
mod permits;
mod playbook_server;
pub mod proto;
mod reply;
mod route;
mod session;
pub mod status;
mod unary;
mod watch_alerts;
mod watch_balance;

pub use lease_client::LeaseClient;
pub use ledger_api::LedgerApi;
pub use ledger_server::serve;
