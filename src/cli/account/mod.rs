//! `bursar account …`: what operators and billing systems do with accounts, at the ledger.
//!
//! | file | what |
//! |---|---|
//! | `command` | which of them |
//! | `subscribe` | opens an account |
//! | `suspend` | suspends and resumes |
//! | `grant` | gives credits, and withdraws what is left of them |
//! | `overage_limit` | lowers soft overage |
//! | `show` | one account, all accounts |
//! | `billing` | invoice lines |
//! | `alerts` | alerts that were raised |

mod alerts;
mod billing;
mod command;
mod grant;
mod overage_limit;
mod show;
mod subscribe;
mod suspend;

pub use command::AccountCommand;
