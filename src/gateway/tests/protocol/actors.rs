//! Who may do what next. `actors/streams.rs` has what happens to a stream, and
//! `actors/clients.rs` what a client does after a call.

mod clients;
mod streams;

use std::collections::BTreeSet;

use self::streams::Answer;
use super::{
    rules::Rules,
    scenario::{Also, Scenario},
    step::Step,
    world::{Call, Client, Create, Next, Progress, Request, Rpc, Scope, Stream, World},
};

/// Takes a step and the state after it.
pub(super) type Emit<'a> = dyn FnMut(Step, World) + 'a;

/// Everybody who acts in a scenario.
pub(super) struct Actors<'a> {
    scenario: &'a Scenario,
    rules: Rules<'a>,
}

impl<'a> Actors<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        Self { scenario, rules: Rules::new(scenario) }
    }

    /// Returns the origins of the keys that took part.
    pub(super) fn origins(&self) -> BTreeSet<&'static str> {
        self.rules.origins()
    }

    /// Returns the state before anything has happened.
    pub(super) fn first(&self) -> World {
        let own_key =
            |create| self.scenario.own_key.then(|| self.rules.own_key(create, 0));
        World::new(self.scenario.creates, own_key)
    }

    /// Emits every step that is possible.
    pub(super) fn steps(&self, world: &World, emit: &mut Emit<'_>) {
        for (create, client) in (0..).zip(&world.clients) {
            match &client.call {
                Some(call) => self.call(world, create, call, emit),
                None => Self::next_call(world, create, client, emit),
            }
        }
        self.late_requests(world, emit);
        self.polytomic(world, emit);
    }

    fn next_call(world: &World, create: Create, client: &Client, emit: &mut Emit<'_>) {
        let Next::Call(own_key) = client.next else { return };
        let stream = Stream { create, call: client.calls, attempt: 0, sent: 0, own_key };
        let mut next = world.clone();
        let client = &mut next.clients[usize::from(create)];
        client.calls += 1;
        client.next = Next::No;
        client.call = Some(Call {
            own_key,
            tries: 1,
            stopped: false,
            streams: vec![Rpc::new(stream)],
        });
        emit(Step::Calls { create, own_key: own_key.is_some() }, next);
    }

    fn call(&self, world: &World, create: Create, call: &Call, emit: &mut Emit<'_>) {
        let may_hedge = self.scenario.hedges && self.may_try(call);
        if let Some(first) = call.streams.first().filter(|_| may_hedge) {
            let mut next = world.clone();
            next.call(create).start_try(first.stream);
            emit(Step::Hedges(create), next);
        }
        for next in self.ended(world, create, Answer::NONE) {
            emit(Step::Abandons(create), next);
        }
        for at in 0..call.streams.len() {
            self.stream(world, create, at, emit);
        }
    }

    fn may_try(&self, call: &Call) -> bool {
        call.tries < self.scenario.tries && !call.stopped
    }

    /// Emits the arrival of requests for which nobody waits. Where there is a record,
    /// they change nothing.
    fn late_requests(&self, world: &World, emit: &mut Emit<'_>) {
        for request in &world.loose {
            let is_known = world.polytomic.record(request.key).is_some();
            let is_accepted = request.key.newer_credentials
                || !world.polytomic.rotated
                || !self.by_credentials();
            if !is_known && is_accepted {
                let mut next = world.clone();
                next.take(*request);
                emit(Step::ArrivesLate(request.create), next);
            }
        }
    }

    fn polytomic(&self, world: &World, emit: &mut Emit<'_>) {
        for (key, progress) in &world.polytomic.records {
            let mut becomes = |step, made: bool, progress: Option<Progress>, share| {
                let mut next = world.clone();
                next.polytomic.set(*key, progress);
                if made {
                    next.polytomic.shares.push(share);
                    next.polytomic.shares.sort_unstable();
                }
                emit(step, next);
            };
            match *progress {
                Progress::Working { create, call } => {
                    let share = (create, call);
                    let made = Some(Progress::Made { create });
                    let failed = Some(Progress::Failed);
                    becomes(Step::MakesShare(create), true, made, share);
                    becomes(Step::Fails(create, true), true, failed, share);
                    becomes(Step::Fails(create, false), false, failed, share);
                    becomes(Step::Drops(create), false, None, share);
                    let rejected = Some(Progress::Rejected);
                    becomes(Step::RejectsCreate(create), false, rejected, share);
                }
                _ if self.scenario.may(Also::Forgotten) => {
                    becomes(Step::Forgets, false, None, (0, 0));
                }
                _ => {}
            }
        }
        if self.scenario.may(Also::Rotated) && !world.polytomic.rotated {
            let mut next = world.clone();
            next.polytomic.rotated = true;
            emit(Step::Rotates, next);
        }
    }

    fn by_credentials(&self) -> bool {
        self.scenario.may(Also::RecordsByCredentials)
    }

    /// Leaves an RPC to itself: nobody waits for it, but it may still send a request.
    fn orphan(&self, world: &mut World, rpc: &Rpc) {
        if let Some(request) = self.request(rpc) {
            world.let_loose(request);
        }
    }

    /// Returns the request of an attempt, if the RPC has a key.
    fn request(&self, rpc: &Rpc) -> Option<Request> {
        let key = self.rules.key_of_attempt(rpc.stream, &rpc.endings)?;
        let newer_credentials = rpc.renewed && self.by_credentials();
        let key = Scope { key, newer_credentials };
        Some(Request { key, create: rpc.stream.create, call: rpc.stream.call })
    }
}

impl World {
    fn call(&mut self, create: Create) -> &mut Call {
        let call = &mut self.clients[usize::from(create)].call;
        call.as_mut().expect("the step is one of a call")
    }

    /// Lets Polytomic begin to work on a request whose key it does not know.
    fn take(&mut self, request: Request) {
        let Request { key, create, call } = request;
        self.polytomic.set(key, Some(Progress::Working { create, call }));
    }
}

impl Call {
    /// Starts another try of the library.
    fn start_try(&mut self, former: Stream) {
        let stream = Stream { attempt: self.tries, sent: 0, ..former };
        self.tries += 1;
        self.streams.push(Rpc::new(stream));
    }
}
