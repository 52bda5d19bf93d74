//! Requests that wait for a connection or a stream, served by turns of their clients.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::super::client::Client;

/// A queue per client. `T` is what a request waits for.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: HashMap<Client, VecDeque<Waiter<T>>>,
    /// The clients with requests that wait. The first has the next turn.
    turns: VecDeque<Client>,
    len: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter<T> {
    id: u64,
    sender: oneshot::Sender<T>,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    client: Client,
    id: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new(), len: 0, next_id: 0 }
    }

    /// Returns how many requests wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many requests of a client wait.
    pub(super) fn len_of(&self, client: Client) -> usize {
        self.waiting.get(&client).map_or(0, VecDeque::len)
    }

    /// Returns how many clients have requests that wait.
    pub(super) fn clients(&self) -> usize {
        self.turns.len()
    }

    /// Returns the client whose turn it is.
    pub(super) fn next(&self) -> Option<Client> {
        self.turns.front().copied()
    }

    /// Adds a request, after those of the same client.
    pub(super) fn push(&mut self, client: Client) -> (Ticket, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        let waiters = self.waiting.entry(client).or_default();
        if waiters.is_empty() {
            self.turns.push_back(client);
        }
        waiters.push_back(Waiter { id, sender });
        self.len += 1;
        (Ticket { client, id }, receiver)
    }

    /// Removes a request, unless it has been served. Reports whether it has not.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(waiters) = self.waiting.get_mut(&ticket.client) else { return false };
        let Some(index) = waiters.iter().position(|waiter| waiter.id == ticket.id) else {
            return false;
        };
        waiters.remove(index);
        self.len -= 1;
        if waiters.is_empty() {
            self.waiting.remove(&ticket.client);
            self.turns.retain(|client| *client != ticket.client);
        }
        true
    }

    /// Gives `what` to the first request of the client whose turn it is, and ends the
    /// turn. Returns it if the request is gone.
    pub(super) fn serve(&mut self, what: T) -> Option<T> {
        let Some(client) = self.turns.pop_front() else { return Some(what) };
        let waiters = self.waiting.get_mut(&client)?;
        let waiter = waiters.pop_front()?;
        self.len -= 1;
        if waiters.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        waiter.sender.send(what).err()
    }

    /// Ends a turn without serving anyone.
    pub(super) fn skip(&mut self) {
        self.turns.rotate_left(1.min(self.turns.len()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{Client::Key, *};

    #[test]
    fn clients_are_served_by_turns() {
        let mut queue = Queue::new();
        let mut receivers: Vec<_> = [1, 1, 1, 2, 3, 2]
            .into_iter()
            .map(|client| (client, queue.push(Key(client)).1))
            .collect();
        let mut order = Vec::new();
        while queue.len() > 0 {
            assert!(queue.serve(()).is_none());
            receivers.retain_mut(|(client, receiver)| {
                let is_served = receiver.try_recv().is_ok();
                if is_served {
                    order.push(*client);
                }
                !is_served
            });
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        assert_eq!((queue.next(), queue.clients()), (None, 0));
    }

    #[test]
    fn removed_request_is_not_served() {
        let mut queue = Queue::new();
        let (first, _receiver) = queue.push(Key(1));
        let (_, mut second) = queue.push(Key(1));
        assert!(queue.remove(first));
        assert!(!queue.remove(first));
        assert!(queue.serve("one").is_none());
        assert_eq!(second.try_recv().unwrap(), "one");
        let (third, _receiver) = queue.push(Key(1));
        assert!(queue.remove(third));
        assert_eq!((queue.next(), queue.len(), queue.len_of(Key(1))), (None, 0, 0));
    }

    #[test]
    fn what_nobody_waits_for_is_returned() {
        let mut queue = Queue::new();
        drop(queue.push(Key(1)));
        assert_eq!(queue.serve("one"), Some("one"));
        assert_eq!(queue.serve("two"), Some("two"));
    }

    #[test]
    fn skipped_client_keeps_its_requests() {
        let mut queue = Queue::<()>::new();
        let _receivers = [queue.push(Key(1)), queue.push(Key(2))];
        queue.skip();
        assert_eq!((queue.next(), queue.len()), (Some(Key(2)), 2));
    }
}
