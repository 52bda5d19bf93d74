//! The walls between the rooms of `src`: who may use whom, and what stays in one
//! room. `docs/ARCHITECTURE.md` has the map.
//!
//! Each file is read as tokens, so comments, doc comments and formatting do not
//! count. Code for tests does not count either. Clippy forbids what needs no map:
//! `println!`, `dbg!`, `mod.rs`, `unsafe`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod walls {
    pub(crate) mod source;
}

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use self::walls::source::Source;

/// The rooms that each room may use, and a single item as `room::Item`. All may use
/// [`FOR_ALL`].
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "main",
        &["admin", "app", "auth::Authenticator", "config", "contract", "demo", "sandbox"],
    ),
    ("lib", &[]),
    ("demo", &["app", "config", "contract", "proto", "sandbox"]),
    (
        "app",
        &[
            "admin", "config", "net", "grpc", "gateway", "auth", "upstream", "tls",
            "contract", "sandbox",
        ],
    ),
    ("config", &["net", "gateway", "auth", "upstream", "tls", "files", "contract"]),
    (
        "admin",
        &[
            "net::Lifecycle",
            "net::Phase",
            "gateway::FailedRpc",
            "gateway::RecentFailures",
            "gateway::RpcTotals",
            "auth::Authenticator",
            "auth::FileStats",
            "auth::Stats",
            "tls::Stats",
            "upstream::Snapshot",
            "upstream::Upstream",
        ],
    ),
    ("net", &["grpc", "tls"]),
    ("grpc", &["gateway", "status", "contract"]),
    ("gateway", &["status", "auth", "upstream", "transcode", "contract"]),
    ("status", &["grpc::Error", "auth", "upstream", "transcode", "contract"]),
    ("transcode", &["contract"]),
    ("upstream", &["tls"]),
    ("auth", &["files"]),
    ("tls", &["files"]),
    ("files", &[]),
    ("peer", &[]),
    ("contract", &[]),
    ("budget", &[]),
    ("telemetry", &[]),
    ("sandbox", &[]),
];

const FOR_ALL: [&str; 3] = ["budget", "peer", "telemetry"];

/// Something that only some rooms may use.
struct Wall {
    name: &'static str,
    /// Rust tokens; `fn` stands for any name that begins in lower case.
    code: &'static [&'static str],
    rooms: &'static [&'static str],
}

const WALLS: &[Wall] = &[
    Wall {
        name: "HTTP client",
        code: &["reqwest", "hyper :: client", "h2 :: client", "hyper_util :: client"],
        rooms: &["upstream"],
    },
    Wall { name: "status", code: &["Status :: fn"], rooms: &["status", "sandbox"] },
    Wall {
        name: "status",
        code: &["for Status", "for tonic :: Status", "Status as", "StatusExt"],
        rooms: &["status", "demo"],
    },
    Wall {
        name: "environment",
        code: &["env :: fn", "std :: env", "option_env"],
        rooms: &["config"],
    },
    Wall {
        name: "command line",
        code: &["clap"],
        rooms: &["config", "main", "demo", "telemetry"],
    },
    Wall {
        name: "gRPC library",
        code: &["tonic", "tonic_types"],
        rooms: &["grpc", "gateway", "status", "budget", "demo", "lib"],
    },
    Wall { name: "web framework", code: &["axum"], rooms: &["sandbox"] },
    Wall { name: "metrics library", code: &["prometheus_client"], rooms: &["telemetry"] },
];

/// Words of the API behind the gateway. They belong in `proto/`; as part of a name or
/// of a text they count unless a lower-case letter follows.
const PRODUCT: &[&str] = &[
    "PartnerShared",
    "SharedConnection",
    "child_organization",
    "connection_id",
    "org_id",
    "own the connection",
    "polytomic.connections",
    "shared connection",
    "shared connections",
    "the organization",
];

/// The rooms that serve nobody's RPCs, and the generated messages.
const MAY_NAME_THE_PRODUCT: &[&str] = &["demo", "lib", "sandbox"];

/// The most lines of a file, tests not counted.
const LINES: usize = 300;

#[test]
fn the_walls_stand() {
    let files = sources();
    let problems = files.iter().flat_map(check).chain(cycles(&files));
    let report: Vec<_> = problems
        .map(|Problem { file, wall, text }| format!("src/{file}: {wall}: {text}"))
        .collect();
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[test]
fn code_beyond_a_wall_is_found() {
    for (file, text, wall) in [
        ("net/tls.rs", "use crate::gateway::Gateway;", "direction"),
        ("net/tls.rs", "use crate::{grpc::Routes, status::Failure};", "direction"),
        (
            "net/tls.rs",
            "fn f() { matches!(x, crate::auth::Error::Missing) }",
            "direction",
        ),
        ("net/tls.rs", "use super::super::{grpc, app as main};", "direction"),
        ("net.rs", "use super::auth;", "direction"),
        ("status/local.rs", "use crate::grpc::Routes;", "direction"),
        ("main.rs", "use polytomic_gateway::auth::Identity;", "direction"),
        ("auth/file.rs", "use crate::{config::Serve};", "direction"),
        ("helpers.rs", "", "room"),
        ("gateway/identity.rs", "fn f(client: &reqwest::Client) {}", "HTTP client"),
        ("grpc/body.rs", "fn f() { tonic::Status::unavailable(text) }", "status"),
        ("grpc/body.rs", "fn f() { Status::with_details(code, text, bytes) }", "status"),
        ("grpc/body.rs", "fn f() { error.map_err(Status::from_error) }", "status"),
        ("grpc/body.rs", "impl From<io::Error> for Status {}", "status"),
        ("grpc/body.rs", "use tonic::Status as Refusal;", "status"),
        ("grpc/body.rs", "use tonic_types::StatusExt;", "status"),
        ("main.rs", "fn f() { std::env::var_os(NAME) }", "environment"),
        ("app.rs", "use std::env;", "environment"),
        ("app.rs", "const KEY: Option<&str> = option_env!(\"KEY\");", "environment"),
        ("net.rs", "use clap::Parser;", "command line"),
        ("net.rs", "use tonic::body::Body;", "gRPC library"),
        ("net.rs", "use axum::Router;", "web framework"),
        ("net.rs", "use prometheus_client::metrics::gauge::Gauge;", "metrics library"),
        ("status/words.rs", "const S: &str = \"org_id\";", "product"),
        ("status/words.rs", "struct ListPartnerSharedConnections;", "product"),
        ("status/words.rs", "const S: &str = \"a shared \\\n   connection\";", "product"),
        ("status/words.rs", &"\n".repeat(LINES + 1), "length"),
    ] {
        let found = check(&Source::new(file, text));
        assert!(found.iter().any(|problem| problem.wall == wall), "{text}: {found:?}");
    }
}

#[test]
fn code_within_the_walls_is_not_reported() {
    let tests = format!("#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(LINES));
    for (file, text) in [
        ("net/tls.rs", "use crate::{budget::Capacities, grpc::Routes, telemetry};"),
        ("net/tls.rs", "use super::accept::Connections; use self::parts::Part;"),
        ("status.rs", "use crate::{auth, grpc::Error};"),
        ("net.rs", "// crate::app, reqwest and Status::new()\n/// `org_id`\nfn f() {}"),
        ("net.rs", "//! reqwest\n\nconst TEXT: &str = \"crate::app\";"),
        ("net.rs", "#[cfg(test)]\nuse crate::app::App;\nfn f() {}"),
        ("net.rs", "#[cfg(test)] #[expect(lint)] fn f(a: [u8; 2]) { crate::app::f() }"),
        ("net.rs", &tests),
        ("net.rs", "fn f() { settings.max_connection_idle }"),
        ("grpc/unary.rs", "fn f(s: Status) { (Status::GRPC_STATUS, StatusCode::OK) }"),
        ("net.rs", "const VERSION: &str = env!(\"CARGO_PKG_VERSION\");"),
        ("sandbox/api.rs", "const PATH: &str = \"{org_id}/connections\";"),
    ] {
        let found = check(&Source::new(file, text));
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn a_circle_of_files_is_found() {
    let circles = |files: &[(&str, &str)]| {
        let read = |(file, text): &(&str, &str)| Source::new(file, text);
        let files: Vec<_> = files.iter().map(read).collect();
        cycles(&files).into_iter().map(|problem| problem.file).collect::<Vec<_>>()
    };
    let three = [
        ("net/a.rs", "use super::b::B;"),
        ("net/b.rs", "fn f() { crate::net::c::f() }"),
        ("net/c.rs", "use super::{a, d::D};"),
        ("net/d.rs", ""),
    ];
    assert_eq!(circles(&three), ["net/a.rs", "net/b.rs", "net/c.rs"]);
    assert!(circles(&three[1..]).is_empty());
    let parent = [("net.rs", "use self::a::A;"), ("net/a.rs", "use super::Net; ")];
    assert!(circles(&parent).is_empty());
}

/// A place where a wall is broken.
#[derive(Debug)]
struct Problem {
    file: String,
    wall: &'static str,
    text: String,
}

/// Checks one file against every wall but [`cycles`].
fn check(source: &Source) -> Vec<Problem> {
    let room = source.room();
    let mut problems = Vec::new();
    let mut report = |wall, text: String| {
        problems.push(Problem { file: source.file.clone(), wall, text });
    };

    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
        report("room", format!("MAY_USE does not say what `{room}` may use"));
        return problems;
    };
    for path in source.paths() {
        let (Some(used), item) = (path.first(), path.get(1)) else { continue };
        let is_room = MAY_USE.iter().any(|(name, _)| name == used) || used == "proto";
        let whole = item.map(|item| format!("{used}::{item}")).unwrap_or_default();
        let is_allowed = *used == room
            || FOR_ALL.contains(&used.as_str())
            || may_use.iter().any(|allowed| *allowed == *used || *allowed == whole);
        if is_room && !is_allowed {
            report("direction", format!("`{room}` may not use `{}`", path.join("::")));
        }
    }
    for wall in WALLS.iter().filter(|wall| !wall.rooms.contains(&room)) {
        for code in wall.code {
            if let Some(line) = source.find(code) {
                report(wall.name, format!("line {line}: `{code}`"));
            }
        }
    }
    if !MAY_NAME_THE_PRODUCT.contains(&room) {
        for word in PRODUCT {
            if let Some(line) = source.find_word(word) {
                report("product", format!("line {line}: \"{word}\""));
            }
        }
    }
    let lines = source.lines();
    if lines > LINES {
        report("length", format!("{lines} lines"));
    }
    problems
}

/// Finds files of one room that use each other in a circle. A file and those below
/// it belong together, and may.
fn cycles(files: &[Source]) -> Vec<Problem> {
    let by_module: BTreeMap<_, _> =
        files.iter().map(|file| (file.module(), file)).collect();
    let uses: BTreeMap<_, BTreeSet<_>> = by_module
        .iter()
        .map(|(module, file)| {
            let used = file.paths().into_iter().filter_map(|path| {
                let lengths = (2..=path.len()).rev();
                let used = lengths.map(|length| path[..length].to_vec());
                used.into_iter().find(|used| by_module.contains_key(used))
            });
            let others = used.filter(|used| {
                used.first() == module.first()
                    && !used.starts_with(module)
                    && !module.starts_with(used)
            });
            (module.clone(), others.collect())
        })
        .collect();
    let reach = |from: &Vec<String>| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = uses[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module.clone()) {
                next.extend(&uses[module]);
            }
        }
        reached
    };
    let in_circle = uses.keys().filter(|module| !module.is_empty());
    let in_circle = in_circle.filter(|module| reach(module).contains(*module));
    in_circle
        .map(|module| Problem {
            file: by_module[module].file.clone(),
            wall: "circle",
            text: "uses itself by way of other files of its room".to_owned(),
        })
        .collect()
}

/// Reads all of `src` but its files of tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        Source::new(name, &fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).filter(|source| !source.is_test()).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
