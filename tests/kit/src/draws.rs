//! Random numbers from a seed.

use std::time::Duration;

/// A sequence of draws (`SplitMix64`).
pub struct Draws(u64);

impl Draws {
    /// Starts the sequence of one actor, independent of all others.
    pub fn new(seed: u64, actor: u64) -> Self {
        let mut draws = Self(seed ^ actor.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(draws.next() ^ actor)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Draws a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Draws true once in `times` draws.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Draws a time up to `longest`.
    pub fn time(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.part())
    }

    /// Draws a time up to `longest`. Short times are likelier, so that some end in
    /// every step of an RPC.
    pub fn short_time(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.part().powi(3))
    }

    fn part(&mut self) -> f64 {
        f64::from((self.next() >> 32) as u32) / f64::from(u32::MAX)
    }
}
