//! The real services of two sidecars and a ledger over a simulated network: what is said over the wire is delayed, held up,
//! lost one way or both, and hosts die. Every commit that was acknowledged is at the ledger once, and no hard limit is passed.
//!
//! The network and its faults follow from the seed alone. The journals have threads of their own, so that a seed repeats
//! the faults and not each interleaving. `BURSAR_TURMOIL=N` plays N seeds, `BURSAR_TURMOIL_SEED=S` plays the one.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod worlds;
