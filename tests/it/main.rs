//! The one integration binary: fast, ports 0, no sleeping. One module per thing that is tested.

#[cfg(test)]
mod acting;
#[cfg(test)]
mod arithmetic;
#[cfg(test)]
mod asks;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_dev;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod ledger_shared;
#[cfg(test)]
mod postgresql;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod sidecar;
#[cfg(test)]
mod tidy;
