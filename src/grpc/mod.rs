//! Everything that knows the wire: what is asked is parsed here, once, and what is answered is written here.
//!
//! | file | what |
//! |---|---|
//! | `proto` | the generated wire types |
//! | `entitlement` | the service that agent runtimes call |
//! | `entitlement_api` | what that service needs of whoever decides |
//! | `convert` | wire → questions, or what is wrong with them |
//! | `reply` | answers → wire |
//! | `explain` | the trail of rules behind a decision |
//! | `status` | the one table of error → status |
//! | `call` | what a call brings besides its message: a deadline, a trace |
//! | `health` | which services serve |
//! | `listen` | sockets, ports and their limits |
//! | `connection` | one caller's connection |

pub mod call;
mod connection;
pub mod convert;
pub mod entitlement;
pub mod entitlement_api;
mod explain;
pub mod health;
pub mod lease_client;
pub mod listen;
pub mod proto;
mod reply;
pub mod status;
