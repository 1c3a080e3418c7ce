//! The arguments, and which command does them.

use clap::{Parser, Subcommand};

use super::account::AccountCommand;
use super::audit::AuditCommand;
use super::authorize::AuthorizeArgs;
use super::balance::BalanceArgs;
use super::bench::BenchArgs;
use super::commit::CommitArgs;
use super::completions::CompletionsArgs;
use super::config::ConfigCommand;
use super::dev;
use super::doctor::DoctorArgs;
use super::exit::{Exit, STATUSES};
use super::failure::Failure;
use super::features::FeaturesArgs;
use super::journal::JournalCommand;
use super::ledger::LedgerArgs;
use super::playbook::PlaybookCommand;
use super::progress::ProgressArgs;
use super::record::RecordArgs;
use super::release::ReleaseArgs;
use super::reservation::ReservationCommand;
use super::screen::Screen;
use super::sidecar;
use super::simulate::SimulateArgs;
use super::version;
use crate::config::{ConfigArgs, DevConfig, SidecarConfig};

/// May this run proceed, and who pays for it?
#[derive(Debug, Parser)]
#[command(name = "bursar", version, after_help = STATUSES, max_term_width = 110)]
pub struct Cli {
    /// Prints data as JSON, with the protos' field names, and errors as one JSON object on stderr
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs ledger and sidecar in one process, with a sample playbook and account, to try things out
    Dev(ConfigArgs<DevConfig>),
    /// Runs a sidecar, which agent runtimes call
    Sidecar(ConfigArgs<SidecarConfig>),
    /// Runs a ledger, which sidecars, operators and billing systems call
    Ledger(LedgerArgs),

    /// May this run proceed? Prices it, checks plan and caps, reserves the credits
    #[command(after_help = STATUSES)]
    Authorize(AuthorizeArgs),
    /// Reports a long run's totals so far, asks for more
    #[command(after_help = STATUSES)]
    Progress(ProgressArgs),
    /// Reports a run's result and total use, and charges it
    Commit(CommitArgs),
    /// Gives a reservation back unused
    Release(ReleaseArgs),
    /// Charges work that was done without a reservation
    Record(RecordArgs),
    /// Runs as they stand
    #[command(subcommand)]
    Reservation(ReservationCommand),
    /// An account's balance, as the sidecar knows it; with --ledger the true one
    Balance(BalanceArgs),
    /// What an account's plan entitles it to
    Features(FeaturesArgs),

    /// Opens and administers accounts, at the ledger
    #[command(subcommand)]
    Account(AccountCommand),
    /// Checks, tests and publishes playbooks
    #[command(subcommand)]
    Playbook(PlaybookCommand),

    /// Reads and verifies the journals of accounts, at the ledger
    #[command(subcommand)]
    Audit(AuditCommand),

    /// Looks at the journal that a stopped sidecar or ledger left, without changing it
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Looks whether what a process stands on holds: configuration, disk, ledger, clock; says what to do
    #[command(after_help = STATUSES)]
    Doctor(DoctorArgs),
    /// Puts a sidecar under load, in a closed or an open loop, and measures how it answers
    #[command(after_help = STATUSES)]
    Bench(BenchArgs),
    /// Plays simulated worlds of sidecars, a ledger and a bad network; says what goes wrong in them
    #[command(after_help = STATUSES)]
    Simulate(SimulateArgs),
    /// Shows the configuration of a process
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints completions for a shell
    Completions(CompletionsArgs),
    /// Prints the version
    Version,
}

/// The command line could not be read, or asked for help.
#[derive(Debug)]
pub struct Misread(clap::Error);

impl Misread {
    /// Prints the help, or what is wrong.
    pub fn say(&self) -> Exit {
        // Where nobody listens, the exit status still says it.
        let _ = self.0.print();
        if self.0.use_stderr() { Exit::Usage } else { Exit::Success }
    }
}

impl Cli {
    /// Reads the process's arguments.
    pub fn read() -> Result<Self, Misread> {
        Self::try_parse().map_err(Misread)
    }

    pub fn screen(&self) -> Screen {
        Screen { json: self.json }
    }

    /// Does what the arguments say.
    pub fn run(self) -> Result<Exit, Failure> {
        let screen = self.screen();
        match self.command {
            Command::Dev(args) => dev::run(&args, screen),
            Command::Sidecar(args) => sidecar::run(&args, screen),
            Command::Ledger(args) => args.run(screen),
            Command::Authorize(args) => wait(args.run(screen)),
            Command::Progress(args) => wait(args.run(screen)),
            Command::Commit(args) => wait(args.run(screen)),
            Command::Release(args) => wait(args.run(screen)),
            Command::Record(args) => wait(args.run(screen)),
            Command::Reservation(command) => wait(command.run(screen)),
            Command::Balance(args) => wait(args.run(screen)),
            Command::Features(args) => wait(args.run(screen)),
            Command::Account(command) => wait(command.run(screen)),
            Command::Playbook(command) => command.run(screen),
            Command::Audit(command) => wait(command.run(screen)),
            Command::Journal(command) => command.run(screen),
            Command::Doctor(args) => wait(args.run(screen)),
            Command::Bench(args) => wait(args.run(screen)),
            Command::Simulate(args) => args.run(screen),
            Command::Config(command) => command.run(screen),
            Command::Completions(args) => args.run(screen),
            Command::Version => version::run(screen),
        }
    }
}

/// Waits for a command that makes calls.
pub fn wait(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_readme_can_be_read() {
        for line in [
            "bursar dev --json --data-dir d --socket s --listen 127.0.0.1:0",
            "bursar sidecar --ledger http://127.0.0.1:7400 --json",
            "bursar --json ledger --data-dir d",
            "bursar ledger --database postgres://u@h/d --database-sessions 8",
            "bursar ledger migrate --database postgres://u@h/d",
            "bursar authorize acme draft --quantity 3 --user ann --team t --dimension model=large --run-id r",
            "bursar authorize acme llm --quantities input=1,output=2.5 --ttl 15m --validate-only --explain",
            "bursar authorize acme draft --handle --sidecar unix:a.sock",
            "bursar commit h --result partial --completion 0.5 --quantity 2 --verified --request-id x",
            "bursar progress h --quantity 1 --ahead 2 --ttl 10m",
            "bursar release h",
            "bursar record acme draft --result failed",
            "bursar reservation get h",
            "bursar reservation get --account acme --request-id x",
            "bursar reservation list acme",
            "bursar balance acme --pool team:t",
            "bursar balance acme --ledger",
            "bursar balance acme --ledger http://127.0.0.1:1",
            "bursar features acme",
            "bursar account subscribe acme --plan team --time-zone Europe/Berlin",
            "bursar account set-overage-limit acme 0",
            "bursar account set-overage-limit acme --plans-own",
            "bursar account grant acme 50 --lasts 30d --priority -1",
            "bursar account void acme 7",
            "bursar account invoice acme --from 2026-01-01T00:00:00Z",
            "bursar account invoice acme --format jsonl",
            "bursar account invoice acme --format csv --to 2026-01-01T00:00:00Z",
            "bursar account alerts acme --watch",
            "bursar account purchase acme small --member ann",
            "bursar account award acme ann first_run",
            "bursar account allocate acme 50 --into team:red",
            "bursar account transfer acme/team:red other 20 --member",
            "bursar account refund acme h --credits 3",
            "bursar account refund acme --purchase 7",
            "bursar account change-plan acme large --now",
            "bursar account set-seats acme 12",
            "bursar account cancel acme",
            "bursar account set-cap acme {name:c,per:run,limit:5}",
            "bursar account usage acme --by user --from 2026-01-01T00:00:00Z",
            "bursar account usage acme --by-dimension model",
            "bursar playbook diff a.yaml b.yaml",
            "bursar playbook diff a.yaml",
            "bursar audit list acme --kind settled --from 2026-01-01T00:00:00Z --limit 3",
            "bursar audit export acme",
            "bursar audit verify acme --ledger http://127.0.0.1:1",
            "bursar playbook schema",
            "bursar playbook reference",
            "bursar playbook check a.yaml b.yaml",
            "bursar playbook test tests --json",
            "bursar playbook publish a.yaml --ledger http://127.0.0.1:1",
            "bursar playbook get 3",
            "bursar journal verify d",
            "bursar journal dump d",
            "bursar bench acme draft",
            "bursar bench acme draft --rate 500 --duration 30s --warmup 0s --connections 8 --plot p.svg --json",
            "bursar bench load draft --accounts 100 --calls authorize --in-flight 64 --user ann --quantity 2 --ttl 5s",
            "bursar simulate --seed 7 --steps 500 --worlds 3",
            "bursar config show",
            "bursar config show sidecar --data-dir d",
            "bursar completions bash",
            "bursar version",
        ] {
            if let Err(error) = read(line) {
                panic!("`{line}`: {error}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for line in [
            "bursar",
            "bursar no-such-command",
            "bursar authorize acme",
            "bursar authorize acme a --quantity 1 --quantities b=1",
            "bursar authorize acme a --dimension model",
            "bursar authorize acme a --sidecar 127.0.0.1:7401",
            "bursar authorize acme a --ttl soon",
            "bursar commit h --result won",
            "bursar reservation get",
            "bursar reservation get h --request-id x --account acme",
            "bursar reservation list",
            "bursar account set-overage-limit acme",
            "bursar account set-overage-limit acme 3 --plans-own",
            "bursar account subscribe acme",
            "bursar account refund acme",
            "bursar account refund acme h --purchase 7",
            "bursar account allocate acme 50",
            "bursar playbook check",
            "bursar bench acme",
            "bursar bench acme draft --rate 0",
            "bursar bench acme draft --rate 1000001",
            "bursar bench acme draft --in-flight 0",
            "bursar bench acme draft --in-flight 65537",
            "bursar bench acme draft --connections 257",
            "bursar bench acme draft --duration 25h",
            "bursar bench acme draft --duration 99ms",
            "bursar bench acme draft --accounts 0",
            "bursar bench acme draft --calls commit",
        ] {
            assert!(read(line).is_err_and(|error| error.exit_code() == 2), "`{line}`");
        }
    }
}
