//! Every scenario once more with each sidecar and the ledger as a process of its own, over PostgreSQL, under the test's
//! clock. `BURSAR_SCENARIO=words` runs only those whose names contain the words, `BURSAR_DEALT=3` deals their runs over three
//! sidecars.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod books;
#[cfg(test)]
mod operations;
#[cfg(test)]
#[path = "../it/postgresql.rs"]
#[expect(dead_code, reason = "shared with tests that stop the server and look into it")]
mod postgresql;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod site;
#[cfg(test)]
mod words;
