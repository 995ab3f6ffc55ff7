//! The documents as pages of blocks and links. Reads files, and runs nothing.

use std::collections::BTreeSet;

use fooddelivery_e2e::binaries::workspace;

use super::{files, read};

/// A Markdown file.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) name: String,
    /// Its fenced blocks, in order.
    pub(crate) blocks: Vec<Block>,
    /// The targets of its links within the repository.
    pub(crate) links: Vec<String>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// What stands behind the fence.
    pub(crate) language: String,
    /// Its lines, without the indentation of the fence.
    pub(crate) text: String,
    /// What runs it.
    pub(crate) runs: Runs,
}

/// What runs a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// This test, or nothing where it is not for a shell.
    Here,
    /// `<!-- run-by: COMMAND in .ci/run -->`
    ByCi(String),
    /// `<!-- run-by: test NAME -->`
    ByTest(String),
    /// A mark that says neither.
    Unknown(String),
}

impl Block {
    pub(crate) fn is_for_a_shell(&self) -> bool {
        ["sh", "console"].contains(&self.language.as_str())
    }

    pub(crate) fn is_run_here(&self) -> bool {
        self.is_for_a_shell() && self.runs == Runs::Here
    }
}

impl Page {
    fn read(name: String) -> Self {
        let text = read(&workspace().join(&name));
        let (blocks, prose) = split(&text);
        Self { name, blocks, links: links(&prose) }
    }

    /// The pages that it links to, by their path in the repository. A link to a folder is one to all its pages.
    pub(crate) fn linked_pages(&self) -> Vec<String> {
        let dir = workspace().join(&self.name).parent().unwrap().to_owned();
        let paths = self.links.iter().map(|link| dir.join(link.split('#').next().unwrap_or_default()));
        let pages = paths.filter_map(|path| path.canonicalize().ok());
        let pages = pages.flat_map(|path| if path.is_dir() { files(&path, "md") } else { vec![path] });
        let top = workspace().canonicalize().unwrap();
        pages.filter_map(|path| Some(path.strip_prefix(&top).ok()?.display().to_string())).collect()
    }
}

/// Every document, sorted by its path.
pub(crate) fn all() -> Vec<Page> {
    let mut names: Vec<String> = files(&workspace().join("docs"), "md")
        .into_iter()
        .map(|path| path.strip_prefix(workspace()).unwrap().display().to_string())
        .chain(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned))
        .collect();
    names.sort();
    names.into_iter().map(Page::read).collect()
}

/// The blocks of a text, and the lines outside of them.
fn split(text: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut open: Option<(usize, Block)> = None;
    let mut mark = Runs::Here;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        match open.as_mut() {
            Some(_) if trimmed == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            None => {
                if let Some(language) = trimmed.strip_prefix("```") {
                    let runs = std::mem::replace(&mut mark, Runs::Here);
                    let block =
                        Block { line: number + 1, language: language.to_owned(), text: String::new(), runs };
                    open = Some((line.len() - line.trim_start().len(), block));
                    continue;
                }
                mark = Runs::Here;
                if let Some(said) =
                    trimmed.strip_prefix("<!-- run-by: ").and_then(|it| it.strip_suffix(" -->"))
                {
                    mark = runs(said);
                }
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    (blocks, prose)
}

fn runs(said: &str) -> Runs {
    if let Some(command) = said.strip_suffix(" in .ci/run") {
        return Runs::ByCi(command.to_owned());
    }
    said.strip_prefix("test ")
        .map_or_else(|| Runs::Unknown(said.to_owned()), |name| Runs::ByTest(name.to_owned()))
}

/// What stands in `](…)`, but for addresses elsewhere.
fn links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of a text's headings, as GitHub makes them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let (_, prose) = split(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn a_mark_belongs_to_the_block_right_below_it() {
    let text = "<!-- run-by: cargo demo in .ci/run -->\n```sh\na\n```\n<!-- run-by: test b -->\n\n```sh\nc\n```\n1. d\n\n   \
                ```console\n   $ e\n   f\n   ```\n";
    let (blocks, prose) = split(text);
    let found: Vec<(usize, &str, &Runs)> =
        blocks.iter().map(|block| (block.line, block.text.as_str(), &block.runs)).collect();
    let by_ci = Runs::ByCi("cargo demo".into());
    assert_eq!(found, [(2, "a\n", &by_ci), (7, "c\n", &Runs::Here), (12, "$ e\nf\n", &Runs::Here)]);
    assert!(prose.contains("1. d") && !prose.contains("$ e"));
    assert_eq!(runs("whatever"), Runs::Unknown("whatever".into()));
}

#[test]
fn links_and_anchors_are_found() {
    let prose = "[a](b/c.md#d-e), [f](https://g.example) and [h](#i)";
    assert_eq!(links(prose), ["b/c.md#d-e", "#i"]);
    assert!(anchors("## A `b`, c-d!\n```text\n# no heading\n```\n").iter().eq(["a-b-c-d"]));
}
