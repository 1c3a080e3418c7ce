//! The environment's variables, and which of them are not meant for us.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::dev::DevConfig;
use super::fault::{Fault, nearest};
use super::ledger::LedgerConfig;
use super::setting::{Process, Setting};
use super::sidecar::SidecarConfig;
use super::source::{CONFIG_ENV, Given, Origin};

/// Names that belong to the commands and libraries which call a sidecar.
const CALLERS: [&str; 3] = ["BURSAR_ENDPOINT", "BURSAR_SIDECAR", "BURSAR_TOKEN_FILE"];

/// The environment's values by key, and the variables that nobody reads.
///
/// An unknown variable is a fault only where it is a near miss of an option: other programs may use the prefix, and
/// Kubernetes itself sets `BURSAR_SERVICE_HOST` and its like wherever a Service is called `bursar`.
pub(super) fn read<P: Process>(
    env: &BTreeMap<OsString, OsString>,
    faults: &mut Vec<Fault>,
) -> (BTreeMap<&'static str, Given>, Vec<String>) {
    let ours: Vec<String> = P::SETTINGS.iter().map(Setting::env).collect();
    let (mut values, mut unused) = (BTreeMap::new(), Vec::new());
    for (name, value) in env {
        let name = name.to_string_lossy();
        let origin = Origin::Env(name.clone().into_owned());
        let setting = P::SETTINGS.iter().zip(&ours).find(|(_, env)| **env == name);
        match (setting, value.to_str()) {
            (Some((setting, _)), Some(text)) => {
                values.insert(setting.key, Given { text: text.to_owned(), origin });
            }
            (Some((setting, _)), None) => {
                faults.push(Fault::of_key(setting.key, &origin, "is not UTF-8".to_owned()));
            }
            (None, _) if is_known(&name) || is_service_link(&name) => {}
            (None, _) => match nearest(&name, ours.iter().map(String::as_str)) {
                Some(meant) => {
                    let what = format!("is no option of `bursar {}`; the nearest is `{meant}`", P::NAME);
                    faults.push(Fault::of_key(&name, &origin, what));
                }
                None => unused.push(name.into_owned()),
            },
        }
    }
    (values, unused)
}

/// Something of ours reads it, if not this process.
fn is_known(name: &str) -> bool {
    [SidecarConfig::SETTINGS, LedgerConfig::SETTINGS, DevConfig::SETTINGS]
        .into_iter()
        .flatten()
        .any(|setting| setting.env() == name)
        || name == CONFIG_ENV
        || CALLERS.contains(&name)
}

/// Kubernetes sets these for every Service of the namespace.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}
