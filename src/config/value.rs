//! Parsers. Each says what would be right; the key, the value and where it came from are added by `load`.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::lease::Accounts;
use crate::playbook::offline::OfflineMode;
use crate::trust::SpiffeId;
use crate::types::Name;

/// Turns an option off that can be.
const NONE: &str = "none";

/// The longest path of a Unix socket that Linux takes, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`, without TLS.
    Http(String),
    /// `host:port`, with it.
    Https(String),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A database's address; never shown with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// With the password: for the connection alone.
    pub fn exposed(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

/// What hides a password where its value is shown.
const HIDDEN: &str = "***";

/// A value as it may be shown: a URL's password is hidden, in its place before the host and among its options.
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (place, options) =
        rest.split_once('?').map_or((rest, None), |(place, options)| (place, Some(options)));
    let place = match place.rsplit_once('@') {
        Some((who, host)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => place.to_owned(),
        },
        None => place.to_owned(),
    };
    let shown = |option: &str| match option.split_once('=') {
        Some(("password" | "sslpassword", _)) => format!("password={HIDDEN}"),
        _ => option.to_owned(),
    };
    let options = options.map(|options| options.split('&').map(shown).collect::<Vec<_>>().join("&"));
    options.map_or_else(|| format!("{scheme}://{place}"), |options| format!("{scheme}://{place}?{options}"))
}

/// A PostgreSQL's address, or `none`.
pub fn database(text: &str) -> Result<Option<DatabaseUrl>, String> {
    if text == NONE {
        return Ok(None);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Some(DatabaseUrl(text.to_owned())));
    }
    Err("is not the address of a PostgreSQL such as `postgres://user@host/name`, nor `none`".to_owned())
}

/// `http://host:port`, `https://host:port` or `unix:///path`.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return match socket(path)? {
            Some(path) if path.is_absolute() => Ok(Endpoint::Unix(path)),
            _ => {
                Err("is not the absolute path of a socket, such as `unix:///run/bursar/ledger.sock`"
                    .to_owned())
            }
        };
    }
    let wrong = || {
        "is not an endpoint such as `https://ledger.example:7400`, `http://127.0.0.1:7400` or \
         `unix:///run/bursar/ledger.sock`"
            .to_owned()
    };
    let secure = text.strip_prefix("https://");
    let authority = secure.or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty()
        && !host.contains(['/', '@', '?', '#', '\\'])
        && !host.contains(|c: char| c.is_whitespace() || c.is_control())
        && (bracketed || !host.contains([':', '[', ']']));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if !plain || port == 0 {
        return Err(wrong());
    }
    let kind = if secure.is_some() { Endpoint::Https } else { Endpoint::Http };
    Ok(kind(authority.to_owned()))
}

/// A collector's `http://host:port`, or `none`.
pub fn collector_or_none(text: &str) -> Result<Option<Endpoint>, String> {
    match (text, endpoint(text)) {
        (NONE, _) => Ok(None),
        (_, Ok(Endpoint::Http(authority))) => Ok(Some(Endpoint::Http(authority))),
        (_, Ok(Endpoint::Https(_))) => {
            Err("`https` is not supported for collectors; one beside the process takes `http://host:port`"
                .to_owned())
        }
        _ => Err("is not a collector's address such as `http://127.0.0.1:4317`, nor `none`".to_owned()),
    }
}

/// An address and a port to listen on; port 0 lets the system choose one.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "is not an address and a port such as `127.0.0.1:7401` or `[::1]:7401`".to_owned())
}

/// An address and a port to listen on, or `none`.
pub fn listen_or_none(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == NONE { Ok(None) } else { listen(text).map(Some) }
}

pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a path such as `/var/lib/bursar`".to_owned());
    }
    Ok(PathBuf::from(text))
}

pub fn path_or_none(text: &str) -> Result<Option<PathBuf>, String> {
    if text == NONE { Ok(None) } else { path(text).map(Some) }
}

/// The path of a Unix socket, or `none`.
pub fn socket(text: &str) -> Result<Option<PathBuf>, String> {
    if text == NONE {
        return Ok(None);
    }
    if text.len() > SOCKET_PATH_MAX {
        return Err(format!("has {} bytes; the path of a socket has at most {SOCKET_PATH_MAX}", text.len()));
    }
    path(text).map(Some)
}

/// Permission bits, always octal: `0660`, `660` or `0o660`.
pub fn file_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let plain = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if plain && mode <= 0o777 => Ok(mode),
        _ => Err("is not a set of permission bits in octal, such as `0660`".to_owned()),
    }
}

/// The numbers of users, separated by commas, or `any`.
pub fn users(text: &str) -> Result<Option<Vec<u32>>, String> {
    if text == "any" {
        return Ok(None);
    }
    let users: Option<Vec<u32>> = text.split(',').map(|one| u32::try_from(whole(one.trim())?).ok()).collect();
    users
        .map(Some)
        .ok_or_else(|| "is not `any`, nor numbers of users such as `65532` or `0, 1000`".to_owned())
}

/// A workload's name, or `none`.
pub fn spiffe_or_none(text: &str) -> Result<Option<SpiffeId>, String> {
    if text == NONE { Ok(None) } else { SpiffeId::parse(text).map(Some) }
}

pub fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is not `true` or `false`".to_owned())
}

/// A whole number and a unit: `B`, `KiB`, `MiB` or `GiB`.
pub fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let wrong = || "is not a number of bytes such as `512KiB`, `64MiB` or `1GiB`".to_owned();
    let (digits, each) =
        UNITS.iter().find_map(|(unit, each)| Some((text.strip_suffix(unit)?, *each))).ok_or_else(wrong)?;
    let bytes = whole(digits).and_then(|n| n.checked_mul(each)).ok_or_else(wrong)?;
    if range.contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("is not between `{}B` and `{}B`", range.start(), range.end()))
    }
}

/// A whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
pub fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = || "is not a length of time such as `500ms`, `60s`, `10m`, `36h` or `14d`".to_owned();
    let read = |(unit, each): &(&str, u64)| Some((whole(text.strip_suffix(unit)?)?, *each));
    let (number, each) = UNITS.iter().find_map(read).ok_or_else(wrong)?;
    let time = number.checked_mul(each).map(Duration::from_millis).ok_or_else(wrong)?;
    if range.contains(&time) {
        Ok(time)
    } else {
        Err(format!("is not between `{:?}` and `{:?}`", range.start(), range.end()))
    }
}

pub fn count(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let number = whole(text).and_then(|n| usize::try_from(n).ok());
    number
        .filter(|n| range.contains(n))
        .ok_or_else(|| format!("is not a whole number between `{}` and `{}`", range.start(), range.end()))
}

/// A number of threads, or `auto` for one per core.
pub fn threads(text: &str) -> Result<Option<NonZeroUsize>, String> {
    if text == "auto" {
        return Ok(None);
    }
    match count(text, 1..=1024) {
        Ok(number) => Ok(NonZeroUsize::new(number)),
        Err(_) => Err("is not `auto` or a whole number between `1` and `1024`".to_owned()),
    }
}

pub fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|what| what.to_string())
}

pub fn name_or_none(text: &str) -> Result<Option<Name>, String> {
    if text == NONE { Ok(None) } else { name(text).map(Some) }
}

/// Names of accounts or their beginnings, separated by commas.
pub fn accounts(text: &str) -> Result<Accounts, String> {
    Accounts::parse(text.split(',').map(str::trim)).map_err(|what| format!("is no list of accounts: {what}"))
}

pub fn offline_mode(text: &str) -> Result<OfflineMode, String> {
    match text {
        "deny" => Ok(OfflineMode::Deny),
        "basic" | "emergency" | "allow" => {
            Err("would let runs through that nobody could price or charge: of an account never seen, neither the plan nor \
                 the key of its handles is known here; `deny` is what there is"
                .to_owned())
        }
        _ => Err("is not an offline mode; `deny` is".to_owned()),
    }
}

/// Digits only, no sign.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What to blame on a listener that others could reach; `None` where none can, or where it was said in so many words.
pub(super) fn open_to_others(listen: SocketAddr, allow_remote: bool) -> Option<String> {
    let reachable = !listen.ip().to_canonical().is_loopback();
    (reachable && !allow_remote).then(|| {
        format!(
            "lets other machines in, and calls are neither encrypted nor authenticated; listen on \
             `127.0.0.1:{}`, or set `allow_remote = true` where the network itself keeps others out",
            listen.port()
        )
    })
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
