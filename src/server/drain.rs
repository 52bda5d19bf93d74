//! The word that ends the server, from the one who gives it to every
//! connection.

use tokio::sync::watch;

/// Makes a signal, and what hears it.
pub(super) fn channel() -> (Signal, Watch) {
    let (sender, receiver) = watch::channel(false);
    (Signal(sender), Watch(receiver))
}

/// Gives the word, once.
#[derive(Debug)]
pub(super) struct Signal(watch::Sender<bool>);

impl Signal {
    /// Tells everyone who watches, and who will watch, to drain.
    pub(super) fn drain(&self) {
        self.0.send_replace(true);
    }
}

/// Hears the word.
#[derive(Debug, Clone)]
pub(super) struct Watch(watch::Receiver<bool>);

impl Watch {
    /// Completes when it is time to drain.
    pub(super) async fn signaled(&mut self) {
        // A signal that is gone means the same.
        let _ = self.0.wait_for(|draining| *draining).await;
    }
}
