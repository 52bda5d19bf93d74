//! The page for people: everything at a glance, without a script.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use super::{
    Sources,
    html::{Escaped, Section},
    readiness, sections, words,
};
use crate::{net::Phase, telemetry::timestamp};

/// Returns the page, with links to others: their paths and what they have.
pub(super) fn page(
    sources: &Sources,
    uptime: Duration,
    others: impl Iterator<Item = (&'static str, &'static str)>,
) -> String {
    let sections = sections(sources);
    let phase = sources.lifecycle.phase();
    let (state, class) = match phase {
        Phase::Serving => ("serving", "good"),
        Phase::LameDuck => ("lame duck", "waiting"),
        Phase::Draining => ("draining", "waiting"),
    };
    let readiness = readiness::check(sources);
    let (ready, ready_class) = match &readiness {
        Ok(()) => ("yes".to_owned(), "good"),
        Err(reason) => (format!("no: {reason}"), "waiting"),
    };
    let mut page = format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>polytomic-gateway: {state}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n\
         </head>\n\
         <body>\n\
         <header>\n\
         <h1>polytomic-gateway</h1>\n\
         <dl>\n"
    );
    for (name, value, class) in [
        ("State", state, class),
        ("Ready for RPCs", &ready, ready_class),
        ("Version", env!("CARGO_PKG_VERSION"), ""),
        ("Up for", &words::length(uptime), ""),
        ("Now", &timestamp(SystemTime::now()), ""),
    ] {
        let value = Escaped(value);
        let _ = writeln!(
            page,
            "<div><dt>{name}</dt><dd class=\"{class}\">{value}</dd></div>"
        );
    }
    page.push_str("</dl>\n<nav aria-label=\"On this page\"><ul>\n");
    for Section { id, title, .. } in &sections {
        let _ = writeln!(page, "<li><a href=\"#{id}\">{title}</a></li>");
    }
    page.push_str("<li><a href=\"/\">Reload</a></li>\n</ul></nav>\n</header>\n<main>\n");
    for section in &sections {
        let _ = write!(page, "{section}");
    }
    page.push_str("</main>\n<footer><nav aria-label=\"Other pages\"><ul>\n");
    for (path, about) in others {
        let about = Escaped(about);
        let _ = writeln!(page, "<li><a href=\"{path}\">{path}</a> {about}</li>");
    }
    page.push_str("</ul></nav></footer>\n</body>\n</html>\n");
    page
}

/// Returns what a person looks for first, first.
fn sections(sources: &Sources) -> Vec<Section> {
    let stats = sources.authenticator.stats();
    let capacities = &sources.capacities;
    let connections = sources.lifecycle.connections();
    let rpcs = (sources.rpcs)();
    vec![
        sections::codes(&rpcs),
        sections::durations(&rpcs),
        sections::failures(&sources.failures.list()),
        sections::upstream(&sources.upstream.snapshot()),
        sections::budgets(connections, capacities.max_connections(), &capacities.usage()),
        sections::certificates(&(sources.certificates)()),
        sections::files(&stats),
        sections::keys(&stats),
    ]
}
