//! The scenarios of the project, each in a world of processes.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bursar::scenario::file::{self, Scenario};
use bursar::scenario::{Dealing, dealt, play};
use tokio::runtime::Runtime;

use crate::postgresql::{Cluster, Database, session};
use crate::site::Processes;

/// Scenarios at a time: while one waits for the disk, others go on.
const AT_A_TIME: usize = 4;

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

fn scenarios() -> VecDeque<(String, Scenario)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let only = std::env::var("BURSAR_SCENARIO").unwrap_or_default();
    let over = std::env::var("BURSAR_DEALT").ok().map(|over| over.parse().expect("a number of sidecars"));
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let mut found = VecDeque::new();
    for path in paths {
        let source = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let beside = |other: &str| {
            fs::read_to_string(path.with_file_name(other)).map_err(|error| format!("`{other}`: {error}"))
        };
        for scenario in file::read(&source, &beside) {
            let scenario =
                scenario.unwrap_or_else(|wrong| panic!("{name}: line {}: {}", wrong.line, wrong.problem));
            let scenario = match over {
                Some(over) => dealt(scenario, Dealing { over, skip: 0, each_step: true }),
                None => Some(scenario),
            };
            if let Some(scenario) = scenario.filter(|scenario| scenario.name.contains(&only)) {
                found.push_back((name.clone(), scenario));
            }
        }
    }
    found
}

/// Why a scenario is not for processes, if it is not.
fn left_out(scenario: &Scenario) -> Option<&'static str> {
    let loses = |step: &file::Step| {
        let keys = file::map(&step.body).unwrap_or_default();
        step.operation == "crash" && file::get(keys, "unflushed").is_some()
    };
    scenario
        .steps
        .iter()
        .any(loses)
        .then_some("nobody can say what of a process's memory a crash finds on the disk")
}

/// A database that begins as the template is.
async fn like(template: &Database) -> Database {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let cluster = Arc::clone(&template.cluster);
    let (server, of) = template.url.rsplit_once('/').unwrap();
    let name = format!("s{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    session(&cluster.url)
        .await
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {of}"))
        .await
        .unwrap();
    Database { url: format!("{server}/{name}"), cluster }
}

/// Removes it, whoever may be using it.
async fn drop_database(database: &Database) {
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let session = session(&database.cluster.url).await;
    session.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

fn run(runtime: &Runtime, template: &Database, scenario: &Scenario) -> Result<(), String> {
    let database = runtime.block_on(like(template));
    let mut processes = Processes::start(runtime, &database.url, scenario);
    let published = processes.publish(&scenario.playbook).map_err(|error| format!("publish: {error:?}"));
    let played =
        published.and_then(|_| play(scenario, &mut processes).map_err(|failure| failure.to_string()));
    let played = played.map_err(|why| format!("{why}\n{}", processes.logs()));
    drop(processes);
    runtime.block_on(drop_database(&database));
    played
}

#[test]
fn every_scenario_passes_over_processes() {
    let runtime = Runtime::new().unwrap();
    let template = runtime.block_on(Database::migrated(Cluster::shared()));
    let (waiting, done) = (Mutex::new(scenarios()), Mutex::new((0, Vec::new(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((file, scenario)) = { waiting.lock().unwrap().pop_front() } {
                    let outcome = left_out(&scenario).map_or_else(
                        || run(&runtime, &template, &scenario).map(|()| None),
                        |why| Ok(Some(why)),
                    );
                    let (passed, failed, left) = &mut *done.lock().unwrap();
                    match outcome {
                        Ok(None) => *passed += 1,
                        Ok(Some(why)) => left.push(format!("{file}: {}: {why}", scenario.name)),
                        Err(why) => failed.push(format!("{file}: {}: {why}", scenario.name)),
                    }
                }
            });
        }
    });
    let (passed, failed, left) = done.into_inner().unwrap();
    println!("{passed} scenarios passed over processes, {} left out:\n{}", left.len(), left.join("\n"));
    assert!(failed.is_empty(), "{} scenarios failed over processes:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 0, "no scenario was found");
}
