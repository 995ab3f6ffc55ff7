//! `docs/reference/flags.md` is what the command line takes.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory, ValueEnum};
use fooddelivery_controller::cli::{Cli, version_line};
use fooddelivery_controller::names::ControllerName;

use super::{RENEW, compare};

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

#[test]
fn a_controller_is_called_the_same_on_the_command_line_and_everywhere_else() {
    for name in ControllerName::value_variants() {
        let value = name.to_possible_value().expect("a value of the flag");
        assert_eq!(value.get_name(), name.as_str());
    }
}

#[test]
fn the_version_names_the_revision_where_it_is_known() {
    let version = env!("CARGO_PKG_VERSION");
    let known = format!("fooddelivery-operator {version} (revision d3bd84e)\n");
    assert_eq!(version_line(Some("d3bd84e")), known);
    for unknown in [None, Some("")] {
        assert_eq!(version_line(unknown), format!("fooddelivery-operator {version}\n"));
    }
}
