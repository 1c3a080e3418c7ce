//! What was written: the whole language, each value with its place, no default filled in.
//!
//! | file | what |
//! |---|---|
//! | `whole` | the document, the credit (C1, C4), add-ons (C15) and versions (C16) |
//! | `actions` | the credit weight register (C1, C2, C4) |
//! | `plan` | a plan's keys (C15) and its allowance (C3) |
//! | `chain` | the overage chain (C5) |
//! | `credits` | what becomes of credits: rollover, pooling, packs, refunds, transfers, incentives (C6–C9, C11, C13) |
//! | `billing` | term, fee and commitment (C3, C4) |
//! | `governance` | caps, alerts (C14) and the offline mode |
//! | `features` | boolean and static entitlements (C15) |

pub mod actions;
pub mod billing;
pub mod chain;
pub mod credits;
pub mod features;
pub mod governance;
pub mod plan;
pub mod whole;

pub use whole::{Document, read};
