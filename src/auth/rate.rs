//! A limit on the rate of work: a token bucket.

use tokio::time::Instant;

use super::settings::Rate;

/// Tokens, each for one piece of work. A full bucket is a burst.
#[derive(Debug)]
pub(super) struct TokenBucket {
    rate: Rate,
    tokens: f64,
    counted_at: Instant,
}

impl TokenBucket {
    /// Returns a full bucket.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, tokens: f64::from(rate.burst), counted_at: Instant::now() }
    }

    /// Takes a token. Reports whether there was one.
    pub(super) fn try_take(&mut self) -> bool {
        let now = Instant::now();
        let added =
            (now - self.counted_at).as_secs_f64() * f64::from(self.rate.per_second);
        self.tokens = (self.tokens + added).min(f64::from(self.rate.burst));
        self.counted_at = now;
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const RATE: Rate = Rate { per_second: 20, burst: 50 };

    #[tokio::test(start_paused = true)]
    async fn burst_and_then_the_rate_are_allowed() {
        let mut bucket = TokenBucket::new(RATE);
        let mut take = || (0..1_000).filter(|_| bucket.try_take()).count();
        assert_eq!(take(), 50);
        for _ in 0..10 {
            advance(Duration::from_secs(1)).await;
            assert_eq!(take(), 20);
        }
        advance(Duration::from_millis(50)).await;
        assert_eq!(take(), 1);
        advance(Duration::from_secs(3_600)).await;
        assert_eq!(take(), 50, "unused time is no larger burst");
    }
}
