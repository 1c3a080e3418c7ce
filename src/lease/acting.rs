//! Who a sidecar says that it is, and the accounts that it may act for.

use minicbor::{Decode, Encode};

use crate::types::{AccountId, Name};

/// Patterns of one sidecar at most: more are a list of accounts, which belongs elsewhere.
pub const PATTERNS_MAX: usize = 100;

/// Stands for any end of a name.
const ANY: char = '*';

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Acting {
    /// What it calls itself.
    #[n(0)]
    pub identity: Option<Name>,
    #[n(1)]
    pub accounts: Accounts,
    /// What its certificate names, where the ledger asks for one.
    #[n(2)]
    pub certificate: Option<String>,
}

impl Acting {
    /// Whether this may go on with a journal that another certificate began: only where it acts for all its accounts
    /// anyway.
    pub fn may_follow(&self, before: &Self) -> bool {
        before.certificate.is_none()
            || self.certificate == before.certificate
            || self.accounts.cover(&before.accounts)
    }
}

/// Names of accounts, each whole or ending in `*`; none = every account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Accounts(#[n(0)] Vec<String>);

impl Accounts {
    /// Errors: an empty pattern, a `*` elsewhere than at the end, a name that no account can have, too many.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut accounts = Vec::new();
        for pattern in patterns {
            let name = pattern.strip_suffix(ANY).unwrap_or(pattern);
            let fits = name.is_empty() && pattern.len() == 1 || AccountId::parse(name).is_ok();
            if !fits || name.contains(ANY) {
                return Err(format!(
                    "`{pattern}` is not an account, nor the beginning of one such as `acme-*`"
                ));
            }
            accounts.push(pattern.to_owned());
        }
        if accounts.len() > PATTERNS_MAX {
            return Err(format!("has {} patterns; {PATTERNS_MAX} are the most", accounts.len()));
        }
        // One that takes all is the same as none.
        if accounts.iter().any(|pattern| pattern.len() == 1 && pattern.ends_with(ANY)) {
            accounts.clear();
        }
        Ok(Self(accounts))
    }

    pub fn have(&self, account: &AccountId) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix(ANY) {
            Some(beginning) => account.as_str().starts_with(beginning),
            None => account.as_str() == pattern,
        };
        self.0.is_empty() || self.0.iter().any(matches)
    }

    /// Whether every account of the others is one of these.
    pub fn cover(&self, others: &Self) -> bool {
        let covers = |own: &String, other: &String| match own.strip_suffix(ANY) {
            Some(beginning) => other.strip_suffix(ANY).unwrap_or(other).starts_with(beginning),
            None => own == other,
        };
        let covered = |other: &String| self.0.iter().any(|own| covers(own, other));
        self.0.is_empty() || !others.0.is_empty() && others.0.iter().all(covered)
    }

    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        for (patterns, account, may) in [
            (&[][..], "acme", true),
            (&["*"], "acme", true),
            (&["acme"], "acme", true),
            (&["acme"], "acme-2", false),
            (&["acme-*"], "acme-2", true),
            (&["acme-*", "umbra"], "umbra", true),
            (&["acme-*"], "acme", false),
            (&["x", "*"], "acme", true),
        ] {
            let accounts = Accounts::parse(patterns.iter().copied()).unwrap();
            assert_eq!(accounts.have(&AccountId::parse(account).unwrap()), may, "{patterns:?} {account}");
        }
        for (own, others, cover) in [
            (&["*"][..], &["*"][..], true),
            (&["*"], &["acme"], true),
            (&["acme"], &["*"], false),
            (&["acme-*"], &["acme-1", "acme-x-*"], true),
            (&["acme-*"], &["acme*"], false),
            (&["acme-*"], &["acme-1", "umbra"], false),
            (&["acme"], &["acme"], true),
            (&["acme"], &["acme*"], false),
        ] {
            let read = |patterns: &[&str]| Accounts::parse(patterns.iter().copied()).unwrap();
            assert_eq!(read(own).cover(&read(others)), cover, "{own:?} {others:?}");
        }
        for wrong in ["", "**", "a*b", "a/b", "a*b*"] {
            assert!(Accounts::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
