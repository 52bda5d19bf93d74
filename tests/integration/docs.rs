//! The tables of settings and RPCs in the documentation, the schema of the configuration
//! file, and all links.
//!
//! `UPDATE_DOCS=1 cargo test --test integration docs` rewrites the tables and the schema. A unit
//! test compares `docs/STATUSES.md`, because the library does not export its rows.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use polytomic_gateway::{
    config::{Cli, Command, Declaration, Kind, declarations, schema},
    contract::{Body, Contract, DESCRIPTOR_SET},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn configuration_page_lists_every_setting() {
    let mut tables = String::new();
    let mut heading = String::new();
    for setting in declarations() {
        if setting.heading != heading {
            heading.clone_from(&setting.heading);
            write!(
                tables,
                "\n### {heading}\n\n\
                 | key | flag | variable | default | meaning |\n\
                 | --- | --- | --- | --- | --- |\n"
            )
            .unwrap();
        }
        let Declaration { key, variable, value_name, .. } = &setting;
        let value = match setting.kind {
            Kind::Switch => format!("[={value_name}]"),
            _ => format!(" <{value_name}>"),
        };
        let default = setting.default.as_ref().map(|text| format!("`{text}`"));
        let (default, meaning) = (default.unwrap_or_default(), setting.description());
        writeln!(
            tables,
            "| `{key}` | `--{key}{value}` | `{variable}` | {default} | {meaning} |"
        )
        .unwrap();
    }
    assert_table("docs/configuration.md", "settings", &(tables + "\n"));
}

#[test]
fn configuration_page_names_every_flag() {
    fn check(command: &mut clap::Command, page: &str) {
        command.build();
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            let is_named = page.contains(&format!("`--{flag}"));
            assert!(is_named || ["help", "version"].contains(&flag), "{flag}");
        }
        command.get_subcommands_mut().for_each(|below| check(below, page));
    }
    let page = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).unwrap();
    check(&mut Cli::command(), &page);
}

#[test]
fn schema_is_that_of_the_settings() {
    let path = Path::new(ROOT).join("docs/configuration.schema.json");
    let expected = format!("{:#}\n", schema(&declarations()));
    if updates() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), expected);
}

#[test]
fn example_of_the_configuration_page_is_valid() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), example).unwrap();
    let config = ["serve", "--config", file.path().to_str().unwrap()];
    let cli = Cli::from_arguments(["polytomic-gateway"].into_iter().chain(config));
    let Command::Serve(flags) = cli.unwrap().command else { panic!("not serve") };
    flags.settings(&Contract::compile(DESCRIPTOR_SET).unwrap()).unwrap();
}

#[test]
fn rpcs_page_lists_every_rpc() {
    let mut table = "| RPC | REST request | body | response | API versions |\n\
         | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for rpc in Contract::compile(DESCRIPTOR_SET).unwrap().rpcs() {
        let body = match &rpc.binding.body {
            Body::None => "none".to_owned(),
            Body::Object(_) => "the other fields".to_owned(),
            Body::Field(index) => format!("`{}`", rpc.request.root().fields[*index].name),
        };
        let (method, path) = (&rpc.binding.method, &rpc.binding.template);
        let response = if rpc.is_streaming {
            let list = &rpc.response.root().fields[0].key;
            format!("a message per element of `{list}`")
        } else {
            "one message".to_owned()
        };
        let (name, versions) = (&rpc.name, rpc.options.api_versions.join(", "));
        writeln!(
            table,
            "| `{name}` | `{method} {path}` | {body} | {response} | {versions} |"
        )
        .unwrap();
    }
    assert_table("docs/RPCS.md", "rpcs", &table);
}

#[test]
fn rpcs_page_shows_the_example_that_a_test_serves() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/RPCS.md")).unwrap();
    let (_, rest) = page.split_once("   ```proto\n").unwrap();
    let (shown, _) = rest.split_once("   ```\n").unwrap();
    let file = "tests/integration/proto/organizations/v1/organization_service.proto";
    let file = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let (_, service) = file.split_once("service OrganizationService {\n").unwrap();
    let (rpcs, messages) = service.split_once("}\n\n").unwrap();
    assert_eq!(unindented(shown, "   "), unindented(rpcs, "  ") + "\n" + messages);
}

/// Removes an indentation that every line has but the empty ones.
fn unindented(text: &str, indentation: &str) -> String {
    let strip = |line: &str| line.strip_prefix(indentation).unwrap_or(line).to_owned();
    text.lines().map(|line| strip(line) + "\n").collect()
}

#[test]
fn links_lead_to_pages_and_headings() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            let found = if heading.is_empty() {
                target.exists()
            } else {
                let text = fs::read_to_string(&target).unwrap_or_default();
                text.lines().any(|line| anchor(line).as_deref() == Some(heading))
            };
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn readme_leads_to_every_page() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let linked: BTreeSet<String> = links(&readme).collect();
    for page in markdown(&Path::new(ROOT).join("docs")) {
        let link = format!("docs/{}", page.file_name().unwrap().to_str().unwrap());
        assert!(linked.contains(&link), "README.md has no link to {link}");
    }
}

/// The page quotes the README, and names the file and the functions of each test.
#[test]
fn each_promise_of_the_readme_has_tests() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(&read("README.md"));
    let page = read("docs/PROMISES.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")).skip(2);
    let mut checked = 0;
    for row in rows {
        let row = row.strip_suffix(" |").unwrap();
        let (promise, tests) = row.rsplit_once(" | ").unwrap();
        let promise = promise.replace("\\|", "|");
        assert!(readme.contains(&promise), "README.md does not say: {promise}");
        for tests in tests.split("; ") {
            // What is in quotes: the file, then the functions.
            let mut quoted = tests.split('`').skip(1).step_by(2);
            let file = quoted.next().unwrap();
            let source = read(file);
            for test in quoted {
                let is_there = ["fn", "def"]
                    .iter()
                    .any(|keyword| source.contains(&format!("{keyword} {test}(")));
                assert!(is_there, "{file} has no test {test}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "the table was not found: {checked} tests");
}

/// Compares what a page has between `<!-- name -->` and `<!-- /name -->` with the
/// expected table, or replaces it if `UPDATE_DOCS` is set.
pub(crate) fn assert_table(page: &str, name: &str, expected: &str) {
    let path = Path::new(ROOT).join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    if found == expected {
        return;
    }
    assert!(
        updates(),
        "{page} is out of date; run `UPDATE_DOCS=1 cargo test --test integration docs`, \
         which writes:\n{expected}"
    );
    fs::write(&path, [before, &start, expected, &end, after].concat()).unwrap();
}

/// Compares a whole file in the same way.
pub(crate) fn assert_file(file: &str, expected: &str) {
    let path = Path::new(ROOT).join(file);
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found == expected {
        return;
    }
    assert!(
        updates(),
        "{file} is out of date; run `UPDATE_DOCS=1 cargo test --test integration metrics`, \
         which writes:\n{expected}"
    );
    fs::write(&path, expected).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "an order to the test, not a setting of the gateway"
)]
fn updates() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// Returns every page of the documentation.
fn pages() -> Vec<PathBuf> {
    ["", "docs", "docs/decisions"]
        .iter()
        .flat_map(|folder| markdown(&Path::new(ROOT).join(folder)))
        .collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "md")).collect()
}

/// Returns the links of a page that stay inside the repository.
fn links(page: &str) -> impl Iterator<Item = String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.starts_with("http"))
}

/// Returns the anchor that GitHub gives to a heading.
fn anchor(line: &str) -> Option<String> {
    let (_, title) = line.split_once("# ").filter(|_| line.starts_with('#'))?;
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}
