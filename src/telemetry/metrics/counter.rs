//! What only grows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Samples;

/// A counter. To add to it is one atomic operation that orders nothing else.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A counter for each value of a label, each present from the start.
#[derive(Debug)]
pub struct Counters(Box<[(&'static str, Counter)]>);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// Adds a number.
    pub fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// Makes counters for these values.
    pub fn new(values: impl IntoIterator<Item = &'static str>) -> Self {
        Self(values.into_iter().map(|value| (value, Counter::default())).collect())
    }

    /// Adds one for a value, which must be among those that were named. For what is rare:
    /// it looks the value up.
    pub fn add(&self, value: &str) {
        let counter = self.0.iter().find(|(of, _)| *of == value);
        debug_assert!(counter.is_some(), "{value} is not declared");
        if let Some((_, counter)) = counter {
            counter.add();
        }
    }

    /// Writes a sample for each value of the family's one label.
    pub fn write(&self, samples: &mut Samples<'_>) {
        for (value, counter) in &self.0 {
            samples.count(&[value], counter.get());
        }
    }
}
