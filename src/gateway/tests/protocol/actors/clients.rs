//! What a client makes of the end of a call.

use super::{Actors, streams::Answer};
use crate::gateway::tests::protocol::{
    rules::Told,
    scenario::Habit,
    world::{Call, Claim, Create, Next, World},
};

impl Actors<'_> {
    /// Returns the states after a call has ended with an answer: one for each way in
    /// which the client may go on.
    pub(super) fn ended(
        &self,
        world: &World,
        create: Create,
        answer: Answer,
    ) -> Vec<World> {
        let mut ended = world.clone();
        let client = &mut ended.clients[usize::from(create)];
        let call = client.call.take().unwrap();
        client.told.push(answer.claim());
        let is_last = client.calls == self.scenario.calls;
        for rpc in &call.streams {
            self.orphan(&mut ended, rpc);
        }
        if is_last {
            return vec![ended];
        }
        let go_on = |next| {
            let mut world = ended.clone();
            world.clients[usize::from(create)].next = next;
            world
        };
        self.plans(&ended, create, &call, answer).into_iter().map(go_on).collect()
    }

    /// Returns what docs/RETRIES.md lets a client do next, but for its [`Habit`].
    fn plans(
        &self,
        world: &World,
        create: Create,
        call: &Call,
        answer: Answer,
    ) -> Vec<Next> {
        let client = &world.clients[usize::from(create)];
        let habit = self.scenario.habit;
        let again = Next::Call(call.own_key);
        let anew = Next::Call(Some(self.rules.own_key(create, client.calls)));
        match answer.claim() {
            Claim::Made | Claim::OfAnother => vec![Next::No],
            Claim::NotMade => {
                let was_in_doubt = client.told.contains(&Claim::Unknown);
                if was_in_doubt && habit != Habit::TrustsLastOutcome {
                    return vec![again];
                }
                vec![again, anew]
            }
            Claim::Unknown => {
                let is_told = |advice: fn(Told) -> bool| answer.told.is_some_and(advice);
                if habit == Habit::ListsOnly || is_told(|told| told.wants_new_key) {
                    let mut shares = world.polytomic.shares.iter();
                    let is_listed = shares.any(|share| share.0 == create);
                    return vec![if is_listed { Next::No } else { anew }];
                }
                let may_repeat = call.own_key.is_some()
                    || habit == Habit::AlwaysRepeats
                    || is_told(|told| told.retryable);
                if may_repeat {
                    return vec![again];
                }
                vec![answer.key.map_or(Next::No, |key| Next::Call(Some(key)))]
            }
        }
    }
}
