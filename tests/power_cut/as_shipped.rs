//! The control of the power-cut rig: sled as it is shipped, flushed as its documentation says, must lose records that
//! were acknowledged, or the rig proves nothing.
//!
//! This program uses nothing of bursar, so bursar's `sync_file_range` is not linked into it and sled's calls reach the C
//! library.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program that is a test: a panic is how it fails"
)]

mod rig;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use rig::{Dice, Disk, Moment, cuts, skip, write_until};

/// Enough to be sure: each of them loses everything when the rig works.
const CUTS: u64 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("write") => write(Path::new(&arguments[2])),
        Some("--list") => println!("as_shipped: test"),
        _ => cut(),
    }
    ExitCode::SUCCESS
}

fn write(dir: &Path) {
    let db = sled::Config::new().path(dir).flush_every_ms(None).open().unwrap();
    for number in 1_u64.. {
        let inserted = db.insert(number.to_be_bytes(), vec![number as u8; 128]);
        if inserted.and_then(|_| db.flush()).is_err() {
            // The power is gone; sled would only panic on its way out.
            std::process::exit(0);
        }
        println!("acknowledged {number}");
    }
}

/// How many records from the first on are there; a store that can't be opened has none.
fn kept(dir: &Path) -> u64 {
    let opened = std::panic::catch_unwind(|| {
        let db = sled::Config::new().path(dir).flush_every_ms(None).open().ok()?;
        Some((1_u64..).take_while(|number| matches!(db.get(number.to_be_bytes()), Ok(Some(_)))).count() as u64)
    });
    opened.ok().flatten().unwrap_or(0)
}

fn cut() {
    let mut dice = Dice(13);
    let mut lossy = 0;
    // The number of cuts is the control's own; the variable is asked so that a machine without a rig fails as it should.
    let _ = cuts(CUTS);
    for cut in 0..CUTS {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = match Disk::new(dir.path()) {
            Ok(disk) => disk,
            Err(why) => return skip("as_shipped", &why),
        };
        let store = disk.mount.join("store");
        let said =
            write_until(&store, cut, Moment::Writing(50_000 + dice.roll(300_000)), |_| disk.cut().unwrap());
        disk.unplug().unwrap();
        disk.plug_in().unwrap();
        let kept = kept(&store);
        println!("cut {}: {} records acknowledged, {kept} kept", cut + 1, said.acknowledged);
        lossy += u64::from(kept < said.acknowledged);
        disk.unplug().unwrap();
    }
    let _ = std::io::stdout().flush();
    assert!(lossy > 0, "sled as shipped lost nothing in {CUTS} power cuts: the rig does not cut the power");
}
