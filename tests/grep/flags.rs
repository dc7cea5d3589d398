//! Every flag, alone and with every other, over all the odd files.

use std::path::PathBuf;

use cc_conformance::{case::Case, subject::Subject};

use cc_workloads::grep::Report;

use super::{
    asked::{Asked, FLAGS},
    corpus, files, gnu,
    observe::{Observed, conforms},
};

/// The flags with which a model can go wrong: they need the order of what is found, or say when it
/// is enough. In all others only the kernel can, which is the same in every model.
const IN_MODELS: [&str; 7] = ["-n", "-c", "-l", "-L", "-q", "-m1", "-m40"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("no_flag", |subject| {
            plain(&[]).into_iter().for_each(|asked| conforms(subject, &odd(asked)));
        }),
        Case::new("gnu_no_flag", |subject| {
            plain(&[]).into_iter().for_each(|asked| agrees(subject, asked));
        })
        .unless(gnu::missing)
        .long_in_models(),
    ];
    for flag in FLAGS {
        let name = flag.trim_start_matches('-');
        // Case matters in the flags' names, and not in the tests'.
        let name =
            if name == "F" || name == "H" || name == "L" { format!("upper_{name}") } else { name.to_owned() };
        let name = name.to_lowercase();
        let case = Case::new(format!("flag_{name}"), |subject| {
            combinations(flag).iter().for_each(|asked| conforms(subject, &odd(asked.clone())));
        });
        cases.push(if IN_MODELS.contains(flag) { case } else { case.long_in_models() });
        let agree = |subject: &Subject| {
            combinations(flag).into_iter().for_each(|asked| agrees(subject, asked));
        };
        cases.push(Case::new(format!("gnu_flag_{name}"), agree).unless(gnu::missing).long_in_models());
    }
    cases
}

const REGEX: &str = "[n-x]e+[a-d]+";

fn plain(flags: &[&'static str]) -> Vec<Asked> {
    let patterns = ["needle", REGEX, "^", "^$", ".", "hay$", "xyzzy", r"\xff", "e( |n)", "[^ -~]"];
    let mut asked: Vec<Asked> = patterns.iter().map(|pattern| Asked::new(*pattern).flags(flags)).collect();
    asked.push(Asked::new("NEEDLE").or("^hay").or("1234 ").flags(flags));
    asked.push(Asked::new(*b"\xff\xfe").flags(flags));
    asked
}

/// The flag alone, with a literal and a regular expression, and with each flag behind it in the table.
fn combinations(flag: &'static str) -> Vec<Asked> {
    let mut asked = vec![Asked::new("needle").flag(flag), Asked::new(REGEX).flag(flag)];
    let others = FLAGS.iter().skip_while(|other| **other != flag).skip(1);
    asked.extend(others.map(|other| Asked::new("needle").flags(&[flag, other])));
    asked
}

fn odd(asked: Asked) -> Asked {
    asked.at_all(files::troublesome()).at_all(corpus::odd_files())
}

/// Compares with GNU grep, leaving out the files that are binary or not by its buffers.
fn agrees(subject: &Subject, asked: Asked) {
    // Its patterns have no escapes for bytes.
    if asked.query.patterns.iter().any(|pattern| pattern.starts_with(br"\x")) {
        return;
    }
    let files: Vec<PathBuf> = corpus::odd_files();
    let asked = asked.at_all(files.into_iter().filter(|file| !corpus::is_up_to_buffers(file)));
    let counts = matches!(asked.query.report, Report::Count | Report::FilesWithout);
    let asked = asked.at_all(files::troublesome().into_iter().filter(|file| !counts || !files::opens(file)));
    let observed = Observed::of(subject, &asked, &subject.ctx(2));
    gnu::agrees(&asked, &observed, None);
}
