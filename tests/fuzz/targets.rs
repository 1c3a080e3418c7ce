//! The ways in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use bursar::config::source::SourceFile;
use bursar::config::{LedgerConfig, SidecarConfig, Sources, load};
use bursar::engine::account::Entry;
use bursar::engine::handle::Handle;
use bursar::grpc::convert;
use bursar::grpc::proto::{ledger_v1, v1};
use bursar::lease::{Grant, SidecarRecord};
use bursar::ledger::record::LedgerRecord;
use bursar::sidecar::entry;
use bursar::trust::Access;
use prost::Message;

use super::Target;

pub static TARGETS: &[Target] = &[
    Target { name: "playbook", seeds: playbooks, words: PLAYBOOK_WORDS, read: playbook },
    Target { name: "record", seeds: records, words: &[], read: record },
    Target { name: "handle", seeds: handles, words: &["bh1.", "="], read: handle },
    Target {
        name: "request",
        seeds: requests,
        words: &["1e400", "-1", "account", "\u{0}", "0.0000000001"],
        read: request,
    },
    Target { name: "configuration", seeds: configurations, words: CONFIGURATION_WORDS, read: configuration },
];

const PLAYBOOK_WORDS: &[&str] = &[
    "&a",
    "*a",
    "<<: *a",
    "!!binary",
    "---",
    "? ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "1e9999",
    ".inf",
    ".nan",
    "0x7fffffffffffffff",
    "weight",
    "allowance",
    "every: month",
    "rollover",
    "overage",
    "pooling",
    "caps",
    "P1M",
    "99999999999999999999999999",
];

const CONFIGURATION_WORDS: &[&str] = &[
    "= ",
    "'''",
    "[a]",
    "[[a]]",
    "none",
    "0777",
    "99999999GiB",
    "-1s",
    "unix://",
    "https://",
    "[::1]:0",
    "access: 1",
    "sha256",
    "spiffe://",
];

fn files(dir: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<_> =
        std::fs::read_dir(root.join(dir)).unwrap().flatten().map(|file| file.path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    found.sort();
    found.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn playbooks() -> Vec<Vec<u8>> {
    let mut all = files("examples");
    all.push(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/wire/whole.yaml")).unwrap());
    all.push(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/playbook.yaml")).unwrap());
    all
}

fn playbook(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    match bursar::playbook::load(&text) {
        // What is read can be told apart from itself by nothing.
        Ok(playbook) => {
            let same = bursar::playbook::diff::Diff::between(&playbook, &playbook);
            assert!(same.changes.is_empty(), "a playbook differs from itself: {:?}", same.changes);
            "read".to_owned()
        }
        Err(report) => report.findings.iter().map(|finding| finding.problem.clone()).collect(),
    }
}

/// Records of both processes' journals, and what travels between them.
fn record(input: &[u8]) -> String {
    let mut said = match entry::read(input) {
        Ok(found) => format!("{found:?}"),
        Err(why) => why.to_string(),
    };
    said.truncate(said.floor_char_boundary(60));
    said += &again::<SidecarRecord>(input);
    said += &again::<LedgerRecord>(input);
    said += &again::<Vec<Entry>>(input);
    said += &again::<Grant>(input);
    said
}

/// What can be read can be written and read again, as the same.
fn again<T>(input: &[u8]) -> String
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> + PartialEq + std::fmt::Debug,
{
    match minicbor::decode::<T>(input) {
        Ok(read) => {
            let written = minicbor::to_vec(&read).unwrap();
            assert_eq!(minicbor::decode::<T>(&written).unwrap(), read, "it changes when it is written");
            "read".to_owned()
        }
        Err(why) => why.to_string(),
    }
}

fn records() -> Vec<Vec<u8>> {
    let journal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/record");
    assert!(journal.exists(), "the corpus of records is not there");
    // Beside those of the corpus: arrays and maps of each length.
    (0..8_u8)
        .flat_map(|n| [vec![0x80 | n, 0, 0, 0, 0, 0, 0, 0], vec![0xa0 | n, 0, 0, 1, 0, 2, 0], vec![n]])
        .collect()
}

fn handles() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/handle");
    assert!(corpus.exists(), "the corpus of handles is not there");
    vec![b"x".to_vec()]
}

fn handle(input: &[u8]) -> String {
    match Handle::peek(&String::from_utf8_lossy(input)) {
        Ok(_) => "read".to_owned(),
        Err(why) => why.to_string(),
    }
}

fn requests() -> Vec<Vec<u8>> {
    let quantities = BTreeMap::from([("input_tokens".to_owned(), "1200".to_owned())]);
    let authorize = v1::AuthorizeRequest {
        account: "acme".to_owned(),
        action: "draft".to_owned(),
        quantity: Some("1.5".to_owned()),
        request_id: "r1".to_owned(),
        ..v1::AuthorizeRequest::default()
    };
    let several = v1::AuthorizeRequest {
        quantities: quantities.into_iter().collect(),
        quantity: None,
        ..authorize.clone()
    };
    let session = v1::SessionRequest {
        sequence: 1,
        request: Some(v1::session_request::Request::Authorize(authorize.clone())),
        ..v1::SessionRequest::default()
    };
    let batch = v1::BatchAuthorizeRequest { requests: vec![authorize.clone(); 3], all_or_nothing: true };
    let lease =
        ledger_v1::LeaseRequest { account: "acme".to_owned(), ask: vec![0x80].into(), ..Default::default() };
    vec![
        authorize.encode_to_vec(),
        several.encode_to_vec(),
        session.encode_to_vec(),
        batch.encode_to_vec(),
        lease.encode_to_vec(),
    ]
}

/// The bytes as each message in turn, by the reading that its call begins with.
fn request(input: &[u8]) -> String {
    let mut said = String::new();
    macro_rules! read {
        ($($message:ty => $read:expr;)+) => {
            $(
                if let Ok(message) = <$message>::decode(input) {
                    match $read(message) {
                        Ok(_) => said.push_str("read "),
                        Err(convert::Invalid(violations)) => {
                            assert!(!violations.is_empty(), "refused without a reason");
                            said.extend(violations.iter().map(|v| v.reason));
                        }
                    }
                }
            )+
        };
    }
    read! {
        v1::AuthorizeRequest => convert::authorize;
        v1::RecordRequest => convert::record;
        v1::ProgressRequest => convert::progress;
        v1::CommitRequest => convert::commit;
        v1::ReleaseRequest => convert::release;
        v1::GetReservationRequest => convert::lookup;
        v1::ListReservationsRequest => |message| convert::list(&message);
        v1::GetBalanceRequest => |message| convert::balance(&message);
        v1::WatchBalanceRequest => convert::watch_balance;
    }
    said
}

fn configurations() -> Vec<Vec<u8>> {
    let sidecar = "ledger = 'https://ledger:7400'\nledger_ca = '/ca.pem'\nsocket_mode = 0o600\naccounts = 'acme, acme-*'\nretain = '2h'\n";
    let ledger = "listen = '127.0.0.1:7400'\ndatabase = 'postgres://u@h/n'\nthreads = 4\ntrace_ratio = 0.5\n";
    let access = "access: 1\nsidecars: [{id: 'spiffe://x/a/*', accounts: ['acme-*']}]\noperators: [{id: 'spiffe://x/o', roles: [viewer], accounts: ['*']}]\n";
    [sidecar, ledger, access].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A file of options for either process, an environment variable, an access document.
fn configuration(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input).into_owned();
    let env = BTreeMap::from([(OsString::from("BURSAR_ACCOUNTS"), OsString::from(text.replace('\0', "")))]);
    let sources =
        Sources { file: Some(SourceFile { name: "b.toml".to_owned(), text }), env, ..Sources::default() };
    let mut said = match load::<SidecarConfig>(&sources) {
        Ok(_) => "read".to_owned(),
        Err(faults) => faults.to_string(),
    };
    if let Err(faults) = load::<LedgerConfig>(&sources) {
        said += &faults.to_string();
    }
    // A file of this process and target alone.
    let path = std::env::temp_dir().join(format!("bursar-access-{}.yaml", std::process::id()));
    std::fs::write(&path, input).unwrap();
    if let Err(why) = Access::open(&path) {
        said += &why.what;
    }
    drop(std::fs::remove_file(&path));
    said
}
