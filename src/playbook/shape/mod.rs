//! The shape of the language: every key, what may stand there, its default and what it does. The reader takes its keys
//! from here, and so do the JSON Schema for editors and the reference for people.
//!
//! | file | what |
//! |---|---|
//! | `kind` | what may stand at a key |
//! | `whole` | the document, the credit, add-ons |
//! | `action` | the credit weight register |
//! | `plan` | a plan's own keys, its allowance and its billing |
//! | `chain` | the links of the overage chain |
//! | `credits` | rollover, pooling, packs, incentives, refunds, transfers |
//! | `governance` | caps, alerts, the offline mode |

pub mod action;
pub mod chain;
pub mod credits;
pub mod governance;
mod kind;
pub mod plan;
pub mod whole;

#[cfg(test)]
mod tests;

pub use kind::{Key, Kind, Map};
