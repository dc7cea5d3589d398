//! Every flag, alone and with every other flag, over all odd files.

use std::path::PathBuf;

use cc_conformance::{case::Case, subject::Subject};

use cc_workloads::grep::Report;

use super::{
    corpus, files, gnu,
    invocation::{FLAGS, Invocation},
    run_result::{RunResult, conforms},
};

/// The flags with which a model can go wrong: they depend on the order of the matches, or end the
/// search early. With all other flags only the kernel can go wrong, which is the same in every
/// model.
const IN_MODELS: [&str; 8] = ["-n", "-c", "-l", "-L", "-q", "-C3", "-m1", "-m40"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("no_flag", |subject| {
            plain(&[]).into_iter().for_each(|invocation| conforms(subject, &odd(invocation)));
        }),
        Case::new("gnu_no_flag", |subject| {
            plain(&[]).into_iter().for_each(|invocation| agrees(subject, invocation));
        })
        .unless(gnu::missing)
        .long_in_models(),
    ];
    for flag in FLAGS {
        let name = flag.trim_start_matches('-').replace('=', "_");
        // Flags differ in case; the names of tests must not.
        let is_upper = name.starts_with(char::is_uppercase);
        let name = if is_upper { format!("upper_{}", name.to_lowercase()) } else { name };
        let case = Case::new(format!("flag_{name}"), |subject| {
            combinations(flag).iter().for_each(|invocation| conforms(subject, &odd(invocation.clone())));
        });
        cases.push(if IN_MODELS.contains(flag) { case } else { case.long_in_models() });
        let agree = |subject: &Subject| {
            combinations(flag).into_iter().for_each(|invocation| agrees(subject, invocation));
        };
        cases.push(Case::new(format!("gnu_flag_{name}"), agree).unless(gnu::missing).long_in_models());
    }
    cases
}

const REGEX: &str = "[n-x]e+[a-d]+";

fn plain(flags: &[&'static str]) -> Vec<Invocation> {
    let patterns = ["needle", REGEX, "^", "^$", ".", "hay$", "xyzzy", r"\xff", "e( |n)", "[^ -~]"];
    let mut invocations: Vec<Invocation> =
        patterns.iter().map(|pattern| Invocation::new(*pattern).flags(flags)).collect();
    invocations.push(Invocation::new("NEEDLE").or("^hay").or("1234 ").flags(flags));
    invocations.push(Invocation::new(*b"\xff\xfe").flags(flags));
    invocations
}

/// The flag alone, with a literal and with a regular expression, and with each flag that comes
/// later in the table.
fn combinations(flag: &'static str) -> Vec<Invocation> {
    let mut invocations = vec![Invocation::new("needle").flag(flag), Invocation::new(REGEX).flag(flag)];
    let others = FLAGS.iter().skip_while(|other| **other != flag).skip(1);
    invocations.extend(others.map(|other| Invocation::new("needle").flags(&[flag, other])));
    invocations
}

fn odd(invocation: Invocation) -> Invocation {
    invocation.at_all(files::troublesome()).at_all(corpus::odd_files())
}

/// Compares with GNU grep, except for the files which it takes for binary or not depending on its
/// buffers.
fn agrees(subject: &Subject, invocation: Invocation) {
    // GNU grep's patterns have no escapes for bytes.
    if invocation.query.patterns.iter().any(|pattern| pattern.starts_with(br"\x")) {
        return;
    }
    let files: Vec<PathBuf> = corpus::odd_files();
    let invocation = invocation.at_all(files.into_iter().filter(|file| !corpus::is_up_to_buffers(file)));
    let counts = matches!(invocation.query.report, Report::Count | Report::FilesWithout);
    let invocation =
        invocation.at_all(files::troublesome().into_iter().filter(|file| !counts || !files::opens(file)));
    let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
    gnu::agrees(&invocation, &run_result, None);
}
