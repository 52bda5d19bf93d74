//! Visits every state that can be reached, the nearest first.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write,
    rc::Rc,
    thread,
};

use super::{
    actors::Actors,
    scenario::Scenario,
    step::{Step, Then},
    world::{Claim, Ending, World},
};

/// More states than any search needs: one that has more has lost its bounds.
const MOST_STATES: usize = 2_000_000;

/// What a search has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) states: usize,
    /// Steps to the states that are farthest from the first.
    pub(super) depth: usize,
    /// What clients were told.
    pub(super) told: BTreeSet<Claim>,
    /// How attempts and RPCs failed.
    pub(super) endings: BTreeSet<Ending>,
    /// Where the keys came from.
    pub(super) origins: BTreeSet<&'static str>,
    /// The first broken promise, after the fewest steps.
    pub(super) broken: Option<Trace>,
}

/// The shortest way to a broken promise.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) promise: &'static str,
    pub(super) steps: Vec<Step>,
}

struct Visit {
    world: Rc<World>,
    /// From which visit, and by which step.
    from: Option<(usize, Step)>,
    depth: usize,
}

/// Searches until a promise is broken, or all states are known.
pub(super) fn search(scenario: &Scenario) -> Found {
    let actors = Actors::new(scenario);
    let first = Rc::new(actors.first());
    let mut known = HashSet::from([Rc::clone(&first)]);
    let mut visits = vec![Visit { world: first, from: None, depth: 0 }];
    let mut found = Found::default();
    for at in 0.. {
        let Some(Visit { world, depth, .. }) = visits.get(at) else { break };
        let (world, depth) = (Rc::clone(world), *depth);
        found.depth = depth;
        if let Some(promise) = world.broken(scenario.promise) {
            found.broken = Some(Trace { promise, steps: way_to(&visits, at) });
            break;
        }
        actors.steps(&world, &mut |step, next| {
            found.note(step);
            let next = Rc::new(next);
            if known.insert(Rc::clone(&next)) {
                visits.push(Visit {
                    world: next,
                    from: Some((at, step)),
                    depth: depth + 1,
                });
            }
        });
        assert!(visits.len() <= MOST_STATES, "{}: too many states", scenario.name);
    }
    found.states = visits.len();
    found.origins = actors.origins();
    found
}

/// Searches all of them, each on a thread of its own.
pub(super) fn search_all(scenarios: &[Scenario]) -> Vec<Found> {
    thread::scope(|scope| {
        let start = |scenario| scope.spawn(move || search(scenario));
        let searches: Vec<_> = scenarios.iter().map(start).collect();
        searches.into_iter().map(|search| search.join().unwrap()).collect()
    })
}

fn way_to(visits: &[Visit], mut at: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((from, step)) = visits[at].from {
        steps.push(step);
        at = from;
    }
    steps.reverse();
    steps
}

impl Found {
    fn note(&mut self, step: Step) {
        let then = match step {
            Step::Ends(_, ending, then) => {
                self.endings.insert(ending);
                then
            }
            Step::Breaks(_, then) | Step::Succeeds(_, then) => then,
            _ => return,
        };
        if let Then::Told(claim) = then {
            self.told.insert(claim);
        }
    }
}

impl Trace {
    /// Returns the steps as a numbered list of Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(text, "{number}. {step}").unwrap();
        }
        text
    }
}
