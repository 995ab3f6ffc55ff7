//! Who may import whom, read from the `use` lines of every crate: no circle between files anywhere, no controller imports
//! another, and what is shared imports none. And that no kind is watched for nobody.
#![allow(clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// A crate's files by module path, and which of them each imports.
struct Crate {
    name: String,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

fn operator() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of all crates").to_owned()
}

/// The text of every source file below `folder` by its module path. Binaries are crates of their own and are left out.
fn sources(folder: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![(folder.to_owned(), Module::new())];
    while let Some((folder, module)) = left.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            if path.is_dir() {
                if stem != "bin" {
                    left.push((path, [module.clone(), vec![stem]].concat()));
                }
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let own = match stem.as_str() {
                "lib" | "main" | "mod" => module.clone(),
                _ => [module.clone(), vec![stem]].concat(),
            };
            let text = std::fs::read_to_string(&path).expect("a source file");
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            found.entry(own).or_insert_with(String::new).push_str(&text);
        }
    }
    found
}

/// The paths that a file's `use` lines name, one by one.
fn imported_paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for part in text.split("use ").skip(1).filter(|part| part.contains(';')) {
        let path: String = part.split(';').next().unwrap_or_default().split_whitespace().collect();
        let starts_a_line = ["crate::", "super::", "self::"].iter().any(|start| path.starts_with(start))
            || path.chars().next().is_some_and(|first| first.is_ascii_lowercase());
        if starts_a_line {
            flatten("", &path, &mut paths);
        }
    }
    paths
}

/// Writes `a::{b, c::{d}}` out as `a::b` and `a::c::d`.
fn flatten(prefix: &str, path: &str, into: &mut Vec<String>) {
    let Some((before, rest)) = path.split_once('{') else {
        into.push(format!("{prefix}{path}"));
        return;
    };
    let Some(body) = rest.strip_suffix('}') else { return };
    let prefix = format!("{prefix}{before}");
    let (mut depth, mut current) = (0_usize, String::new());
    for c in body.chars() {
        match c {
            ',' if depth == 0 => flatten(&prefix, &std::mem::take(&mut current), into),
            _ => {
                depth = if c == '{' { depth + 1 } else { depth.saturating_sub(usize::from(c == '}')) };
                current.push(c);
            }
        }
    }
    if !current.is_empty() {
        flatten(&prefix, &current, into);
    }
}

/// The file that a path names, seen from `own`.
fn target(own: &Module, path: &str, files: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base = match parts.first() {
        Some(&"crate") => {
            parts.remove(0);
            Module::new()
        }
        Some(&"self") => {
            parts.remove(0);
            own.clone()
        }
        Some(&"super") => {
            let mut base = own.clone();
            while parts.first() == Some(&"super") {
                parts.remove(0);
                base.pop();
            }
            base
        }
        Some(first) if files.contains_key(&[own.clone(), vec![(*first).to_owned()]].concat()) => own.clone(),
        _ => return None,
    };
    for part in parts {
        let next = [base.clone(), vec![part.to_owned()]].concat();
        if !files.contains_key(&next) {
            break;
        }
        base = next;
    }
    (base != *own && files.contains_key(&base)).then_some(base)
}

fn crates() -> Vec<Crate> {
    let mut crates = Vec::new();
    for entry in std::fs::read_dir(operator()).expect("the crates") {
        let folder = entry.expect("an entry").path();
        if !folder.join("src").is_dir() {
            continue;
        }
        let files = sources(&folder.join("src"));
        let imports = files.iter().map(|(own, text)| {
            let targets = imported_paths(text);
            (own.clone(), targets.iter().filter_map(|path| target(own, path, &files)).collect())
        });
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        crates.push(Crate { name, imports: imports.collect() });
    }
    assert!(crates.len() >= 10, "the crates were found");
    crates
}

fn written(module: &Module) -> String {
    module.join("/")
}

impl Crate {
    /// Everything that a file imports, directly or not.
    fn reachable(&self, from: &Module) -> BTreeSet<Module> {
        let mut seen = BTreeSet::new();
        let mut left: Vec<&Module> = self.imports[from].iter().collect();
        while let Some(module) = left.pop() {
            if seen.insert(module.clone()) {
                left.extend(&self.imports[module]);
            }
        }
        seen
    }

    /// The files of each circle.
    fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let reachable: BTreeMap<&Module, BTreeSet<Module>> =
            self.imports.keys().map(|own| (own, self.reachable(own))).collect();
        let of = |own: &Module| {
            let others = reachable[own].iter().filter(|other| reachable[other].contains(own));
            others.map(written).collect::<BTreeSet<String>>()
        };
        self.imports.keys().map(of).filter(|circle| circle.len() > 1).collect()
    }

    /// Asserts that nothing below `below` imports what `forbidden` picks.
    fn assert_never(&self, below: &str, forbidden: impl Fn(&Module, &Module) -> bool) {
        let mut seen = 0;
        for (own, targets) in
            self.imports.iter().filter(|(own, _)| own.first().is_some_and(|top| top == below))
        {
            seen += 1;
            let target = targets.iter().find(|target| forbidden(own, target));
            assert_eq!(target.map(written), None, "imported by {}", written(own));
        }
        assert!(seen > 0, "{below} was found");
    }
}

fn controller() -> Crate {
    crates().into_iter().find(|known| known.name == "controller").expect("the controller")
}

fn is_below(module: &Module, folder: &str) -> bool {
    module.first().is_some_and(|top| top == folder)
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for known in crates() {
        assert_eq!(known.circles(), BTreeSet::new(), "in {}", known.name);
    }
}

#[test]
fn a_circle_is_found_where_there_is_one() {
    let module = |name: &str| vec![name.to_owned()];
    let imports = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")];
    let imports = imports.map(|(from, to)| (module(from), BTreeSet::from([module(to)])));
    let known = Crate { name: "made up".into(), imports: imports.into() };
    let circle = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(known.circles(), BTreeSet::from([circle]));
}

#[test]
fn use_lines_are_read_whole() {
    let text = "use crate::a::{b, c::{D, E}};\npub(crate) use super::f;\nuse std::sync::Arc;\n";
    let paths = imported_paths(text);
    assert_eq!(paths, ["crate::a::b", "crate::a::c::D", "crate::a::c::E", "super::f", "std::sync::Arc"]);
}

#[test]
fn no_controller_imports_another() {
    controller().assert_never("controllers", |own, target| {
        is_below(target, "controllers") && target.get(1) != own.get(1)
    });
}

#[test]
fn changes_of_every_kind_wake_a_controller() {
    let controllers = sources(&operator().join("controller/src/controllers"));
    for kind in fooddelivery_api::kinds::ALL {
        let calls =
            ["on", "on_difference", "on_spec_change"].map(|call| format!(".{call}::<{}>(", kind.name));
        let is_woken = controllers.values().any(|text| calls.iter().any(|call| text.contains(call)));
        assert!(is_woken, "no controller looks again after a change of {}", kind.noun);
    }
}

#[test]
fn what_is_shared_imports_no_controller_and_the_context_neither() {
    let known = controller();
    known.assert_never("shared", |_, target| is_below(target, "controllers") || is_below(target, "registry"));
    known.assert_never("context", |_, target| is_below(target, "controllers") || is_below(target, "shared"));
}

#[test]
fn the_domain_imports_nothing_of_the_runtime_and_the_runtime_nothing_of_the_domain() {
    for (name, forbidden) in [
        ("saga", ["fooddelivery-runtime", "kube", "tokio"]),
        ("runtime", ["fooddelivery-saga", "fooddelivery-api", "fooddelivery-providers"]),
    ] {
        let manifest = std::fs::read_to_string(operator().join(name).join("Cargo.toml")).expect("a manifest");
        for dependency in forbidden {
            let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
            assert!(names.into_iter().all(|known| known != dependency), "{name} depends on {dependency}");
        }
    }
}
