//! The policy language: what a playbook says, whether it may, and what it means.
//!
//! | file | what |
//! |---|---|
//! | `meaning` | the compiled playbook and its plans |
//! | `action` | the weight register (C1, C2, C4) |
//! | `charge` | what a run costs |
//! | `allowance` | periods and grants of a plan (C3) |
//! | `overage` | the chain tried once credits run out (C5) |
//! | `draw_order` | which block burns first (C10) |
//! | `cap` | limits per scope and window (C14) |
//! | `alert` | what is raised, and when (C14) |
//! | `offline` | what a cut-off sidecar may do |

pub mod action;
pub mod alert;
pub mod allowance;
pub mod cap;
pub mod charge;
pub mod draw_order;
pub mod meaning;
pub mod offline;
pub mod overage;

pub use charge::{ChargeFault, Quantities, RunResult};
pub use meaning::{CreditUnit, Feature, Mode, Plan, Playbook};
