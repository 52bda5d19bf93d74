//! The memory of a stream, which it holds until its client has read all of it.

use tokio::time::Instant;

use super::ResponseMemory;
use crate::budget::Exhausted;

impl ResponseMemory {
    /// Waits for `bytes` that a stream holds from its beginning. If the shared memory has
    /// fewer for those that wait, it does not wait.
    ///
    /// # Errors
    ///
    /// As [`grow_to`](Self::grow_to).
    pub(in crate::budget) async fn hold_window(
        &self,
        bytes: usize,
        until: Instant,
    ) -> Result<(), Exhausted> {
        self.expect(bytes, until).await?;
        self.grow_stream_to(bytes)
    }

    /// Grows to `bytes` in all for a stream, which does not wait while it holds memory,
    /// and never has the turn.
    ///
    /// # Errors
    ///
    /// If there is no memory now, or can never be as much.
    pub(crate) fn grow_stream_to(&self, bytes: usize) -> Result<(), Exhausted> {
        let largest = self.limits.largest_alone;
        let fits = (bytes <= largest).then_some(bytes);
        self.try_grow_to(fits.ok_or(Exhausted::TooLarge { largest })?)
    }
}
