//! What API servers of older minor versions say in other words, and what they do not do yet: so far as the table of
//! `fooddelivery_simulation::conformance` shows it. The simulated server speaks as one of 1.36; where the real one is
//! older, both transcripts are compared as [`expected`] and [`comparable`] leave them. Nothing else may differ.

/// The minor version from which a watch may begin with what is there (1.32 could, 1.33 cannot).
const WATCH_LIST_SINCE: u32 = 34;
/// The minor version from which a refusal by a rule shows a value instead of its type, or nothing.
const VALUES_SHOWN_SINCE: u32 = 35;
/// The minor version from which a number is checked by its format, too.
const NUMBERS_BY_FORMAT_SINCE: u32 = 36;
/// Words that stand before what a refusal shows of the value.
const INVALID: &str = "Invalid value: ";

/// Lines by which the simulated server answers a watch that begins with what is there, and those of a server whose
/// feature gate WatchList is off.
const WATCH_LIST: &str = "sendInitialEvents=true";
const NO_WATCH_LIST: [&str; 3] = [
    "    ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch \
     unless the WatchList feature gate is enabled",
    "    sendInitialEvents FieldValueForbidden: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList \
     feature gate is enabled",
    "    about - meta.k8s.io ListOptions",
];

/// What a server of the minor version is expected to do where the simulated one does `simulated`, as it is compared.
pub(crate) fn expected(simulated: &str, minor: u32) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_refused_watch = false;
    for line in simulated.lines() {
        let is_head = !line.starts_with(' ');
        if is_head {
            is_refused_watch = minor < WATCH_LIST_SINCE && line.contains(WATCH_LIST);
        }
        if is_refused_watch {
            if is_head {
                let (request, _) = line.rsplit_once(": ").unwrap_or((line, ""));
                lines.push(format!("{request}: 422 Invalid"));
                lines.extend(NO_WATCH_LIST.map(str::to_owned));
            }
        } else if minor < NUMBERS_BY_FORMAT_SINCE && line.contains("Checked value must be of type integer") {
            // It finds the same once, not twice.
        } else if minor < NUMBERS_BY_FORMAT_SINCE {
            let line = line.replace("of type int64: \"float64\"", "of type integer: \"number\"");
            lines.push(line.replace("Invalid value: \"float64\"", "Invalid value: \"number\""));
        } else {
            lines.push(line.to_owned());
        }
    }
    comparable(&(lines.join("\n") + "\n"), minor)
}

/// What is compared of a transcript of a server of the minor version: without the values that its refusals show, where
/// those are shown otherwise.
pub(crate) fn comparable(transcript: &str, minor: u32) -> String {
    if minor >= VALUES_SHOWN_SINCE {
        return transcript.to_owned();
    }
    let mut lines: Vec<String> = transcript.lines().map(without_value).collect();
    // Causes are in the order of their texts, of which the values were a part.
    for causes in lines.chunk_by_mut(|a, b| is_cause(a) && is_cause(b)) {
        causes.sort();
    }
    lines.join("\n") + "\n"
}

fn is_cause(line: &str) -> bool {
    line.starts_with("    ") && line.contains(" FieldValue")
}

/// A line without the value that was refused, and without the name of its Go type.
fn without_value(line: &str) -> String {
    let line = line.replace("Duplicate value: map[string]interface {}{", "Duplicate value: {");
    let Some((before, rest)) = line.split_once(INVALID) else { return line };
    let after = match rest.chars().next() {
        Some('"') => end_of_text(rest),
        Some('0'..='9' | '-') => rest.find(": "),
        _ => ["null", "true", "false"].into_iter().find(|word| rest.starts_with(word)).map(str::len),
    };
    // Its value is all that it says, where nothing follows.
    match after.and_then(|end| rest.get(end..)?.strip_prefix(": ")) {
        Some(detail) => format!("{before}{INVALID}{detail}"),
        None => line,
    }
}

/// Where a text in quotation marks ends, its last mark included.
fn end_of_text(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in quoted.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return Some(at + 1),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

#[test]
fn an_older_server_is_held_to_the_same_refusals_without_the_values_that_they_show() {
    let ours = "Customer PATCH orders/a: 422 Invalid\n    \
                spec FieldValueInvalid: Invalid value: \"b: \\\"c\\\"\": fixed: for ever\n    \
                spec FieldValueInvalid: Invalid value: a reason: another\n";
    let theirs = "Customer PATCH orders/a: 422 Invalid\n    \
                  spec FieldValueInvalid: Invalid value: \"object\": a reason: another\n    \
                  spec FieldValueInvalid: Invalid value: \"string\": fixed: for ever\n";
    assert_eq!(expected(ours, 33), comparable(theirs, 33));
    assert_ne!(expected(ours, 36), comparable(theirs, 36));
    assert_ne!(expected(ours, 33), comparable(&theirs.replace("for ever", "for now"), 33));
}

#[test]
fn a_number_of_another_format_is_refused_once_by_an_older_server_and_a_watch_list_is_not_served() {
    let ours = "Operator PATCH payments/p/status: 422 Invalid\n    \
                status FieldValueInvalid: Invalid value: \"\": Checked value must be of type integer with format int64 in a\n    \
                status.a FieldValueTypeInvalid: Invalid value: \"float64\": a in body must be of type int64: \"float64\"\n\
                Operator watches orders?sendInitialEvents=true: 200\n    ADDED a uid-0\n";
    let of_1_33 = "Operator PATCH payments/p/status: 422 Invalid\n    \
                   status.a FieldValueTypeInvalid: Invalid value: a in body must be of type integer: \"number\"\n\
                   Operator watches orders?sendInitialEvents=true: 422 Invalid\n";
    let said = expected(ours, 33);
    let refused = said.strip_prefix(of_1_33).expect("the refusals of 1.33");
    assert_eq!(refused.lines().collect::<Vec<_>>(), NO_WATCH_LIST);
    assert!(expected(ours, 34).contains("ADDED a uid-0"));
    let of_1_35 = "status.a FieldValueTypeInvalid: Invalid value: \"number\": a in body must be of type integer: \"number\"";
    assert!(expected(ours, 35).contains(of_1_35));
    assert_eq!(expected(ours, 36), ours);
}
