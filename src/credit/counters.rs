//! The counters of a book: found in one step however many there are, and listed in order, so that nothing depends on how
//! they came about.

use hashbrown::HashMap;

use super::cap::{CapKey, Counter, ScopeKey};
use crate::types::{ById, ReservationId};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// What sidecars share: they hold leased room of it.
    shared: HashMap<CapKey, Counter>,
    /// Budgets of roots without a `run_id`: each lives where its root was authorised, and is forgotten with it.
    roots: ById<Vec<(CapKey, Counter)>>,
}

impl Counters {
    pub fn get(&self, key: &CapKey) -> Option<&Counter> {
        let ScopeKey::Root(root) = key.scope else { return self.shared.get(key) };
        self.roots.get(&root)?.iter().find(|(known, _)| known == key).map(|(_, counter)| counter)
    }

    pub fn get_mut(&mut self, key: &CapKey) -> Option<&mut Counter> {
        let ScopeKey::Root(root) = key.scope else { return self.shared.get_mut(key) };
        self.roots.get_mut(&root)?.iter_mut().find(|(known, _)| known == key).map(|(_, counter)| counter)
    }

    pub fn contains_key(&self, key: &CapKey) -> bool {
        self.get(key).is_some()
    }

    pub fn insert(&mut self, key: CapKey, counter: Counter) {
        let ScopeKey::Root(root) = key.scope else {
            self.shared.insert(key, counter);
            return;
        };
        match (self.get_mut(&key), counter) {
            (Some(known), counter) => *known = counter,
            (None, counter) => match self.roots.get_mut(&root) {
                Some(budgets) => budgets.push((key, counter)),
                None => {
                    self.roots.insert(root, vec![(key, counter)]);
                }
            },
        }
    }

    /// What sidecars share, in order; this sorts.
    pub fn shared(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        sorted(self.shared.iter())
    }

    /// What sidecars share and `wanted` names, in order; this sorts these alone.
    pub fn shared_where(
        &self,
        wanted: impl Fn(&CapKey, &Counter) -> bool,
    ) -> impl Iterator<Item = (&CapKey, &Counter)> {
        sorted(self.shared.iter().filter(move |(key, counter)| wanted(key, counter)))
    }

    /// Budgets of roots, in the order of these.
    pub fn roots(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        self.roots.values().flatten().map(|(key, counter)| (key, counter))
    }

    /// All, in order; this sorts.
    pub fn iter(&self) -> impl Iterator<Item = (&CapKey, &Counter)> {
        let roots = self.roots.values().flatten().map(|(key, counter)| (key, counter));
        sorted(self.shared.iter().chain(roots))
    }

    pub fn remove(&mut self, key: &CapKey) {
        self.shared.remove(key);
    }

    pub fn retain(&mut self, keep: impl Fn(&CapKey, &Counter) -> bool) {
        self.shared.retain(|key, counter| keep(key, counter));
    }

    /// Nobody can count in a root's budget any more.
    pub fn forget_root(&mut self, root: ReservationId) {
        self.roots.remove(&root);
    }
}

fn sorted<'a>(
    counters: impl Iterator<Item = (&'a CapKey, &'a Counter)>,
) -> impl Iterator<Item = (&'a CapKey, &'a Counter)> {
    let mut all: Vec<_> = counters.collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all.into_iter()
}

impl FromIterator<(CapKey, Counter)> for Counters {
    fn from_iter<I: IntoIterator<Item = (CapKey, Counter)>>(counters: I) -> Self {
        let mut all = Self::default();
        counters.into_iter().for_each(|(key, counter)| all.insert(key, counter));
        all
    }
}
