//! A map by reservation id. Ids are looked up several times in every call and listed seldom: looking up is one step
//! whatever the size, and listing is in the order of the ids, so that nothing depends on how the map came about.

use std::fmt;

use hashbrown::HashTable;

use super::id::ReservationId;

#[derive(Clone)]
pub struct ById<V>(HashTable<(ReservationId, V)>);

/// Ids are hashes or drawn at random already: their two halves, mixed once.
fn hash(id: ReservationId) -> u64 {
    let id = u128::from_be_bytes(id.0);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let halves = (id >> 64) as u64 ^ id as u64;
    // The golden ratio of 64 bits.
    halves.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

impl<V> ById<V> {
    pub fn get(&self, id: &ReservationId) -> Option<&V> {
        self.0.find(hash(*id), |(known, _)| known == id).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, id: &ReservationId) -> Option<&mut V> {
        self.0.find_mut(hash(*id), |(known, _)| known == id).map(|(_, value)| value)
    }

    pub fn contains_key(&self, id: &ReservationId) -> bool {
        self.get(id).is_some()
    }

    /// Answers what stood there before.
    pub fn insert(&mut self, id: ReservationId, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&id) {
            return Some(std::mem::replace(known, value));
        }
        self.0.insert_unique(hash(id), (id, value), |(id, _)| hash(*id));
        None
    }

    pub fn remove(&mut self, id: &ReservationId) -> Option<V> {
        let entry = self.0.find_entry(hash(*id), |(known, _)| known == id).ok()?;
        let ((_, value), _) = entry.remove();
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds for any value: the order does not show.
    pub fn any(&self, mut holds: impl FnMut(&V) -> bool) -> bool {
        self.0.iter().any(|(_, value)| holds(value))
    }

    /// Changes every value, in no order: none may show.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&ReservationId, &mut V)) {
        self.0.iter_mut().for_each(|(id, value)| change(id, value));
    }

    /// In the order of the ids; this sorts.
    pub fn iter(&self) -> impl Iterator<Item = (&ReservationId, &V)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, value)| (id, value)).collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter()
    }

    /// In the order of the ids; this sorts.
    pub fn keys(&self) -> impl Iterator<Item = &ReservationId> {
        self.iter().map(|(id, _)| id)
    }

    /// In the order of their ids; this sorts.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> Default for ById<V> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<V: PartialEq> PartialEq for ById<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.0.iter().all(|(id, value)| other.get(id) == Some(value))
    }
}

impl<V: fmt::Debug> fmt::Debug for ById<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ReservationId {
        ReservationId([n; 16])
    }

    #[test]
    fn it_is_a_map_and_lists_in_order() {
        let mut map = ById::default();
        for n in [9, 3, 200, 1] {
            assert_eq!(map.insert(id(n), n), None);
        }
        assert_eq!(map.insert(id(3), 33), Some(3));
        assert_eq!((map.get(&id(3)), map.get(&id(4)), map.len()), (Some(&33), None, 4));
        if let Some(value) = map.get_mut(&id(9)) {
            *value = 99;
        }
        assert_eq!(map.values().copied().collect::<Vec<_>>(), [1, 33, 99, 200]);
        let mut other = ById::default();
        map.iter().collect::<Vec<_>>().into_iter().rev().for_each(|(id, value)| {
            other.insert(*id, *value);
        });
        assert_eq!(map, other);
        assert_eq!((map.remove(&id(9)), map.remove(&id(9))), (Some(99), None));
        assert_ne!(map, other);
        assert!(!map.contains_key(&id(9)) && map.any(|value| *value == 200) && !map.is_empty());
    }
}
