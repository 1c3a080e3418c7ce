//! `bursar account …`: what operators and billing systems do with accounts, at the ledger.
//!
//! | file | what |
//! |---|---|
//! | `command` | which of them |
//! | `subscribe` | opens an account |
//! | `suspend` | suspends and resumes |
//! | `grant` | gives credits, and withdraws what is left of them |
//! | `purchase` | buys packs, awards incentives |
//! | `moves` | moves credits between pools and accounts |
//! | `refund` | gives charges and purchases back |
//! | `contract` | another plan, seats, an end, caps of its own |
//! | `overage_limit` | lowers soft overage |
//! | `show` | one account, all accounts |
//! | `billing` | invoice lines, and their export |
//! | `usage` | what runs were charged, by who caused them |
//! | `alerts` | alerts that were raised |

mod alerts;
mod billing;
mod command;
mod contract;
mod grant;
mod moves;
mod overage_limit;
mod purchase;
mod refund;
mod show;
mod subscribe;
mod suspend;
mod usage;

pub use command::AccountCommand;
