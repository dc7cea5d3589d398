//! Snapshots of the page and the advice of a small report, and properties that every page must
//! have.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;

use cc_report::{Report, choose, verdict};
use scraper::{Html, Selector};
use snapbox::{assert_data_eq, file};

/// The page without its style and its script, one tag per line.
fn body() -> String {
    let page = common::page();
    let (head, after_head) = page.split_once("<style>").unwrap();
    let (_, after_style) = after_head.split_once("</style>").unwrap();
    let (body, _) = after_style.rsplit_once("<script>").unwrap();
    format!("{head}{body}\n").replace("><", ">\n<")
}

#[test]
fn the_page_looks_as_it_did() {
    assert_data_eq!(body(), file!["snapshots/page.html"].raw());
}

#[test]
fn the_advice_reads_as_it_did() {
    assert_data_eq!(choose::text(&common::report()), file!["snapshots/choose.txt"].raw());
}

#[test]
fn the_page_is_well_formed() {
    let errors = Html::parse_document(&common::page()).errors;
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_page_contains_the_complete_source_files() {
    let root = xtask::models::root();
    let report = Report::read(&common::fixture(), &["grep".to_owned()], root).unwrap();
    let page = Html::parse_document(&cc_report::page::html(&report, ""));
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    for file in &report.sources[0].files {
        let lines = Selector::parse(&format!("#code-grep-{} .l", file.model)).unwrap();
        let shown: String = page.select(&lines).flat_map(|line| line.text()).collect();
        let source = std::fs::read_to_string(root.join(&file.path)).unwrap();
        let without_anchors = source.split_inclusive('\n').filter(|line| !line.contains("// ANCHOR"));
        assert_eq!(shown, without_anchors.collect::<String>(), "{}", file.path);
    }
}

/// The values of an attribute, over all elements.
fn all(page: &Html, attribute: &str) -> Vec<String> {
    let selector = Selector::parse(&format!("[{attribute}]")).unwrap();
    page.select(&selector).map(|element| element.attr(attribute).unwrap().to_owned()).collect()
}

#[test]
fn every_link_target_exists_once() {
    let page = Html::parse_document(&common::page());
    let ids = all(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(unique.len(), ids.len(), "an id occurs twice");
    let links = all(&page, "href").into_iter().filter_map(|link| Some(link.strip_prefix('#')?.to_owned()));
    let named = ["aria-labelledby", "data-listing", "for"].into_iter().flat_map(|name| all(&page, name));
    for id in links.chain(named) {
        assert!(unique.contains(id.as_str()), "no element has the id {id}");
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let text = common::page();
    for loads in ["src=", "url(", "@import", "http:", "https:"] {
        assert!(!text.contains(loads), "{loads}");
    }
    let inside = |link: &String| ["#", "data:", "../../"].iter().any(|start| link.starts_with(start));
    let links = all(&Html::parse_document(&text), "href");
    assert!(links.iter().all(inside), "{links:?}");
}

#[test]
fn every_sentence_has_a_figure_or_a_link() {
    let report = common::report();
    let verdicts = report.comparisons.iter().map(verdict::summarize);
    let verdicts = verdicts.flat_map(|verdict| [verdict.headline].into_iter().chain(verdict.sentences));
    let advice = choose::advice(&report).into_iter().flat_map(|advice| advice.sentences);
    for sentence in verdicts.chain(advice) {
        assert!(sentence.contains(|c: char| c.is_ascii_digit()) || sentence.contains("]("), "{sentence}");
    }
}

/// The colours of the style sheet by name, each in the light and the dark theme.
fn colours() -> Vec<(String, [u32; 2])> {
    let style = include_str!("../src/style.css");
    let mut class = String::new();
    let mut colours = Vec::new();
    for line in style.lines() {
        class = line.split_once(" {").map_or(class, |(class, _)| class.to_owned());
        let Some((before, pair)) = line.split_once("light-dark(") else { continue };
        let pair: Vec<u32> = pair.split(['#', ',', ')']).filter_map(hex).collect();
        let name = before.trim().trim_end_matches(':').rsplit([' ', ':']).find(|word| !word.is_empty());
        let name = name.filter(|name| name.starts_with("--") && *name != "--c").unwrap_or(&class);
        colours.push((name.to_owned(), [pair[0], pair[1]]));
    }
    colours
}

fn hex(text: &str) -> Option<u32> {
    let long: String = text.chars().flat_map(|c| [c, c]).collect();
    match text.len() {
        6 => u32::from_str_radix(text, 16).ok(),
        3 => u32::from_str_radix(&long, 16).ok(),
        _ => None,
    }
}

/// The contrast ratio of two colours, as WCAG defines it.
fn contrast(one: u32, other: u32) -> f64 {
    let channel = |colour: u32, shift: u32| {
        let part = f64::from((colour >> shift) & 255) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let light = |c: u32| 0.2126 * channel(c, 16) + 0.7152 * channel(c, 8) + 0.0722 * channel(c, 0);
    let (one, other) = (light(one) + 0.05, light(other) + 0.05);
    one.max(other) / one.min(other)
}

#[test]
fn text_and_marks_stand_out() {
    let colours = colours();
    let find = |name: &str| colours.iter().find(|(found, _)| found == name).expect(name).1;
    let text = ["--ink", "--quiet", "--link", ".c", ".k", ".t", ".f", ".s"];
    let text =
        text.iter().flat_map(|text| ["--paper", "--gone", "--come"].map(|ground| (*text, ground, 4.5)));
    let raised = ["--ink", "--quiet"].map(|text| (text, "--raised", 4.5));
    let marks =
        [".m0", ".m1", ".m2", ".m3", ".m4", ".m5", ".m6", ".m7", ".mt"].map(|mark| (mark, "--paper", 3.0));
    let kernels = [".w0", ".w1", ".w2", ".w3", ".w4", ".w5", ".w6", ".w7"]
        .into_iter()
        .flat_map(|bar| ["--paper", "--idle"].map(|ground| (bar, ground, 3.0)));
    for (one, ground, least) in
        text.chain(raised).chain(marks).chain(kernels).chain([("--shared", "--paper", 4.5)])
    {
        for theme in 0..2 {
            let found = contrast(find(one)[theme], find(ground)[theme]);
            assert!(found >= least, "{one} on {ground}, {}: {found:.2}", ["light", "dark"][theme]);
        }
    }
}
