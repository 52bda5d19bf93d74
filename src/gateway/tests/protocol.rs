//! The protocol of creates as a model: clients, their libraries, a proxy, gateways and
//! Polytomic, with everything that may happen between them, in every order.
//!
//! Tests of real processes draw some orders at random; this one visits all, within small
//! bounds. The gateway's decisions are those of its own code (`protocol/rules.rs`), so a
//! change of a rule is checked here, too. docs/PROTOCOL.md says what is modelled.

mod actors;
mod replay;
mod rules;
mod scenario;
mod search;
mod step;
mod tables;
mod world;

use std::{collections::BTreeSet, fmt::Write, sync::LazyLock};

use self::{
    scenario::Scenario,
    search::{Found, search_all},
    tables::{FAULTS, LIMITS, PROMISES},
    world::{Claim, Ending},
};

static PROMISED: LazyLock<Vec<Found>> =
    LazyLock::new(|| search_all(&PROMISES.map(|(_, scenario)| scenario)));
static WITH_FAULTS: LazyLock<Vec<Found>> = LazyLock::new(|| search_all(&FAULTS));
static BEYOND_LIMITS: LazyLock<Vec<Found>> = LazyLock::new(|| search_all(&LIMITS));

#[test]
fn every_promise_holds_in_every_state() {
    let told = BTreeSet::from([Claim::Made, Claim::NotMade, Claim::Unknown]);
    for ((origins, scenario), found) in PROMISES.iter().zip(&*PROMISED) {
        let name = scenario.name;
        if let Some(trace) = &found.broken {
            panic!("{name}: {}\n{}", trace.promise, trace.markdown());
        }
        assert_eq!(found.told, told, "{name}");
        assert!(found.origins.iter().eq(*origins), "{name}: {:?}", found.origins);
    }
}

/// A failure that no search has would be one that no promise was checked for.
#[test]
fn every_way_to_fail_takes_part() {
    let endings: BTreeSet<_> =
        PROMISED.iter().flat_map(|found| found.endings.clone()).collect();
    assert!(endings.iter().eq(&Ending::ALL), "{endings:?}");
}

#[test]
fn every_broken_rule_is_found() {
    assert_found(&FAULTS, &WITH_FAULTS);
}

#[test]
fn what_cannot_be_promised_is_found() {
    assert_found(&LIMITS, &BEYOND_LIMITS);
}

fn assert_found(scenarios: &[Scenario], found: &[Found]) {
    for (scenario, found) in scenarios.iter().zip(found) {
        assert!(found.broken.is_some(), "{}: {} states", scenario.name, found.states);
    }
}

#[test]
fn docs_protocol_has_what_the_searches_find() {
    let page = include_str!("../../../docs/PROTOCOL.md");
    let old_rule = WITH_FAULTS[0].broken.as_ref().unwrap();
    let printed = [
        ("promises", promises()),
        ("trace", old_rule.markdown()),
        ("faults", broken(&FAULTS, &WITH_FAULTS)),
        ("limits", broken(&LIMITS, &BEYOND_LIMITS)),
    ];
    let blocks = printed
        .map(|(name, text)| format!("<!-- {name} -->\n\n{text}\n<!-- /{name} -->\n"));
    let is_whole = blocks.iter().all(|block| page.contains(block));
    assert!(is_whole, "docs/PROTOCOL.md should hold:\n{}", blocks.join("\n"));
}

/// Returns the table of the promises.
fn promises() -> String {
    let mut table = "| who takes part | what holds | states | steps |\n".to_owned();
    table.push_str("| --- | --- | --- | --- |\n");
    let scenarios = PROMISES.iter().map(|(_, scenario)| scenario);
    for (scenario, found) in scenarios.zip(&*PROMISED) {
        let Scenario { name, promise, .. } = scenario;
        let Found { states, depth, .. } = found;
        writeln!(table, "| {name} | {} | {states} | {depth} |", promise.as_str())
            .unwrap();
    }
    table
}

/// Returns the table of promises that break.
fn broken(scenarios: &[Scenario], found: &[Found]) -> String {
    let mut table =
        "| what is so | what breaks | steps |\n| --- | --- | --- |\n".to_owned();
    for (Scenario { name, .. }, found) in scenarios.iter().zip(found) {
        let trace = found.broken.as_ref().unwrap();
        let steps = trace.steps.len();
        writeln!(table, "| {name} | {} | {steps} |", trace.promise).unwrap();
    }
    table
}
