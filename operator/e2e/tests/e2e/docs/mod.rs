//! The documents tell the truth: every command in the README, CONTRIBUTING and docs/ is run here or names what runs it, and
//! whatever they point to exists.

mod pages;
mod play;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use fooddelivery_e2e::binaries::workspace;

use pages::{Block, Page, Runs};
use play::Ground;

use crate::size;

/// What cargo has by itself, of what the documents use.
const CARGO_COMMANDS: [&str; 5] = ["build", "clippy", "fmt", "run", "test"];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file with this extension below `dir`.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_block_has_a_language_and_every_mark_names_what_exists() {
    let ci: Vec<String> = read(&workspace().join(".ci/run"))
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.starts_with('#'))
        .collect();
    let sources: Vec<String> =
        files(&workspace().join("operator"), "rs").iter().map(|path| read(path)).collect();
    let mut wrong = Vec::new();
    for page in pages::all() {
        for block in &page.blocks {
            let place = format!("{}:{}", page.name, block.line);
            match &block.runs {
                Runs::Unknown(mark) => wrong.push(format!("{place}: {mark:?} is no mark")),
                Runs::ByCi(command) if !ci.iter().any(|line| line.contains(command.as_str())) => {
                    wrong.push(format!("{place}: .ci/run has no {command:?}"));
                }
                Runs::ByTest(name) if !sources.iter().any(|text| text.contains(&format!("fn {name}("))) => {
                    wrong.push(format!("{place}: there is no test {name}"));
                }
                _ => {}
            }
            if !["sh", "console", "yaml", "text", "mermaid", "rust"].contains(&block.language.as_str()) {
                wrong.push(format!("{place}: a block of language {:?}", block.language));
            }
            if !block.is_for_a_shell() && block.runs != Runs::Here {
                wrong.push(format!("{place}: nothing runs {}", block.language));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_cargo_command_and_every_path_in_a_command_exists() {
    let aliases = read(&workspace().join(".cargo/config.toml"));
    let manifests: String =
        files(&workspace().join("operator"), "toml").iter().map(|path| read(path)).collect();
    let mut wrong = Vec::new();
    for page in pages::all() {
        for block in page.blocks.iter().filter(|block| block.is_for_a_shell()) {
            let place = format!("{}:{}", page.name, block.line);
            let words: Vec<&str> = block.text.split_whitespace().collect();
            for pair in words.windows(2) {
                let known = match pair[0] {
                    "cargo" => {
                        CARGO_COMMANDS.contains(&pair[1]) || aliases.contains(&format!("{} = ", pair[1]))
                    }
                    "--package" => manifests.contains(&format!("name = \"{}\"", pair[1])),
                    "-f" | "-k" if pair[1] != "-" => workspace().join(pair[1]).exists(),
                    _ => true,
                };
                if !known {
                    wrong.push(format!("{place}: {} {} does not exist", pair[0], pair[1]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages::all();
    let mut wrong = Vec::new();
    for page in &pages {
        let dir = workspace().join(&page.name).parent().unwrap().to_owned();
        for link in &page.links {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { workspace().join(&page.name) } else { dir.join(path) };
            if !target.exists() {
                wrong.push(format!("{}: {link} leads nowhere", page.name));
            } else if !anchor.is_empty() && !pages::anchors(&read(&target)).contains(anchor) {
                wrong.push(format!("{}: {link} names no heading", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_is_short_and_every_page_can_be_reached() {
    let readme = read(&workspace().join("README.md"));
    assert!(readme.lines().count() <= 120, "the README has {} lines", readme.lines().count());
    let map = std::fs::metadata(workspace().join("ARCHITECTURE.md")).unwrap().len();
    assert!(map <= 14_000, "ARCHITECTURE.md has {map} bytes");
    let pages = pages::all();
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    loop {
        let more: BTreeSet<String> = pages
            .iter()
            .filter(|page| reached.contains(&page.name))
            .flat_map(Page::linked_pages)
            .filter(|name| !reached.contains(name))
            .collect();
        if more.is_empty() {
            break;
        }
        reached.extend(more);
    }
    let lost: Vec<&str> =
        pages.iter().map(|page| page.name.as_str()).filter(|name| !reached.contains(*name)).collect();
    assert!(lost.is_empty(), "nobody finds {lost:?} from the README");
}

#[test]
fn every_alert_has_a_line_that_says_what_to_do_and_no_line_is_for_another() {
    let rules = read(&workspace().join("manifests/monitoring/rules.yaml"));
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = read(&workspace().join("docs/operate/monitoring.md"));
    let explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `Fooddelivery")?.split('`').next()).collect();
    let alerts: BTreeSet<&str> =
        alerts.iter().filter_map(|alert| alert.strip_prefix("Fooddelivery")).collect();
    assert_eq!(explained, alerts);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_documents_does_what_they_say() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    let ground = Ground::open().await?;
    let mut failures = Vec::new();
    // What is uninstalled last is missed by nobody.
    let (last, first): (Vec<Page>, Vec<Page>) =
        pages::all().into_iter().partition(|page| page.name.ends_with("/uninstall.md"));
    for (number, page) in first.iter().chain(&last).enumerate() {
        if !page.blocks.iter().any(Block::is_run_here) {
            continue;
        }
        if let Err(error) = ground.between_pages(number).await {
            failures.push(format!("before {}: {error:#}", page.name));
            break;
        }
        for block in page.blocks.iter().filter(|block| block.is_run_here()) {
            eprintln!("docs: {}:{}", page.name, block.line);
            if let Err(error) = ground.play(block).await {
                failures.push(format!("{}:{}: {error:#}", page.name, block.line));
            }
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(anyhow!("{}\n{}", failures.join("\n\n"), ground.log_tail()))
    }
}
