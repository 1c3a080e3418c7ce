//! Cuts the power of a filesystem in a file: a loop-mounted ext4 that is shut down without writing its log, as a machine
//! without power would leave it, then mounted again. What the device was given before counts as written, so this is
//! kinder than a disk with a cache of its own.
#![allow(dead_code, reason = "two programs share this file, and each uses its part")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Large enough for the files of a whole round, small enough to be made in a blink.
pub const IMAGE_BYTES: u64 = 256 << 20;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`: the way the kernel's own tests cut the power.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Without writing the log first.
const NO_LOG_FLUSH: u32 = 2;

/// A mounted filesystem in a file.
pub struct Disk {
    image: PathBuf,
    pub mount: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes and mounts one below `dir`, or says why this machine can't.
    pub fn new(dir: &Path) -> Result<Self, String> {
        let disk = Self { image: dir.join("disk.img"), mount: dir.join("disk"), mounted: false };
        let made = File::create(&disk.image).and_then(|file| file.set_len(IMAGE_BYTES));
        made.and_then(|()| fs::create_dir(&disk.mount)).map_err(|error| format!("no image: {error}"))?;
        run("mkfs.ext4", &["-q".as_ref(), disk.image.as_ref()])?;
        let mut disk = disk;
        disk.plug_in()?;
        Ok(disk)
    }

    pub fn plug_in(&mut self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.mount.as_ref()])?;
        self.mounted = true;
        Ok(())
    }

    /// Nothing that is not on the device by now ever gets there.
    #[expect(unsafe_code, reason = "the cut is an ioctl")]
    pub fn cut(&self) -> Result<(), String> {
        let flags = NO_LOG_FLUSH;
        let root = File::open(&self.mount).map_err(|error| error.to_string())?;
        // SAFETY: the kernel reads one `u32` through the pointer, during the call.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const flags) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }

    pub fn unplug(&mut self) -> Result<(), String> {
        // The writer is gone, but the kernel may still be closing its files.
        for _ in 0..100 {
            if run("umount", &[self.mount.as_ref()]).is_ok() {
                self.mounted = false;
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err("the filesystem can't be unmounted".to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = run("umount", &["-l".as_ref(), self.mount.as_ref()]);
        }
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("`{program}`: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("`{program}`: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// What a writer said before it lost its power: each line is a word and a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// The highest record that the writer was told is safe.
    pub acknowledged: u64,
    /// The highest record that it gave up.
    pub trimmed: u64,
}

/// When the writer is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// This many microseconds after its first acknowledgement, so that slow machines stop it in the middle of work too.
    Writing(u64),
    /// This many microseconds after it was started: while it opens its store, or shortly after.
    Opening(u64),
}

/// Runs this very program as a writer on `dir` until the moment, then does `stop`, and returns what the writer said.
pub fn write_until(dir: &Path, seed: u64, moment: Moment, stop: impl FnOnce(&mut Child)) -> Said {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .arg("write")
        .arg(dir)
        .arg(seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = Arc::new(Mutex::new(Said::default()));
    let reader = thread::spawn({
        let said = Arc::clone(&said);
        move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                match line.split_once(' ').map(|(word, number)| (word, number.parse::<u64>())) {
                    Some(("acknowledged", Ok(number))) => said.acknowledged = said.acknowledged.max(number),
                    Some(("trimmed", Ok(number))) => said.trimmed = said.trimmed.max(number),
                    // The last line may be half a line.
                    _ => {}
                }
            }
        }
    });
    let micros = match moment {
        Moment::Opening(micros) => micros,
        Moment::Writing(micros) => {
            while said.lock().unwrap().acknowledged == 0 {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("the writer ended before it wrote anything: {status}");
                }
                thread::sleep(Duration::from_millis(1));
            }
            micros
        }
    };
    thread::sleep(Duration::from_micros(micros));
    stop(&mut child);
    let _ = child.kill();
    child.wait().unwrap();
    reader.join().unwrap();
    *said.lock().unwrap()
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// How many cuts: the environment's word, or the default.
pub fn cuts(default: u64) -> u64 {
    std::env::var("BURSAR_POWER_CUTS")
        .map_or(default, |text| text.parse().expect("BURSAR_POWER_CUTS is a number"))
}

/// Says that this machine can't do it, so that nobody overlooks it. With `BURSAR_POWER_CUTS` set, that is a failure.
pub fn skip(name: &str, why: &str) {
    let line = "=".repeat(100);
    println!("{line}\nSKIPPED {name}: this machine can't cut the power of a filesystem ({why}).");
    println!("It takes root, loop devices and ext4 (Linux).\n{line}");
    assert!(
        std::env::var_os("BURSAR_POWER_CUTS").is_none(),
        "BURSAR_POWER_CUTS asks for cuts, and there were none"
    );
}
