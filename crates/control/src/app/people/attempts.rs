//! How often somebody may try: buckets that leak, in a table that is bounded.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::Mutex;

/// How many tries are free, and how soon another one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Tries in a row.
    pub(crate) tries: u32,
    /// After so long one more, in milliseconds.
    pub(crate) each_ms: i64,
    /// Keys that are known at one time; of more the one that owes least is forgotten.
    pub(crate) keys: usize,
}

/// When a key owes nothing any more, Unix milliseconds: each try puts it off.
type FreeAt = i64;

/// Tries by key.
#[derive(Debug)]
pub(crate) struct Attempts<K> {
    allowance: Allowance,
    owing: Mutex<HashMap<K, FreeAt>>,
}

impl<K: Hash + Eq + Clone> Attempts<K> {
    pub(crate) fn new(allowance: Allowance) -> Self {
        Self { allowance, owing: Mutex::default() }
    }

    /// Takes a try of `key`, or says after how many milliseconds there is one.
    pub(crate) fn take(&self, key: &K, now_ms: i64) -> Result<(), i64> {
        let Allowance { tries, each_ms, keys } = self.allowance;
        let most = i64::from(tries) * each_ms;
        let mut owing = self.owing.lock();
        // A clock that was set back must not keep anybody out for longer than the whole allowance.
        let free_at = owing.get(key).map_or(now_ms, |free_at| (*free_at).clamp(now_ms, now_ms + most));
        let after = free_at + each_ms;
        if after > now_ms + most {
            return Err(after - now_ms - most);
        }
        if owing.len() >= keys && !owing.contains_key(key) {
            forget(&mut owing, now_ms);
        }
        owing.insert(key.clone(), after);
        Ok(())
    }

    /// Gives a try back: it was none.
    pub(crate) fn give_back(&self, key: &K) {
        if let Some(free_at) = self.owing.lock().get_mut(key) {
            *free_at -= self.allowance.each_ms;
        }
    }

    /// Forgets what `key` owes.
    pub(crate) fn clear(&self, key: &K) {
        self.owing.lock().remove(key);
    }
}

/// Makes room: those that owe nothing go, or else the one that owes least.
fn forget<K: Hash + Eq + Clone>(owing: &mut HashMap<K, FreeAt>, now_ms: i64) {
    let before = owing.len();
    owing.retain(|_, free_at| *free_at > now_ms);
    if owing.len() == before {
        let least = owing.iter().min_by_key(|(_, free_at)| **free_at).map(|(key, _)| key.clone());
        if let Some(least) = least {
            owing.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Allowance = Allowance { tries: 3, each_ms: 1000, keys: 2 };

    #[test]
    fn three_tries_and_then_one_a_second() {
        let attempts = Attempts::new(THREE);
        assert!((0..3).all(|_| attempts.take(&"a", 0).is_ok()));
        assert_eq!(attempts.take(&"a", 0), Err(1000));
        assert_eq!(attempts.take(&"a", 400), Err(600));
        assert!(attempts.take(&"b", 400).is_ok(), "others are free");
        assert!(attempts.take(&"a", 1000).is_ok());
        assert!(attempts.take(&"a", 1999).is_err());
        attempts.give_back(&"a");
        assert!(attempts.take(&"a", 1999).is_ok());
        attempts.clear(&"a");
        assert!((0..3).all(|_| attempts.take(&"a", 1999).is_ok()));
        assert!((0..3).all(|_| attempts.take(&"a", 100_000).is_ok()));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out_for_long() {
        let attempts = Attempts::new(THREE);
        for _ in 0..3 {
            let _ = attempts.take(&"a", 1_000_000);
        }
        assert_eq!(attempts.take(&"a", 0), Err(1000));
    }

    #[test]
    fn the_table_is_bounded_and_who_owes_most_stays() {
        let attempts = Attempts::new(THREE);
        (0..3).for_each(|_| attempts.take(&0, 0).unwrap());
        for key in 1..1000 {
            attempts.take(&key, 0).unwrap();
        }
        assert_eq!(attempts.owing.lock().len(), 2);
        assert!(attempts.take(&0, 0).is_err());
    }
}
