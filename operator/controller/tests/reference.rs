//! `docs/reference/flags.md` is what the command line takes.
//! `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-controller --test reference` renews it.
#![allow(clippy::expect_used)]

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use fooddelivery_controller::cli::Cli;

const RENEW: &str = "UPDATE_MANIFESTS=1 cargo test -p fooddelivery-controller --test reference";

fn compare(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    if std::env::var_os("UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "docs/reference/{name} has drifted: {RENEW}");
}

#[test]
fn the_committed_reference_of_flags_is_what_the_command_line_takes() {
    let mut command = Cli::command();
    command.build();
    let mut page = format!(
        "# Flags\n\n<!-- generated: do not edit; {RENEW} -->\n\nEvery setting is a flag of `{}` and, where a variable is named, \
         an environment variable; a flag wins. `--help` shows the same.\n",
        command.get_name()
    );
    for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
        describe(&mut page, subcommand);
    }
    compare("flags.md", &page);
}

fn describe(page: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    line(page, &format!("\n## {}\n\n{}", command.get_name(), sentence(&about)));
    let arguments: Vec<&Arg> = command.get_arguments().filter(|it| it.get_id() != "help").collect();
    if arguments.is_empty() {
        return;
    }
    line(page, "\n| flag | environment | default | meaning |\n|---|---|---|---|");
    for argument in arguments {
        let name = argument.get_long().map(|it| format!("`--{it}`")).unwrap_or_default();
        let short = argument.get_short().map(|it| format!(", `-{it}`")).unwrap_or_default();
        let variable = argument.get_env().map(|it| format!("`{}`", it.to_string_lossy())).unwrap_or_default();
        let switch = argument.get_action().takes_values();
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .filter(|_| switch)
            .map(|it| format!("`{}`", it.to_string_lossy().replace(',', "`, `")))
            .collect();
        let mut meaning =
            argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let possible: Vec<String> =
            argument.get_possible_values().iter().map(|it| format!("`{}`", it.get_name())).collect();
        let default = defaults.join(", ");
        let is_all = possible.len() > 1 && default == possible.join(", ");
        let default = if is_all { "all" } else { &default };
        if switch && !possible.is_empty() && possible.len() < 4 {
            meaning = format!("{} One of {}.", sentence(&meaning), possible.join(", "));
        }
        line(page, &format!("| {name}{short} | {variable} | {default} | {} |", cell(&meaning)));
    }
}

/// Clap takes the full stop off what is one sentence.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// As a table's cell takes it.
fn cell(text: &str) -> String {
    sentence(&text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "))
}

fn line(page: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
