//! Makes sled's flush survive a power cut.
//!
//! On Linux sled 0.34 ends a flush with `sync_file_range`, which neither flushes the device's cache nor writes the
//! file's metadata: after a power cut every record is gone, though `flush` had returned. A definition in the program
//! itself wins over the C library's, so this module answers sled's calls with `fdatasync`. sled is their only caller.
//! The count lets an opening store prove that the calls arrive here: the linker decides that, not the compiler.
#![expect(unsafe_code, reason = "interposing a C function needs an exported symbol and a call into C")]

use std::sync::atomic::{AtomicU64, Ordering};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// Whether sled needs the replacement here. Elsewhere its flush is a full `fsync` already.
pub(super) const REPLACES_SYNC: bool = cfg!(target_os = "linux");

/// How many flushes of this process were made durable so far.
pub(super) fn syncs() -> u64 {
    SYNCS.load(Ordering::Acquire)
}

/// Stands in for the C library's function of this name in the whole process; the range and flags don't matter, as the
/// whole file is made durable. Returns 0, or -1 with `errno` set, as the original does.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(
    file: libc::c_int,
    _offset: libc::off64_t,
    _length: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    // SAFETY: `fdatasync` takes a descriptor by value and touches no memory of this process.
    let result = unsafe { libc::fdatasync(file) };
    if result == 0 {
        SYNCS.fetch_add(1, Ordering::Release);
    }
    result
}
