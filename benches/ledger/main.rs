//! Charges per second of a ledger on PostgreSQL, beside `pgbench` doing the smallest equivalent transaction.
//!
//!     cargo bench --bench ledger
//!
//! One PostgreSQL with `fsync` on, in a directory of its own. First `pgbench` (one conditional UPDATE, one INSERT, one
//! COMMIT), then `bursar ledger`, to which sidecars report runs that they have settled; a run counts once the ledger has said
//! that it is durable. Both on one hot account, then on 1,000.

mod cluster;
mod load;

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use cluster::Cluster;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_bursar");

/// How long `pgbench` runs, in seconds, and with how many clients.
const SECONDS: &str = "5";
const CLIENTS: &str = "16";

/// A case: accounts, what the ledger must reach as a multiple of `pgbench`, charges in all.
const CASES: [(usize, f64, usize); 2] = [(1, 20.0, 200_000), (1000, 4.0, 200_000)];

/// A ledger process that ends with this value.
struct Ledger {
    process: Child,
    url: String,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    println!("| accounts | pgbench, transactions/s | ledger, charges/s | ratio | wanted |");
    println!("|---:|---:|---:|---:|---:|");
    let mut short = Vec::new();
    for (accounts, wanted, charges) in CASES {
        let cluster = Cluster::start()?;
        let beside = cluster.pgbench(accounts)?;
        let ledger = cluster.ledger()?;
        let reached = runtime.block_on(load::charges_per_second(&ledger.url, accounts, charges))?;
        let ratio = reached / beside;
        println!("| {accounts} | {beside:.0} | {reached:.0} | {ratio:.1} | {wanted} |");
        if ratio < wanted {
            short.push(accounts);
        }
    }
    ensure!(short.is_empty(), "too slow on {short:?} accounts");
    Ok(())
}

impl Cluster {
    fn pgbench(&self, accounts: usize) -> Result<f64> {
        let tables = format!(
            "CREATE TABLE balance (account int PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
             CREATE TABLE charge (account int NOT NULL, number bigserial, amount bigint NOT NULL, PRIMARY KEY (account, number));
             INSERT INTO balance SELECT i, 1000000000 FROM generate_series(1, {accounts}) AS i;"
        );
        self.client("psql", &["--quiet", "--set", "ON_ERROR_STOP=1", "--command", &tables])?;
        let transaction = format!(
            "\\set account random(1, {accounts})\nBEGIN;\n\
             UPDATE balance SET available = available - 1 WHERE account = :account AND available >= 1;\n\
             INSERT INTO charge (account, amount) VALUES (:account, 1);\nCOMMIT;\n"
        );
        let file = std::env::temp_dir().join(format!("bursar-pgbench-{}.sql", std::process::id()));
        std::fs::write(&file, transaction)?;
        let name = file.display().to_string();
        let arguments = [
            "--no-vacuum",
            "--client",
            CLIENTS,
            "--jobs",
            "2",
            "--time",
            SECONDS,
            "--protocol",
            "prepared",
            "--file",
            &name,
        ];
        let said = self.client("pgbench", &arguments);
        std::fs::remove_file(&file)?;
        let said = said?;
        let line =
            said.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench said no tps")?;
        Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
    }

    /// One of PostgreSQL's own programs, on this database.
    fn client(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|dir| dir.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(program))).collect())
            .unwrap_or_default();
        versions.retain(|path: &std::path::PathBuf| path.exists());
        versions.sort();
        let program = versions.pop().unwrap_or_else(|| program.into());
        let done = Command::new(program).args(arguments).arg(&self.url).stderr(Stdio::inherit()).output()?;
        ensure!(done.status.success(), "{arguments:?}");
        Ok(String::from_utf8(done.stdout)?)
    }

    fn ledger(&self) -> Result<Ledger> {
        let migrated = Command::new(BINARY).args(["ledger", "migrate", "--database", &self.url]).output()?;
        ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let mut process = Command::new(BINARY)
            .args(["ledger", "--json", "--listen", "127.0.0.1:0", "--log", "warn", "--database", &self.url])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let said = process.stdout.take().context("no output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the ledger is not ready")?;
        let address = ready.get("address").and_then(Value::as_str).context("no address")?;
        let url = format!("http://{address}");
        Ok(Ledger { process, url })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _best_effort = self.process.kill();
        let _reaped = self.process.wait();
    }
}
