//! The command line against the real processes: `bursar dev` in a directory of its own, and the README's first run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::cli::{Ran, bursar_with, command, write};

/// How often the ledger is asked for what is on its way there; each time takes some milliseconds.
const LOOKS_MAX: usize = 1000;

/// `bursar dev` and what it said.
struct Dev {
    process: Child,
    sidecar: String,
    ledger: String,
}

impl Dev {
    fn start(directory: &Path, further: &[&str]) -> Dev {
        let mut arguments =
            vec!["dev", "--json", "--listen", "127.0.0.1:0", "--ledger-listen", "127.0.0.1:0"];
        let data = directory.join("data").display().to_string();
        arguments.extend(["--data-dir", &data].iter().chain(further));
        let mut process = command(&[], &arguments).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        assert_eq!((&said["ready"], &said["account"]), (&true.into(), &"acme".into()));
        let text = |key: &str| said[key].as_str().expect(key).to_owned();
        Dev { process, sidecar: format!("unix:{}", text("socket")), ledger: text("ledger") }
    }

    #[track_caller]
    fn bursar(&self, arguments: &[&str]) -> Ran {
        bursar_with(&[("BURSAR_SIDECAR", &self.sidecar), ("BURSAR_LEDGER", &self.ledger)], arguments)
    }

    /// The balance at the ledger, once it is as `arrived` says.
    #[track_caller]
    fn balance(&self, arrived: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..LOOKS_MAX {
            let balance =
                self.bursar(&["account", "balance", "acme", "--json"]).ends(0).json()["balance"].clone();
            if arrived(&balance) {
                return balance;
            }
        }
        panic!("it did not arrive in {LOOKS_MAX} looks");
    }

    /// As Ctrl-C does; gives the exit status.
    fn stop(mut self) -> i32 {
        let own = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &own]).status().expect("kill runs").success());
        self.process.wait().expect("it ends").code().expect("it ends by itself")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_first_run_reaches_the_ledger_and_a_refusal_has_its_own_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(directory.path(), &[]);
    let run = dev.bursar(&["authorize", "acme", "ticket.answer", "--quantity", "3", "--handle"]).ends(0);
    let handle = run.stdout.trim_end();
    assert!(!handle.is_empty() && !handle.contains(char::is_whitespace), "`{handle}`");
    let open = dev.bursar(&["reservation", "list", "acme", "--json"]).ends(0).json();
    assert_eq!((&open["runs"][0]["state"], &open["runs"][0]["held"]), (&"STATE_HELD".into(), &"6".into()));
    let done = dev.bursar(&["commit", handle, "--quantity", "2", "--json"]).ends(0).json();
    assert_eq!((&done["state"], &done["charged"]), (&"STATE_SETTLED".into(), &"4".into()));
    let balance = dev.balance(|balance| balance["spent"] == "4");
    assert_eq!(balance["available"], "9996");

    let denied = ["authorize", "acme", "ticket.answer", "--user", "ann", "--quantity", "251"];
    let ran = dev.bursar(&denied).ends(3);
    assert!(ran.stdout.contains("CAP_REACHED") && ran.stdout.contains("daily-user"), "{}", ran.stdout);
    let ran = dev.bursar(&[&denied[..], &["--handle"]].concat()).ends(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", "denied: CAP_REACHED (daily-user)\n"));

    let ran = dev.bursar(&["authorize", "acme", "ticket.answer", "--quantity", "many"]).ends(1);
    assert!(ran.stderr.starts_with("error: INVALID_QUANTITY: "), "{}", ran.stderr);
    let ran = dev.bursar(&["release", handle, "--json"]).ends(1);
    let error: Value = serde_json::from_str(&ran.stderr).expect("an object");
    assert_eq!(error["error"]["reason"], "RESERVATION_SETTLED");
    assert_eq!(dev.stop(), 0);
}

#[test]
fn accounts_and_playbooks_are_administered_and_outlive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(directory.path(), &[]);
    let opened = dev.bursar(&["account", "subscribe", "small", "--plan", "starter", "--json"]).ends(0).json();
    assert_eq!(opened["account"]["plan"], "starter");
    assert!(
        dev.bursar(&["account", "subscribe", "small", "--plan", "starter"]).ends(1).stderr.contains("help: ")
    );
    let given = dev.bursar(&["account", "grant", "small", "5", "--request-id", "g", "--json"]).ends(0).json();
    let again = dev.bursar(&["account", "grant", "small", "5", "--request-id", "g", "--json"]).ends(0).json();
    assert_eq!(given["grant"], again["grant"]);
    let number = given["grant"].to_string();
    let void = dev.bursar(&["account", "void", "small", &number, "--json"]).ends(0).json();
    assert_eq!(void["credits"], "5");
    dev.bursar(&["account", "suspend", "small"]).ends(0);
    let ran = dev.bursar(&["authorize", "small", "ticket.answer"]).ends(3);
    assert!(ran.stdout.contains("ACCOUNT_SUSPENDED"), "{}", ran.stdout);
    dev.bursar(&["account", "resume", "small"]).ends(0);

    let sample = std::fs::read_to_string("examples/support-agent.yaml").expect("the sample");
    let ran = dev.bursar(&["playbook", "publish", "examples/support-agent.yaml"]).ends(1);
    assert!(ran.stderr.contains("VERSION_NOT_HIGHER"), "{}", ran.stderr);
    let next = write(directory.path(), "next.yaml", &sample.replace("\nversion: 1\n", "\nversion: 2\n"));
    dev.bursar(&["playbook", "publish", &next]).ends(0);
    assert_eq!(dev.stop(), 0);

    let dev = Dev::start(directory.path(), &[]);
    let versions = dev.bursar(&["playbook", "list", "--json"]).ends(0).json();
    assert_eq!(
        (&versions["versions"][0]["version"], &versions["versions"][0]["in_force"]),
        (&2.into(), &true.into())
    );
    let accounts = dev.bursar(&["account", "list"]).ends(0).stdout;
    assert!(accounts.contains("acme") && accounts.contains("small"), "{accounts}");
    assert_eq!(dev.stop(), 0);

    let named = ["dev", "--json", "--playbook", "examples/support-agent.yaml", "--listen", "127.0.0.1:0"];
    let data = directory.path().join("data").display().to_string();
    let further = ["--ledger-listen", "127.0.0.1:0", "--data-dir", &data];
    let ran = bursar_with(&[], &[&named[..], &further].concat()).ends(1);
    assert!(ran.stderr.contains("VERSION_NOT_HIGHER"), "an older playbook that was named: {}", ran.stderr);
}

#[test]
fn the_audit_says_which_rule_and_version_moved_which_block() {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(directory.path(), &[]);
    dev.bursar(&["account", "grant", "acme", "5", "--request-id", "bonus"]).ends(0);
    dev.bursar(&["record", "acme", "ticket.answer", "--quantity", "2"]).ends(0);
    dev.balance(|balance| balance["spent"] == "4");
    let looked = |dev: &Dev| {
        let whole = dev.bursar(&["audit", "verify", "acme", "--json"]).ends(0).json();
        assert_eq!(whole["whole"], true);
        let export = dev.bursar(&["audit", "export", "acme"]).ends(0).stdout;
        let entries: Vec<Value> =
            export.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(entries.last().expect("an entry")["link"], whole["link"]);
        assert_eq!(entries.len().to_string(), whole["entries"].as_u64().expect("a number").to_string());
        entries
    };
    let entries = looked(&dev);
    let of = |kind: &str, choice: &str| {
        let found = entries.iter().find(|entry| entry["kind"] == kind && entry["choice"] == choice);
        found.unwrap_or_else(|| panic!("no `{kind}` by {choice}: {entries:#?}"))
    };
    let allowance = of("granted", "C3");
    assert_eq!(
        (&allowance["rule"], &allowance["playbook_version"]),
        (&"the plan's allowance".into(), &1.into())
    );
    assert_eq!(allowance["changes"][0]["granted"], "10000");
    assert_eq!(of("granted", "C8")["request_id"], "bonus");
    let settled = of("settled", "C2");
    assert_eq!((&settled["changes"][0]["spent"], &settled["playbook_version"]), (&"4".into(), &1.into()));

    let page = dev.bursar(&["audit", "list", "acme", "--limit", "1", "--json"]).ends(0).json();
    assert_eq!(page["entries"][0]["kind"], "subscribed");
    let token = page["next_page_token"].as_str().expect("a token");
    let page = dev.bursar(&["audit", "list", "acme", "--limit", "1", "--page-token", token, "--json"]);
    assert_eq!(page.ends(0).json()["entries"][0]["number"], entries[1]["number"]);
    let kinds = dev.bursar(&["audit", "list", "acme", "--kind", "settled", "--json"]).ends(0).json();
    assert_eq!(kinds["entries"].as_array().expect("a list").len(), 1);
    assert!(dev.bursar(&["audit", "verify", "nobody"]).ends(1).stderr.contains("ACCOUNT_UNKNOWN"));
    assert_eq!(dev.stop(), 0);

    let dev = Dev::start(directory.path(), &[]);
    let later = looked(&dev);
    assert_eq!(later[..entries.len()], entries[..], "what an earlier process wrote is read back as it was");
    assert_eq!(dev.stop(), 0);
}

/// A playbook with everything that can be bought, moved and given back.
const SHOP: &str = r#"
bursar: 1
playbook: shop
version: 1
notice: 30d
credit: {unit: output, scale: 2, price: 0.50, currency: EUR}
actions: {draft: {weight: 1}}
plans:
  team:
    allowance: {credits: 100, every: month}
    pooling: {scope: hybrid, personal: 10}
    features: {seats: 4}
    fee: {amount: 30.00, every: month}
    on_demand: {packs: {small: {credits: 100, price: 45.00, lasts: 90d}}, buyers: [admin, {member: {up_to: 150, every: month}}]}
    incentives: {welcome: {credits: 10, lasts: 30d, per_user: 1, per_period: 15}}
    refunds: {charges: {within: 30d, reissue: 30d}, purchases: {within: 14d, rate: 80%, minimum: 10, as: money}}
    transfers: {between: accounts, by: admin, up_to: 50, every: month}
    caps: [{name: runaway, per: run, limit: 500}]
    alerts: [{name: low, balance_below: 10}]
  large:
    allowance: {credits: 900, every: month}
    caps: [{name: runaway, per: run, limit: 500}]
    alerts: [{name: low, balance_below: 10}]
addons: {more: {features: {sso: true}, fee: {amount: 5.00, every: month}}}
"#;

#[test]
fn credits_are_bought_awarded_moved_refunded_and_billed_from_the_command_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let playbook = write(directory.path(), "shop.yaml", SHOP);
    let dev = Dev::start(directory.path(), &["--playbook", &playbook]);
    let json = |arguments: &[&str]| dev.bursar(&[arguments, &["--json"]].concat()).ends(0).json();
    let refused = |arguments: &[&str], reason: &str| {
        let said = dev.bursar(arguments).ends(1).stderr;
        assert!(said.contains(reason), "{said}");
    };
    let lab = json(&["account", "subscribe", "lab", "--plan", "team", "--addon", "more", "--seats", "3"]);
    assert_eq!((&lab["account"]["seats"], &lab["account"]["addons"][0]), (&3.into(), &"more".into()));
    refused(&["account", "subscribe", "x", "--plan", "team", "--addon", "less"], "ADDON_UNKNOWN");
    refused(
        &["account", "subscribe", "x", "--plan", "team", "--overrides", "{prise: 1}"],
        "INVALID_OVERRIDES",
    );

    let buy = ["account", "purchase", "lab", "small", "--member", "ann", "--request-id", "p"];
    let pack = json(&buy);
    assert_eq!((&pack["price"], &pack["currency"]), (&"45".into(), &"EUR".into()));
    assert_eq!(json(&buy)["grant"], pack["grant"], "the same request buys once");
    refused(&["account", "purchase", "lab", "small", "--member", "ann"], "BUYER_NOT_ALLOWED");
    refused(&["account", "purchase", "lab", "big"], "PACK_UNKNOWN");
    assert_eq!(json(&["account", "award", "lab", "ann", "welcome"])["credits"], "10");
    assert_eq!(json(&["account", "award", "lab", "bob", "welcome"])["credits"], "5");
    refused(&["account", "award", "lab", "eve", "welcome"], "INCENTIVE_LIMIT");
    json(&["account", "allocate", "lab", "20", "--into", "team:red"]);
    assert_eq!(json(&["account", "balance", "lab", "--pool", "team:red"])["balance"]["available"], "20");
    refused(&["account", "allocate", "lab", "2000", "--into", "team:red"], "CREDITS_EXHAUSTED");

    json(&["account", "subscribe", "sister", "--plan", "team"]);
    json(&["account", "transfer", "lab/team:red", "sister", "15", "--request-id", "t"]);
    json(&["account", "transfer", "lab/team:red", "sister", "15", "--request-id", "t"]);
    assert_eq!(json(&["account", "balance", "lab", "--pool", "team:red"])["balance"]["available"], "5");
    assert_eq!(json(&["account", "balance", "sister"])["balance"]["available"], "115");
    refused(&["account", "transfer", "lab", "sister", "40"], "TRANSFER_LIMIT");
    refused(&["account", "transfer", "lab", "nobody", "5"], "ACCOUNT_UNKNOWN");
    assert_eq!(json(&["account", "balance", "lab"])["balance"]["available"], "200", "100 + 100 + 15 − 15");

    let run =
        dev.bursar(&["authorize", "lab", "draft", "--quantity", "8", "--user", "ann", "--handle"]).ends(0);
    let handle = run.stdout.trim_end();
    dev.bursar(&["commit", handle, "--quantity", "8"]).ends(0);
    dev.bursar(&["record", "lab", "draft", "--quantity", "3", "--user", "bob"]).ends(0);
    let spent = |wanted: &str| {
        (0..LOOKS_MAX).any(|_| json(&["account", "balance", "lab"])["balance"]["spent"] == wanted)
    };
    assert!(spent("11"));
    assert_eq!(json(&["account", "refund", "lab", handle, "--credits", "2"])["credits"], "2");
    refused(&["account", "refund", "lab", handle, "--credits", "7"], "REFUND_EXCEEDS_CHARGE");
    refused(&["account", "refund", "sister", handle], "INVALID_HANDLE");
    assert!(spent("9"));
    let usage = json(&["account", "usage", "lab", "--by", "user"]);
    assert_eq!(
        (&usage["groups"][0]["name"], &usage["groups"][0]["charged"], &usage["groups"][1]["charged"]),
        (&"ann".into(), &"6".into(), &"3".into())
    );
    assert_eq!((&usage["total"]["runs"], &usage["total"]["charged"]), (&2.into(), &"9".into()));

    let grant = pack["grant"].to_string();
    let back = json(&["account", "refund", "lab", "--purchase", &grant]);
    assert!(back["amount"].as_str().is_some_and(|amount| amount != "0"), "{back}");
    let lines = dev.bursar(&["account", "invoice", "lab", "--format", "jsonl"]).ends(0).stdout;
    let kinds: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["kind"].clone())
        .collect();
    assert_eq!(kinds, ["fee", "fee", "pack", "refund"].map(Value::from));
    let csv = dev.bursar(&["account", "invoice", "lab", "--format", "csv"]).ends(0).stdout;
    assert!(csv.starts_with("account,number,kind,") && csv.contains("lab,3,pack,100,45,EUR,"), "{csv}");

    let capped = json(&["account", "set-cap", "lab", "{name: mine, per: user, limit: 3, every: day}"]);
    assert!(capped["account"]["caps"][0].as_str().is_some_and(|cap| cap.contains("mine")), "{capped}");
    refused(&["account", "set-cap", "lab", "{name: mine, per: seat, limit: 3}"], "INVALID_OVERRIDES");
    let denied =
        dev.bursar(&["authorize", "lab", "draft", "--user", "cat", "--quantity", "4"]).ends(3).stdout;
    assert!(denied.contains("CAP_REACHED") && denied.contains("mine"), "{denied}");
    assert_eq!(json(&["account", "set-seats", "lab", "5"])["account"]["seats"], 5);
    assert_eq!(json(&["account", "change-plan", "lab", "large"])["account"]["next_plan"], "large");
    assert_eq!(json(&["account", "change-plan", "lab", "large", "--now"])["account"]["plan"], "large");
    refused(&["account", "change-plan", "lab", "huge"], "PLAN_UNKNOWN");
    assert!(json(&["account", "cancel", "sister", "--now"])["account"]["ends_at"].is_string());
    let whole = json(&["audit", "verify", "lab"]);
    assert_eq!(whole["whole"], true);
    let export = dev.bursar(&["audit", "export", "lab"]).ends(0).stdout;
    for kind in [
        "purchased",
        "awarded",
        "allocated",
        "transfer_sent",
        "refunded",
        "purchase_refunded",
        "overlaid",
        "plan_moved",
    ] {
        assert!(export.contains(&format!("\"kind\":\"{kind}\"")), "no `{kind}` in {export}");
    }
    assert!(!export.contains("\"kind\":\"other\""), "{export}");

    let dear = write(
        directory.path(),
        "dear.yaml",
        &SHOP.replace("version: 1", "version: 2").replace("weight: 1", "weight: 2"),
    );
    let diff = json(&["playbook", "diff", &dear]);
    assert_eq!(
        (&diff["dearer"], &diff["changes"][0]["path"]),
        (&true.into(), &"actions.draft.weight".into())
    );
    assert!(diff["earliest_effective"].is_string());
    assert_eq!(json(&["playbook", "diff", &playbook, &dear])["changes"], diff["changes"]);
    refused(&["playbook", "publish", &dear], "NOTICE_TOO_SHORT");
    assert_eq!(dev.stop(), 0);

    let dev = Dev::start(directory.path(), &["--playbook", &playbook]);
    let again = dev.bursar(&["audit", "verify", "lab", "--json"]).ends(0).json();
    assert!(again["whole"] == true && again["entries"].as_u64() >= whole["entries"].as_u64());
    assert_eq!(dev.stop(), 0);
}

#[test]
fn a_stopped_journal_is_verified_and_dumped_without_its_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(directory.path(), &[]);
    dev.bursar(&["record", "acme", "ticket.answer"]).ends(0);
    assert_eq!(dev.stop(), 0);
    for (process, word) in [("ledger", "Subscribed"), ("sidecar", "Leased")] {
        let data = directory.path().join("data").join(process).display().to_string();
        let report = bursar_with(&[], &["journal", "verify", &data, "--json"]).ends(0).json();
        assert_eq!((&report["ok"], &report["clean"]), (&true.into(), &true.into()));
        let dump = bursar_with(&[], &["journal", "dump", &data]).ends(0).stdout;
        assert!(dump.contains(word) && dump.contains("HandleKey(1, …)"), "{dump}");
        for line in bursar_with(&[], &["journal", "dump", &data, "--json"]).ends(0).stdout.lines() {
            let record: Value = serde_json::from_str(line).expect("one object per line");
            assert_eq!(record["kind"], process);
        }
    }
}
