//! Which pools a run draws on, in order.

use std::borrow::Cow;

use super::pool::PoolId;
use super::reservation::Subject;
use crate::playbook::pooling::{PoolScope, Pooling, Spend};

/// Pools in the order in which they are used up; never empty.
pub type Path = Cow<'static, [PoolId]>;

/// The path of a run that draws on the account's pool alone. The blocks of the overage chain are there, too: they come
/// after the last pool of every path.
pub const ACCOUNT: &[PoolId] = &[PoolId::Account];

/// Each whole pool is used up before the next.
pub fn path(pooling: &Pooling, subject: &Subject) -> Path {
    let team = || subject.team.clone().map(PoolId::Team);
    match pooling.scope {
        PoolScope::Account => Cow::Borrowed(ACCOUNT),
        PoolScope::Team => team().map_or(Cow::Borrowed(ACCOUNT), |team| Cow::Owned(vec![team])),
        PoolScope::Hybrid => {
            let user = subject.user.clone().map(PoolId::User);
            let mut pools: Vec<PoolId> = user.into_iter().chain(team()).chain([PoolId::Account]).collect();
            if pools.len() == 1 {
                return Cow::Borrowed(ACCOUNT);
            }
            if pooling.spend == Spend::PoolFirst {
                pools.reverse();
            }
            Cow::Owned(pools)
        }
    }
}

/// The pool that owes what no block could pay: the last of the path.
pub fn debtor(path: &[PoolId]) -> PoolId {
    path.last().cloned().unwrap_or(PoolId::Account)
}

/// The pool whose credits the overage chain follows: what a top-up buys lands there.
pub fn shared(path: &[PoolId]) -> PoolId {
    if path.contains(&PoolId::Account) { PoolId::Account } else { debtor(path) }
}

/// Whether a plan has such a pool.
pub fn has_pool(pooling: &Pooling, pool: &PoolId) -> bool {
    match (pool, pooling.scope) {
        (PoolId::Account, _) => true,
        (PoolId::Team(_), scope) => scope != PoolScope::Account,
        (PoolId::User(_), scope) => scope == PoolScope::Hybrid,
        (PoolId::Seats, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Name;

    #[test]
    fn each_scope_has_its_path() {
        let subject = |team: bool, user: bool| Subject {
            team: team.then(|| Name::parse("t").unwrap()),
            user: user.then(|| Name::parse("u").unwrap()),
            agent: None,
        };
        for (scope, spend, team, user, want) in [
            (PoolScope::Account, Spend::PersonalFirst, true, true, "account"),
            (PoolScope::Team, Spend::PersonalFirst, true, true, "team:t"),
            (PoolScope::Team, Spend::PersonalFirst, false, true, "account"),
            (PoolScope::Hybrid, Spend::PersonalFirst, false, false, "account"),
            (PoolScope::Hybrid, Spend::PersonalFirst, true, true, "user:u team:t account"),
            (PoolScope::Hybrid, Spend::PoolFirst, true, true, "account team:t user:u"),
            (PoolScope::Hybrid, Spend::PoolFirst, false, true, "account user:u"),
        ] {
            let pooling = Pooling { scope, personal: None, spend };
            let path = path(&pooling, &subject(team, user));
            let words: Vec<String> = path.iter().map(ToString::to_string).collect();
            assert_eq!(words.join(" "), want);
        }
    }
}
