use std::collections::BTreeMap;
use std::ffi::OsString;

use super::*;
use crate::config::source::SourceFile;
use crate::config::{DevConfig, Endpoint, LedgerConfig, SidecarConfig};

fn sources(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    Sources {
        file: Some(SourceFile { name: "b.toml".to_owned(), text: file.to_owned() }),
        env: env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    }
}

/// What is wrong with a sidecar's configuration, one line per fault.
fn faults(sources: &Sources) -> Vec<String> {
    match load::<SidecarConfig>(sources) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn check_defaults<P: Process>() {
    let checked = load::<P>(&Sources::default()).unwrap_or_else(|faults| panic!("{}: {faults}", P::NAME));
    assert_eq!(checked.shown.len(), P::SETTINGS.len());
    assert!(checked.shown.iter().all(|s| s.origin == Origin::Default && s.value == s.default));
    for setting in P::SETTINGS {
        assert!(setting.doc.ends_with('.'), "{}", setting.key);
        assert!(!setting.doc.contains("  "), "{}", setting.key);
    }
}

#[test]
fn the_defaults_of_every_process_hold() {
    check_defaults::<SidecarConfig>();
    check_defaults::<LedgerConfig>();
    check_defaults::<DevConfig>();
}

#[test]
fn a_stronger_source_wins_and_every_value_knows_its_origin() {
    let file =
        "# a comment\nledger = 'http://file:1'\ncalls_max = 1_000\nsocket_mode = 0o600\n\nretain = \"2h\"\n";
    let env = [("BURSAR_LEDGER", "http://env:1"), ("BURSAR_CALLS_MAX", "2000")];
    let checked = load::<SidecarConfig>(&sources(file, &env, &[("calls_max", "3000")])).unwrap();
    assert_eq!(checked.config.ledger, Endpoint::Http("env:1".to_owned()));
    assert_eq!(checked.config.calls_max, 3000);
    assert_eq!(checked.config.socket_mode, 0o600);
    assert_eq!(checked.config.retain.as_secs(), 7200);
    let origin =
        |key: &str| checked.shown.iter().find(|s| s.key == key).map(|s| s.origin.to_string()).unwrap();
    for (key, want) in [
        ("ledger", "environment BURSAR_LEDGER"),
        ("calls_max", "flag --calls-max"),
        ("socket_mode", "b.toml:4"),
        ("retain", "b.toml:6"),
        ("log", "default"),
    ] {
        assert_eq!(origin(key), want);
    }
}

#[test]
fn all_faults_are_said_at_once_each_with_its_place() {
    let file = "listn = '127.0.0.1:1'\nretain = 'soon'\nbanana = 1\n[tls]\nkey = 'x'\n";
    let env = [("BURSAR_CALLS_MAX", "0"), ("BURSAR_SOKET", "/s")];
    let mut found = faults(&sources(file, &env, &[("data_dir", "")]));
    found.sort();
    let mut want = [
        "`listn` (b.toml:1): is no option of `bursar sidecar`; the nearest is `listen`",
        "`retain` = `soon` (b.toml:2): is not a length of time such as `500ms`, `60s`, `10m`, `36h` or `14d`",
        "`banana` (b.toml:3): is no option of `bursar sidecar`; `bursar config show sidecar` lists them",
        "`tls` (b.toml:4): is no option of `bursar sidecar`; `bursar config show sidecar` lists them",
        "`calls_max` = `0` (environment BURSAR_CALLS_MAX): is not a whole number between `1` and `1000000`",
        "`BURSAR_SOKET` (environment BURSAR_SOKET): is no option of `bursar sidecar`; the nearest is `BURSAR_SOCKET`",
        "`data_dir` = `` (flag --data-dir): is not a path such as `/var/lib/bursar`",
    ];
    want.sort_unstable();
    assert_eq!(found, want);
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    for (file, place) in [
        ("ledger = \n", "b.toml:1: is not TOML"),
        ("retain = '1h'\nledger\n", "b.toml:2: is not TOML"),
        ("retain = '1h'\nretain = '2h'\n", "b.toml:2: is not TOML"),
    ] {
        let found = faults(&sources(file, &[], &[]));
        assert!(found.iter().any(|f| f.starts_with(place)), "{file:?}: {found:?}");
    }
    for (file, what) in [
        ("listen = ['a']", "`listen` (b.toml:1): is a list; it would be one value"),
        ("listen = {a = 1}", "`listen` (b.toml:1): is a table; it would be one value"),
        ("listen = 2026-01-01", "`listen` (b.toml:1): is a date; it would be one value"),
    ] {
        assert_eq!(faults(&sources(file, &[], &[])), [what]);
    }
}

#[test]
fn what_no_option_alone_can_say() {
    for (file, what) in [
        ("listen = '0.0.0.0:7401'", "lets other machines in"),
        ("listen = 'none'\nsocket = 'none'", "nobody could call this sidecar"),
        ("ledger = 'unix:///run/b.sock'\nsocket = '/run/b.sock'", "this sidecar's own `socket`"),
    ] {
        let found = faults(&sources(file, &[], &[]));
        assert!(found.len() == 1 && found[0].contains(what), "{file}: {found:?}");
    }
    assert_eq!(faults(&sources("listen = '0.0.0.0:7401'\nallow_remote = true", &[], &[])), [""; 0]);
    let dev = load::<DevConfig>(&sources("listen = '127.0.0.1:7400'", &[], &[])).unwrap_err();
    assert!(dev.to_string().contains("choose two ports"), "{dev}");
    let dev = load::<DevConfig>(&sources("ledger_listen = '0.0.0.0:7400'", &[], &[])).unwrap_err();
    assert!(dev.to_string().contains("open to other machines"), "{dev}");
}

#[test]
fn variables_of_others_are_left_alone() {
    let env = [
        ("BURSAR_SERVICE_HOST", "10.0.0.1"),
        ("BURSAR_SERVICE_PORT_GRPC", "7400"),
        ("BURSAR_PORT", "tcp://10.0.0.1:7400"),
        ("BURSAR_PORT_7400_TCP_ADDR", "10.0.0.1"),
        ("BURSAR_LEDGER_SERVICE_HOST", "10.0.0.1"),
        ("BURSAR_CONFIG", "b.toml"),
        ("BURSAR_ENDPOINT", "unix:///run/b.sock"),
        ("BURSAR_LEDGER_LISTEN", "127.0.0.1:1"),
        ("BURSAR_SOMETHING_ELSE", "1"),
    ];
    let checked = load::<SidecarConfig>(&sources("", &env, &[])).unwrap();
    assert_eq!(checked.unused, ["BURSAR_SOMETHING_ELSE"]);
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt;
    let mut bad = sources("", &[], &[]);
    bad.env.insert("BURSAR_LEDGER".into(), OsString::from_vec(vec![0xff, 0xfe]));
    assert_eq!(faults(&bad), ["`ledger` (environment BURSAR_LEDGER): is not UTF-8"]);
}

#[test]
fn keys_make_distinct_variables_and_flags_that_kubernetes_does_not_set() {
    for settings in [SidecarConfig::SETTINGS, LedgerConfig::SETTINGS, DevConfig::SETTINGS] {
        let mut seen = BTreeMap::new();
        for setting in settings {
            assert_eq!(seen.insert(setting.flag(), setting.key), None);
            assert!(!setting.env().ends_with("_PORT") && !setting.env().contains("_PORT_"));
            assert!(setting.key != "config", "`--config` names the file");
        }
    }
}

#[test]
fn dev_hands_its_choices_to_both_processes() {
    let dev = load::<DevConfig>(&sources("data_dir = 'd'\nlog = 'debug'", &[], &[])).unwrap().config;
    let ledger = dev.ledger();
    assert_eq!(ledger.data_dir, std::path::Path::new("d/ledger"));
    let sidecar = dev.sidecar("127.0.0.1:4444".parse().unwrap());
    assert_eq!(sidecar.ledger.to_string(), "http://127.0.0.1:4444");
    assert_eq!(sidecar.data_dir, std::path::Path::new("d/sidecar"));
    assert_eq!(sidecar.log, ledger.log);
}
