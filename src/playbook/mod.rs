//! The policy language: what a playbook says, whether it may, and what it means.
//!
//! | file | what |
//! |---|---|
//! | `check`, `rules`, `warning` | whether a document may be published, and why not |
//! | `caution` | the warnings, each with its reason |
//! | `tree`, `read`, `scalar`, `nearest` | YAML text, read with the place of each value |
//! | `document` | what was written: the whole language |
//! | `shape` | every key of it, for the reader, editors and people |
//! | `finding` | what a check has to say, and where |
//! | `compile` | from what was written to what it means |
//! | `meaning` | the compiled playbook and its plans |
//! | `action` | the weight register (C1, C2, C4) |
//! | `charge` | what a run costs |
//! | `allowance` | periods and grants of a plan (C3) |
//! | `overage` | the chain tried once credits run out (C5) |
//! | `rollover` | what becomes of unused credits (C6) |
//! | `pooling` | who shares what (C7) |
//! | `on_demand` | packs, and who may buy them (C8) |
//! | `draw_order` | which block burns first (C10) |
//! | `incentive` | credits awarded for behaviour (C13) |
//! | `billing` | term, fee and commitment (C3, C4) |
//! | `refund` | what comes back of charges and purchases (C9) |
//! | `transfer` | who may move credits (C11) |
//! | `addon`, `overlay` | what one account has beside its plan, or in its place (C15) |
//! | `version` | which version is in force (C16) |
//! | `flat`, `flat_plan`, `diff` | what one version changes against another, and what of it is dearer (C16) |
//! | `cap` | limits per scope and window (C14) |
//! | `alert` | what is raised, and when (C14) |
//! | `offline` | what a cut-off sidecar may do |

pub mod action;
pub mod addon;
pub mod alert;
pub mod allowance;
pub mod billing;
pub mod cap;
pub mod caution;
pub mod charge;
pub mod check;
mod compile;
pub mod diff;
pub mod document;
pub mod draw_order;
pub mod finding;
mod flat;
mod flat_plan;
pub mod incentive;
pub mod meaning;
mod nearest;
pub mod offline;
pub mod on_demand;
pub mod overage;
pub mod overlay;
pub mod pooling;
mod read;
pub mod refund;
pub mod rollover;
mod rules;
mod scalar;
pub mod shape;
pub mod transfer;
pub mod tree;
pub mod version;
mod warning;

pub use charge::{ChargeFault, Quantities, RunResult};
pub use check::{check, load};
pub use finding::{Finding, Report, Severity};
pub use meaning::{CreditUnit, Feature, Mode, Plan, Playbook};
pub use scalar::Portion;
