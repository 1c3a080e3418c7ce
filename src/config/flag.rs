//! The flags, for clap: one per option of a process's table, and `--config`.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use super::fault::Faults;
use super::load::{Checked, load};
use super::setting::{Process, Setting};
use super::source::{CONFIG_ENV, Sources};

/// Flattened into a command, it takes every option of the process as a flag.
#[derive(Clone, Debug)]
pub struct ConfigArgs<P> {
    /// The file to read.
    pub file: Option<PathBuf>,
    flags: BTreeMap<&'static str, String>,
    process: PhantomData<P>,
}

impl<P: Process> ConfigArgs<P> {
    /// Reads the process's environment and its file, once. `usual`: the file where none is named.
    ///
    /// Errors: everything that is wrong, in all sources together.
    pub fn load(&self, usual: &Path) -> Result<Checked<P>, Faults> {
        load(&Sources::of_process(self.file.as_deref(), usual, self.flags.clone())?)
    }
}

impl<P: Process> Args for ConfigArgs<P> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("The configuration, a TOML file [env: {CONFIG_ENV}]"))
            .help_heading(HEADING);
        P::SETTINGS.iter().map(arg).fold(command.arg(file), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Process> FromArgMatches for ConfigArgs<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |s: &Setting| matches.get_one::<String>(s.key).map(|value| (s.key, value.clone()));
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags: P::SETTINGS.iter().filter_map(given).collect(),
            process: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = Self::from_arg_matches(matches)?;
        self.file = given.file.or(self.file.take());
        self.flags.extend(given.flags);
        Ok(())
    }
}

const HEADING: &str = "Configuration";

/// Values are read by `load`, with those of the other sources, so that all faults are said at once.
fn arg(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.key)
        .long(setting.flag())
        .value_name("VALUE")
        .action(ArgAction::Set)
        .help(format!("{} [env: {}] [default: {}]", setting.doc, setting.env(), setting.default))
        .help_heading(HEADING);
    if setting.is_switch() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg.allow_hyphen_values(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SidecarConfig;

    #[test]
    fn flags_are_made_from_the_table() {
        let command = ConfigArgs::<SidecarConfig>::augment_args(Command::new("sidecar").no_binary_name(true));
        command.clone().debug_assert();
        let read = |line: &[&str]| {
            let matches = command.clone().try_get_matches_from(line).unwrap();
            ConfigArgs::<SidecarConfig>::from_arg_matches(&matches).unwrap()
        };
        let loaded = |line: &[&str]| {
            load::<SidecarConfig>(&Sources { flags: read(line).flags, ..Sources::default() }).unwrap().config
        };
        let config = loaded(&["--listen", "10.0.0.1:1", "--allow-remote", "--socket-mode=0600"]);
        assert!(config.allow_remote);
        assert_eq!(config.socket_mode, 0o600);
        assert!(!loaded(&["--allow-remote=false"]).allow_remote);
        let missing = Path::new("/does/not/exist.toml");
        let fault = read(&["--config", "/does/not/exist.toml"]).load(missing).unwrap_err();
        assert!(fault.to_string().contains("/does/not/exist.toml: cannot be read"), "{fault}");
        assert!(command.clone().try_get_matches_from(["--listn", "x"]).is_err());
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("[env: BURSAR_DATA_DIR] [default: /var/lib/bursar/sidecar]"), "{help}");
    }
}
