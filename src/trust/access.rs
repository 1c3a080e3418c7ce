//! The document that says who may do what, and whom it makes of a caller. Nobody is in it: nothing is allowed.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use smol_str::SmolStr;

use super::live::{Content, Live, TrustError};
use super::role::Role;
use super::spiffe::{SpiffeId, SpiffePattern};
use super::token::{Key, Signed, TokenError};
use crate::lease::Accounts;
use crate::types::Timestamp;

/// The version of the document's form.
const VERSION: u32 = 1;

/// Sidecars, operators and keys of one document at most: each call may look through them.
const ENTRIES_MAX: usize = 1000;

/// Who calls, as far as the document knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Sidecar { id: SpiffeId, accounts: Accounts },
    Operator(Operator),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// For logs: a key's name, a certificate's id, a token's subject.
    pub name: SmolStr,
    pub roles: Vec<Role>,
    pub accounts: Accounts,
}

/// Why a caller is nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    #[error(
        "this call shows neither a certificate nor a token: callers of this ledger are named by its access document"
    )]
    Unnamed,
    #[error("`{0}` is not in this ledger's access document")]
    Unknown(SpiffeId),
    #[error("{0}")]
    Token(#[from] TokenError),
}

#[derive(Debug)]
pub struct Access {
    sidecars: Vec<(SpiffePattern, Accounts)>,
    operators: Vec<(SpiffePattern, Vec<Role>, Accounts)>,
    keys: Vec<(Key, Operator)>,
    signed: Option<Signed>,
}

impl Access {
    /// Reads the document, and the keys of tokens' issuer beside it; again whenever they change.
    ///
    /// Errors: what can't be used.
    pub fn open(path: &Path) -> Result<Live<Self>, TrustError> {
        let mut files = vec![path.to_owned()];
        // Which file holds the issuer's keys is known once the document was read.
        let once =
            Live::open("the access document", files.clone(), |contents| written(contents).map(|(w, _)| w))?;
        files.extend(once.now().keys_beside(path));
        Live::open("the access document", files, |contents| {
            let (written, content) = written(contents)?;
            written.checked(content, contents.get(1))
        })
    }

    /// Who shows this certificate and this token. A token, where there is one, is whose it is: one that does not hold is
    /// not made good by a certificate.
    ///
    /// Errors: nobody that the document names.
    pub fn caller(
        &self,
        id: Option<&SpiffeId>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Caller, Stranger> {
        if let Some(token) = token {
            return self.holder(token, now).map(Caller::Operator);
        }
        let id = id.ok_or(Stranger::Unnamed)?;
        let sidecar = self.sidecars.iter().find(|(pattern, _)| pattern.has(id));
        if let Some((_, accounts)) = sidecar {
            return Ok(Caller::Sidecar { id: id.clone(), accounts: accounts.clone() });
        }
        let operator = self.operators.iter().find(|(pattern, ..)| pattern.has(id));
        let (_, roles, accounts) = operator.ok_or_else(|| Stranger::Unknown(id.clone()))?;
        let (name, roles, accounts) = (id.as_str().into(), roles.clone(), accounts.clone());
        Ok(Caller::Operator(Operator { name, roles, accounts }))
    }

    fn holder(&self, token: &str, now: Timestamp) -> Result<Operator, Stranger> {
        if let Some((key, operator)) = self.keys.iter().find(|(key, _)| key.is_of(token)) {
            key.holds(now)?;
            return Ok(operator.clone());
        }
        match &self.signed {
            Some(signed) => Ok(signed.read(token)?),
            None => Err(TokenError::Unknown.into()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    access: u32,
    #[serde(default)]
    sidecars: Vec<WrittenSidecar>,
    #[serde(default)]
    operators: Vec<WrittenOperator>,
    #[serde(default)]
    keys: Vec<WrittenKey>,
    tokens: Option<WrittenTokens>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSidecar {
    id: String,
    accounts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOperator {
    id: String,
    roles: Vec<String>,
    accounts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    name: String,
    sha256: String,
    roles: Vec<String>,
    accounts: Vec<String>,
    until: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTokens {
    issuer: String,
    audience: String,
    keys: PathBuf,
    roles: String,
    accounts: String,
}

fn written(contents: &[Content]) -> Result<(Written, &Content), TrustError> {
    let content = contents.first().ok_or_else(|| TrustError::new(Path::new(""), "was not read"))?;
    let wrong = |what: String| TrustError::new(&content.path, format!("is no access document: {what}"));
    let text = std::str::from_utf8(&content.bytes).map_err(|error| wrong(error.to_string()))?;
    let written: Written = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if written.access != VERSION {
        return Err(wrong(format!("`access: {}`; this build reads `access: {VERSION}`", written.access)));
    }
    if written.sidecars.len() + written.operators.len() + written.keys.len() > ENTRIES_MAX {
        return Err(wrong(format!("it names more than {ENTRIES_MAX} sidecars, operators and keys")));
    }
    Ok((written, content))
}

impl Written {
    /// The file of the issuer's keys; a relative path is seen from the document.
    fn keys_beside(&self, document: &Path) -> Option<PathBuf> {
        let keys = &self.tokens.as_ref()?.keys;
        Some(document.parent().map_or_else(|| keys.clone(), |dir| dir.join(keys)))
    }

    fn checked(self, content: &Content, jwks: Option<&Content>) -> Result<Access, TrustError> {
        let at =
            |place: String| move |what: String| TrustError::new(&content.path, format!("`{place}`: {what}"));
        let mut sidecars = Vec::new();
        for (place, one) in self.sidecars.iter().enumerate() {
            let id = SpiffePattern::parse(&one.id).map_err(at(format!("sidecars[{place}].id")))?;
            let accounts = accounts(&one.accounts).map_err(at(format!("sidecars[{place}].accounts")))?;
            sidecars.push((id, accounts));
        }
        let mut operators = Vec::new();
        for (place, one) in self.operators.iter().enumerate() {
            let id = SpiffePattern::parse(&one.id).map_err(at(format!("operators[{place}].id")))?;
            let roles = roles(&one.roles).map_err(at(format!("operators[{place}].roles")))?;
            let accounts = accounts(&one.accounts).map_err(at(format!("operators[{place}].accounts")))?;
            operators.push((id, roles, accounts));
        }
        let mut keys = Vec::new();
        for (place, one) in self.keys.iter().enumerate() {
            let key = Key::parse(&one.sha256, one.until.as_deref()).map_err(at(format!("keys[{place}]")))?;
            let roles = roles(&one.roles).map_err(at(format!("keys[{place}].roles")))?;
            let accounts = accounts(&one.accounts).map_err(at(format!("keys[{place}].accounts")))?;
            keys.push((key, Operator { name: one.name.as_str().into(), roles, accounts }));
        }
        let signed = match (self.tokens, jwks) {
            (Some(tokens), Some(jwks)) => {
                let WrittenTokens { issuer, audience, roles, accounts, .. } = tokens;
                let signed = Signed::new(&issuer, &audience, roles, accounts, &jwks.bytes);
                Some(signed.map_err(|what| TrustError::new(&jwks.path, what))?)
            }
            (Some(_), None) => {
                return Err(at("tokens.keys".to_owned())(
                    "names another file than when this process started; start it anew".to_owned(),
                ));
            }
            (None, _) => None,
        };
        Ok(Access { sidecars, operators, keys, signed })
    }
}

/// None at all is written as `[]`, all as `["*"]`.
fn accounts(patterns: &[String]) -> Result<Accounts, String> {
    if patterns.is_empty() {
        return Err("names no account; `[\"*\"]` is every account".to_owned());
    }
    Accounts::parse(patterns.iter().map(String::as_str))
}

pub(super) fn roles(words: &[String]) -> Result<Vec<Role>, String> {
    let roles: Vec<Role> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    if roles.is_empty() { Err("names no role".to_owned()) } else { Ok(roles) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"
access: 1
sidecars:
  - {id: spiffe://x/agents/*, accounts: [acme-*]}
operators:
  - {id: spiffe://x/ops, roles: [viewer, operator], accounts: ["*"]}
keys:
  # the token `geheim`
  - name: billing
    sha256: addb0f5e7826c857d7376d1bd9bc33c0c544790a2eac96144a8af22b1298c940
    roles: [buyer]
    accounts: [acme]
    until: 2030-01-01T00:00:00Z
"#;

    fn read(text: &str) -> Result<Access, TrustError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.yaml");
        std::fs::write(&path, text).unwrap();
        let contents = [Content { path, bytes: text.as_bytes().to_vec() }];
        let (written, content) = written(&contents)?;
        written.checked(content, None)
    }

    #[test]
    fn callers_are_whom_the_document_names() {
        let access = read(DOCUMENT).unwrap();
        let (early, late) = (Timestamp::from_micros(0), Timestamp::from_micros(4_102_444_800_000_000));
        let id = |text: &str| SpiffeId::parse(text).unwrap();
        let planner = access.caller(Some(&id("spiffe://x/agents/planner")), None, early).unwrap();
        assert!(matches!(planner, Caller::Sidecar { .. }));
        let ops = access.caller(Some(&id("spiffe://x/ops")), None, early).unwrap();
        let Caller::Operator(ops) = ops else { panic!("{ops:?}") };
        assert_eq!(ops.roles, [Role::Viewer, Role::Operator]);
        let billing = access.caller(None, Some("geheim"), early).unwrap();
        assert!(matches!(billing, Caller::Operator(ref one) if one.name == "billing"), "{billing:?}");

        assert_eq!(access.caller(None, None, early), Err(Stranger::Unnamed));
        let other = id("spiffe://y/agents/planner");
        assert_eq!(access.caller(Some(&other), None, early), Err(Stranger::Unknown(other)));
        // A wrong token is not made good by a certificate.
        let ops = id("spiffe://x/ops");
        assert_eq!(access.caller(Some(&ops), Some("x"), early), Err(TokenError::Unknown.into()));
        assert_eq!(access.caller(None, Some("geheim"), late), Err(TokenError::Over.into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("access: 2", "reads `access: 1`"),
            ("access: 1\nsidecar: []", "sidecar"),
            ("access: 1\nsidecars: [{id: x, accounts: [\"*\"]}]", "sidecars[0].id"),
            ("access: 1\nsidecars: [{id: 'spiffe://x/a', accounts: []}]", "names no account"),
            (
                "access: 1\noperators: [{id: 'spiffe://x/a', roles: [king], accounts: [\"*\"]}]",
                "`king` is no role",
            ),
            ("access: 1\nkeys: [{name: a, sha256: abc, roles: [viewer], accounts: [\"*\"]}]", "keys[0]"),
            ("access: 1\nkeys: [{name: a, sha256: abc, roles: [], accounts: [\"*\"]}]", "keys[0]"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
