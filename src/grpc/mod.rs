//! Everything that knows the wire.
//!
//! | file | what |
//! |---|---|
//! | `proto` | the generated types |
//! | `client` | one connection to a sidecar or a ledger, for the command line |
//! | `call_error` | why a call was not answered, as its status and details say |
//! | `json` | messages as JSON, with the protos' own field names |

pub mod call_error;
pub mod client;
pub mod json;
pub mod proto;
