//! Who is at the other end of a connection, and what they may do.
//!
//! | file | what |
//! |---|---|
//! | `live` | what is read from files, and again when they change |
//! | `pem` | certificates and keys as files hold them |
//! | `spiffe` | the name of a workload, as its certificate has it |
//! | `server` | the side that is called: its certificate, and whose it accepts |
//! | `client` | the side that calls |
//! | `certificate` | what a certificate says of itself |
//! | `role` | what operators may be |
//! | `access` | the document that says who may do what |
//! | `token` | operators without a certificate |
//! | `jwt_crypto` | the signatures of tokens |

pub mod access;
pub mod certificate;
pub mod client;
mod jwt_crypto;
pub mod live;
mod pem;
pub mod role;
pub mod server;
pub mod spiffe;
pub mod token;

pub use access::{Access, Caller, Operator};
pub use live::{Live, TrustError};
pub use role::Role;
pub use spiffe::SpiffeId;
