use super::*;

#[test]
fn a_password_is_never_shown() {
    for (given, shown) in [
        ("postgres://ann:geheim@db:5432/bursar", "postgres://ann:***@db:5432/bursar"),
        ("postgres://ann:ge@he:im@db/b", "postgres://ann:***@db/b"),
        (
            "postgres://ann@db/b?password=geheim&sslmode=disable",
            "postgres://ann@db/b?password=***&sslmode=disable",
        ),
        ("postgres:///b?host=/run/postgresql", "postgres:///b?host=/run/postgresql"),
        ("http://127.0.0.1:7400", "http://127.0.0.1:7400"),
        ("127.0.0.1:7400", "127.0.0.1:7400"),
    ] {
        assert_eq!(without_password(given), shown);
    }
    let url = database("postgres://ann:geheim@db/b").unwrap().unwrap();
    assert_eq!(format!("{url:?}"), "postgres://ann:***@db/b");
    assert_eq!(url.exposed(), "postgres://ann:geheim@db/b");
    assert_eq!(database("none"), Ok(None));
    assert!(database("mysql://db/b").is_err());
}

fn all<T: fmt::Debug>(parse: impl Fn(&str) -> Result<T, String>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(parse(text).is_ok(), "`{text}` {:?}", parse(text));
    }
    for text in bad {
        let what = parse(text).map_or_else(|what| what, |value| panic!("`{text}` = {value:?}"));
        assert!(!what.is_empty() && what.starts_with(|c: char| c.is_lowercase() || c == '`'), "{what}");
    }
}

#[test]
fn endpoints() {
    all(
        endpoint,
        &[
            "http://127.0.0.1:7400",
            "http://ledger:7400/",
            "http://[::1]:7400",
            "https://ledger.example:7400",
            "unix:///run/bursar/l.sock",
        ],
        &[
            "",
            "ledger:7400",
            "http://ledger",
            "http://:7400",
            "http://ledger:0",
            "http://ledger:70000",
            "http://a@b:1",
            "http://a/b:1",
            "http://::1:7400",
            "http://a b:1",
            "ftp://ledger:1",
            "unix://relative.sock",
            "unix://",
            "unix://none",
        ],
    );
    for text in ["http://ledger:7400", "unix:///run/l.sock"] {
        assert_eq!(endpoint(text).unwrap().to_string(), text);
    }
    all(collector_or_none, &["none", "http://127.0.0.1:4317"], &["", "unix:///run/c.sock", "https://c:4317"]);
}

#[test]
fn addresses_and_paths() {
    all(
        listen,
        &["127.0.0.1:0", "[::1]:7401", "0.0.0.0:80"],
        &["", "7401", ":7401", "localhost:7401", "none"],
    );
    all(listen_or_none, &["none", "127.0.0.1:1"], &["None"]);
    all(path, &["/var/lib", "relative"], &["", "a\0b"]);
    all(socket, &["none", "/run/s.sock"], &["", &"x".repeat(108)]);
    all(path_or_none, &["none", "p.yaml"], &[""]);
}

#[test]
fn modes_are_octal() {
    for (text, mode) in [("0660", 0o660), ("660", 0o660), ("0o600", 0o600), ("0777", 0o777)] {
        assert_eq!(file_mode(text), Ok(mode));
    }
    all(file_mode, &[], &["", "0", "66", "0888", "1777", "432x", "-660", "+660", "rw-rw----"]);
}

#[test]
fn sizes_and_times() {
    let size = |text: &str| bytes(text, 1..=1 << 40);
    for (text, want) in [("1B", 1), ("2KiB", 2048), ("64MiB", 64 << 20), ("1GiB", 1 << 30)] {
        assert_eq!(size(text), Ok(want));
    }
    all(
        size,
        &[],
        &["", "B", "1", "1KB", "1.5MiB", "-1B", "+1B", "0B", "2048GiB", "99999999999999999999GiB"],
    );

    let time = |text: &str| duration(text, Duration::from_millis(1)..=Duration::from_secs(86_400 * 365));
    for (text, millis) in
        [("500ms", 500), ("60s", 60_000), ("10m", 600_000), ("36h", 129_600_000), ("1d", 86_400_000)]
    {
        assert_eq!(time(text), Ok(Duration::from_millis(millis)));
    }
    all(
        time,
        &[],
        &[
            "",
            "s",
            "10",
            "1.5s",
            "-1s",
            "0s",
            "1mo",
            "366d",
            "99999999999999999999s",
            "18446744073709551615d",
        ],
    );
}

#[test]
fn numbers_and_words() {
    all(|text| count(text, 1..=10), &["1", "10"], &["", "0", "11", "-1", "+1", "one"]);
    assert_eq!(threads("auto"), Ok(None));
    assert_eq!(threads("4").unwrap().unwrap().get(), 4);
    all(threads, &[], &["0", "many", ""]);
    all(switch, &["true", "false"], &["", "yes", "1"]);
    all(offline_mode, &["deny"], &["", "basic", "allow", "emergency", "deney"]);
    all(name_or_none, &["none", "host-1"], &[""]);
}

#[test]
fn only_loopback_is_closed_to_others() {
    for (text, open) in [
        ("127.0.0.1:1", false),
        ("127.9.9.9:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("10.0.0.1:1", true),
    ] {
        assert_eq!(open_to_others(text.parse().unwrap(), false).is_some(), open, "{text}");
        assert_eq!(open_to_others(text.parse().unwrap(), true), None);
    }
}
