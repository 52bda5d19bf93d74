//! A stream through library, proxy and gateway, and how its failure goes back.

use super::{Actors, Emit};
use crate::gateway::tests::protocol::{
    rules::Told,
    scenario::Also,
    step::{Step, Then},
    world::{Claim, Create, Ending, KeyId, Phase, Progress, Rpc, Stream, World},
};

/// What a stream ends with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The share's create, if it is OK.
    ok: Option<Create>,
    for_create: Create,
    /// The gateway's status, if one arrived.
    pub(super) told: Option<Told>,
    pub(super) key: Option<KeyId>,
}

impl Answer {
    /// No status of a gateway.
    pub(super) const NONE: Self = Self { ok: None, for_create: 0, told: None, key: None };

    pub(super) fn claim(&self) -> Claim {
        match (self.ok, self.told) {
            (Some(create), _) if create == self.for_create => Claim::Made,
            (Some(_), _) => Claim::OfAnother,
            (None, Some(told)) if told.outcome != "UNKNOWN" => Claim::NotMade,
            (None, _) => Claim::Unknown,
        }
    }
}

impl Actors<'_> {
    /// Emits what may happen to one of the streams that a library waits for.
    pub(super) fn stream(
        &self,
        world: &World,
        create: Create,
        at: usize,
        emit: &mut Emit<'_>,
    ) {
        let rpc = &rpcs(world, create)[at];
        self.break_off(world, create, at, emit);
        let Some(request) = self.request(rpc) else {
            self.end(world, create, at, Ending::NoKey, emit);
            return;
        };
        match rpc.phase {
            Phase::Unsent => {
                for ending in [
                    Ending::CircuitOpen,
                    Ending::Refused,
                    Ending::TimeoutUnsent,
                    Ending::DeadlineUnsent,
                ] {
                    self.end(world, create, at, ending, emit);
                }
                if rpc.endings.is_empty() {
                    self.end(world, create, at, Ending::NoCapacity, emit);
                }
                self.send(world, create, at, emit);
            }
            Phase::Sent => {
                self.arrive(world, create, at, emit);
                // The request may still arrive after the attempt has ended.
                let mut lost = world.clone();
                lost.let_loose(request);
                for ending in [Ending::Reset, Ending::Deadline, Ending::ProxyFailed] {
                    self.end(&lost, create, at, ending, emit);
                }
                if self.scenario.may(Also::RejectedEarly) {
                    self.end(world, create, at, Ending::Forbidden, emit);
                    self.end(world, create, at, Ending::RateLimited, emit);
                }
                if self.scenario.may(Also::RejectionsUnrecorded) {
                    self.end(world, create, at, Ending::Rejected, emit);
                }
            }
            Phase::Taken => {
                for ending in [Ending::Reset, Ending::Deadline, Ending::ProxyFailed] {
                    self.end(world, create, at, ending, emit);
                }
                match world.polytomic.record(request.key) {
                    Some(Progress::Working { .. }) => {}
                    Some(Progress::Made { create: made }) => {
                        self.succeed(world, create, at, made, emit);
                        self.end(world, create, at, Ending::Unreadable, emit);
                    }
                    Some(Progress::Rejected) => {
                        self.end(world, create, at, Ending::Rejected, emit);
                    }
                    Some(Progress::Failed) => {
                        self.end(world, create, at, Ending::Failed, emit);
                    }
                    None => self.end(world, create, at, Ending::Unavailable, emit),
                }
            }
        }
    }

    fn send(&self, world: &World, create: Create, at: usize, emit: &mut Emit<'_>) {
        let rpc = &rpcs(world, create)[at];
        let may_be_newer =
            self.scenario.may(Also::RotatedElsewhere) && rpc.endings.is_empty();
        for newer in [false, true] {
            if newer && !may_be_newer {
                continue;
            }
            let mut next = world.clone();
            let rpc = &mut next.call(create).streams[at];
            rpc.phase = Phase::Sent;
            rpc.renewed |= newer;
            let request = self.request(rpc).unwrap();
            if self.scenario.may(Also::Doubled) {
                next.let_loose(request);
            }
            emit(Step::Sends(create), next);
        }
    }

    fn arrive(&self, world: &World, create: Create, at: usize, emit: &mut Emit<'_>) {
        let rpc = &rpcs(world, create)[at];
        let request = self.request(rpc).unwrap();
        if world.polytomic.rotated && !rpc.renewed {
            self.end(world, create, at, Ending::Unauthorized, emit);
            return;
        }
        let record = world.polytomic.record(request.key);
        if let Some(Progress::Working { .. }) = record {
            self.end(world, create, at, Ending::InFlight, emit);
            return;
        }
        let mut next = world.clone();
        if record.is_none() {
            next.take(request);
        }
        next.call(create).streams[at].phase = Phase::Taken;
        emit(Step::Arrives(create), next);
    }

    fn succeed(
        &self,
        world: &World,
        create: Create,
        at: usize,
        made: Create,
        emit: &mut Emit<'_>,
    ) {
        let mut next = world.clone();
        next.call(create).streams.remove(at);
        let answer = Answer { ok: Some(made), for_create: create, ..Answer::NONE };
        for next in self.ended(&next, create, answer) {
            emit(Step::Succeeds(create, Then::Told(answer.claim())), next);
        }
    }

    /// Ends an attempt: the gateway tries again, or its status goes back.
    fn end(
        &self,
        world: &World,
        create: Create,
        at: usize,
        ending: Ending,
        emit: &mut Emit<'_>,
    ) {
        let rpc = &rpcs(world, create)[at];
        let mut endings = rpc.endings.clone();
        if ending != Ending::InFlight || endings.last() != Some(&ending) {
            endings.push(ending);
        }
        let verdict = self.rules.after(rpc.stream, &endings);
        let renews = verdict.may_renew && self.scenario.may(Also::Rotated);
        if verdict.may_retry || renews {
            let mut next = world.clone();
            let rpc = &mut next.call(create).streams[at];
            rpc.endings = endings;
            rpc.phase = Phase::Unsent;
            rpc.renewed |= renews;
            let then = if renews { Then::GatewayRenews } else { Then::GatewayRetries };
            emit(Step::Ends(create, ending, then), next);
        }
        let mut next = world.clone();
        let rpc = next.call(create).streams.remove(at);
        let key = self.rules.known(rpc.stream).key.map(|(key, _)| key);
        let told = Some(verdict.status);
        let answer = Answer { ok: None, for_create: create, told, key };
        let step = |then| Step::Ends(create, ending, then);
        self.fail(&next, rpc.stream, answer, &step, emit);
    }

    /// Breaks a stream off: its gateway is killed, or the way to it fails.
    fn break_off(&self, world: &World, create: Create, at: usize, emit: &mut Emit<'_>) {
        let mut next = world.clone();
        let rpc = next.call(create).streams.remove(at);
        self.orphan(&mut next, &rpc);
        let step = |then| Step::Breaks(create, then);
        self.fail(&next, rpc.stream, Answer::NONE, &step, emit);
    }

    /// Hands a failure to the proxy, which may send the stream again; then to the library,
    /// which may try again; then to the client.
    fn fail(
        &self,
        world: &World,
        stream: Stream,
        answer: Answer,
        step: &dyn Fn(Then) -> Step,
        emit: &mut Emit<'_>,
    ) {
        let create = stream.create;
        if stream.sent + 1 < self.scenario.sends {
            let mut next = world.clone();
            let again = Rpc::new(Stream { sent: stream.sent + 1, ..stream });
            next.call(create).streams.push(again);
            emit(step(Then::ProxyResends), next);
        }
        let mut world = world.clone();
        let call = world.call(create);
        call.stopped |= answer.told.is_some_and(|told| !told.for_policies);
        let waits = !call.streams.is_empty();
        if waits {
            emit(step(Then::LibraryWaits), world.clone());
        } else if self.may_try(call) {
            let mut next = world.clone();
            let call = next.call(create);
            let marked = call.tries;
            call.start_try(stream);
            emit(step(Then::LibraryRetries { marked }), next);
        }
        for next in self.ended(&world, create, answer) {
            emit(step(Then::Told(answer.claim())), next);
        }
    }
}

fn rpcs(world: &World, create: Create) -> &[Rpc] {
    let call = world.clients[usize::from(create)].call.as_ref();
    call.map_or(&[], |call| &call.streams)
}
