//! Where values come from, read raw.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::fault::{Fault, Faults};
use super::setting::ENV_PREFIX;

/// Names the file where no flag does.
pub const CONFIG_ENV: &str = "BURSAR_CONFIG";

/// No configuration is longer.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that may say something, as it was found.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<SourceFile>,
    /// Every variable of the process that begins with `BURSAR_`.
    pub env: BTreeMap<OsString, OsString>,
    /// Key → value.
    pub flags: BTreeMap<&'static str, String>,
}

/// A file's name and text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        name: String,
        line: usize,
    },
    /// The variable's name.
    Env(String),
    /// The flag, without its hyphens.
    Flag(String),
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    pub origin: Origin,
}

impl Sources {
    /// Reads the environment and the file: the one named by flag, else by `BURSAR_CONFIG`, else `usual` where it exists.
    ///
    /// Errors: a file that was named cannot be read, or the usual one exists and cannot be read.
    pub fn of_process(
        named: Option<&Path>,
        usual: &Path,
        flags: BTreeMap<&'static str, String>,
    ) -> Result<Self, Faults> {
        let ours =
            |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(ENV_PREFIX.as_bytes());
        let env: BTreeMap<_, _> = std::env::vars_os().filter(ours).collect();
        let named = match (named, env.get(&OsString::from(CONFIG_ENV))) {
            (Some(path), _) => Some(path.to_owned()),
            (None, Some(path)) => Some(PathBuf::from(path)),
            (None, None) => usual.exists().then(|| usual.to_owned()),
        };
        let file = named.map(|path| read(&path)).transpose()?;
        Ok(Self { file, env, flags })
    }
}

fn read(path: &Path) -> Result<SourceFile, Faults> {
    let name = path.display().to_string();
    let fault = |what: String| Faults::from(Fault::of_file(&name, None, what));
    let length = std::fs::metadata(path).map_err(|cause| fault(format!("cannot be read: {cause}")))?.len();
    if length > FILE_BYTES_MAX {
        return Err(fault(format!("has {length} bytes; a configuration has at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| fault(format!("cannot be read: {cause}")))?;
    Ok(SourceFile { name, text })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}
