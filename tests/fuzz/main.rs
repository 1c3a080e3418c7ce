//! Whatever comes in from outside, as bytes nobody meant: it must be read or refused, in bounded time, without a panic.
//!
//! Inputs are made from those of the corpus by small harms; one that is answered in words not seen before joins the corpus
//! of the run, so that the search goes on from there. `BURSAR_FUZZ_SECONDS` says how long each target is tried,
//! `BURSAR_SEED` how it begins; `BURSAR_FUZZ` names one target alone. What fails is written to `target/fuzz/`, and belongs
//! into `tests/fuzz/corpus/TARGET/` with its mend: every run begins with what lies there. `BURSAR_FUZZ_LEARN` names the
//! journal of a process that has stopped: its records join the corpus of records.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a program that is a test: a panic is how it fails, and its own clock says when it ends"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bursar::storage::{Limits, read};
use harm::{Dice, harmed};
use targets::TARGETS;

mod harm;
mod targets;

/// How long each target is tried where nobody says.
const SECONDS: u64 = 10;

/// An input that takes longer would hold others up.
const TOO_LONG: Duration = Duration::from_secs(2);

/// Inputs that the search goes on from, of those that it found itself.
const FOUND_MAX: usize = 4096;

/// One way in.
pub struct Target {
    pub name: &'static str,
    /// Inputs that are right.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that are worth writing somewhere.
    pub words: &'static [&'static str],
    /// Reads an input, and says in words what came of it. A panic is a fault.
    pub read: fn(&[u8]) -> String,
}

fn main() -> ExitCode {
    let said = |name: &str| std::env::var(name).ok();
    let seconds = said("BURSAR_FUZZ_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number"));
    let seed = said("BURSAR_SEED").map_or_else(
        || u64::from(std::process::id()) ^ 0x5eed,
        |text| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a seed in hex"),
    );
    if let Some(dir) = said("BURSAR_FUZZ_LEARN") {
        learn(Path::new(&dir));
        return ExitCode::SUCCESS;
    }
    let only = said("BURSAR_FUZZ");
    // What is caught is told below; the usual words for each panic would fill the log.
    std::panic::set_hook(Box::new(|_| {}));
    let tried: Vec<_> = TARGETS
        .iter()
        .filter(|target| only.as_deref().is_none_or(|only| only == target.name))
        .map(|target| std::thread::spawn(move || tried(target, seed, Duration::from_secs(seconds))))
        .collect();
    assert!(!tried.is_empty(), "no such target");
    let fine =
        tried.into_iter().map(|thread| thread.join().unwrap_or(false)).filter(|fine| !fine).count() == 0;
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether nothing was found.
fn tried(target: &'static Target, seed: u64, time: Duration) -> bool {
    let mut corpus = (target.seeds)();
    corpus.extend(kept(target.name));
    let mut dice = Dice::new(seed);
    let mut words = BTreeSet::new();
    let (began, mut inputs, own) = (Instant::now(), 0_u64, corpus.len());
    // First everything that is known, as it is.
    let mut known = corpus.clone().into_iter();
    while let Some(input) =
        known.next().or_else(|| (began.elapsed() < time).then(|| harmed(&corpus, target.words, &mut dice)))
    {
        inputs += 1;
        let one = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&input)));
        let fault = match &read {
            Err(why) => Some(
                why.downcast_ref::<String>()
                    .cloned()
                    .or_else(|| why.downcast_ref::<&str>().map(|&w| w.to_owned()))
                    .unwrap_or_default(),
            ),
            Ok(_) if one.elapsed() > TOO_LONG => Some(format!("it took {:?}", one.elapsed())),
            Ok(_) => None,
        };
        if let Some(why) = fault {
            let place = put_away(target.name, &input);
            println!(
                "{}: input {inputs} of seed {seed:x} is not borne: {why}\n  it is in {}",
                target.name,
                place.display()
            );
            return false;
        }
        if words.insert(shape(&read.unwrap_or_default())) && corpus.len() < own + FOUND_MAX {
            corpus.push(input);
        }
    }
    println!("{}: {inputs} inputs, {} kinds of answers, seed {seed:x}", target.name, words.len());
    true
}

/// An answer without its numbers and names: what is left tells one kind from another.
fn shape(said: &str) -> String {
    let mut shape: String = said.chars().filter(|c| c.is_alphabetic() || " `:[".contains(*c)).collect();
    // What is quoted is the input's own.
    while let Some(from) = shape.find('`')
        && let Some(length) = shape[from + 1..].find('`')
    {
        shape.replace_range(from..=from + 1 + length, "");
    }
    shape.chars().take(300).collect()
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(corpus(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file of the corpus")).collect()
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// One record of each length: those of a length are mostly of a kind.
fn learn(journal: &Path) {
    let contents = read(journal, Limits::default()).expect("a journal that is not in use");
    for record in contents.records.iter().filter(|record| record.payload.len() < 2000) {
        std::fs::write(corpus("record").join(format!("{}-bytes", record.payload.len())), &record.payload)
            .expect("a file");
    }
}

fn put_away(target: &str, input: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join(format!("{target}-{}", blake3::hash(input).to_hex().get(..12).unwrap_or_default()));
    std::fs::write(&path, input).expect("a file");
    path
}
