//! The file name of a body. It is derived from the URL in such a way that no URL can choose a
//! directory.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use url::Url;

/// Maximum bytes of a name: file systems allow 255, and a number may be added.
const MAX_NAME: usize = 200;
/// Maximum bytes of an extension; a longer one is part of the name.
const MAX_EXTENSION: usize = 16;

/// The names of Windows devices, which are reserved with any extension.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The names that were assigned in this run. Names that differ only in case are equal, as on some
/// file systems.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// Assigns a unique name to the body of this URL: the second `a.txt` becomes `a-2.txt`.
    pub(super) fn name(&mut self, url: &Url) -> String {
        let wanted = safe(url);
        let mut name = wanted.clone();
        while self.0.contains_key(&name.to_lowercase()) {
            let times = self.0.entry(wanted.to_lowercase()).or_insert(1);
            *times += 1;
            let (stem, extension) = split(&wanted);
            name = format!("{stem}-{times}{extension}");
        }
        self.0.insert(name.to_lowercase(), 1);
        name
    }
}

/// The last non-empty segment of the path, or the host, as a valid file name that is neither hidden
/// nor a device.
fn safe(url: &Url) -> String {
    let segments = url.path_segments().into_iter().flatten();
    let last = segments
        .rev()
        .map(|part| percent_decode_str(part).decode_utf8_lossy())
        .find(|part| !part.trim().is_empty());
    let name = last.unwrap_or_else(|| url.host_str().unwrap_or("index").to_owned().into());
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut name = name.trim_end_matches(['.', ' ']).to_owned();
    let device = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    if name.is_empty() || name.starts_with(['.', '-', ' ']) || RESERVED.contains(&&*device) {
        name.insert(0, '_');
    }
    shortened(name)
}

/// Whether a character is displayed as itself and has no meaning in a file name: no separator, no
/// wildcard, nothing that changes the writing direction.
fn is_plain(c: char) -> bool {
    let turns =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !(c.is_control() || turns || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
}

fn shortened(name: String) -> String {
    if name.len() <= MAX_NAME {
        return name;
    }
    let (stem, extension) = split(&name);
    let most = MAX_NAME - extension.len();
    let end = (0..=most).rev().find(|at| stem.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{extension}", &stem[..end])
}

/// The name without its extension, and the extension with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn of(url: &str) -> String {
        safe(&Url::parse(url).unwrap())
    }

    #[test]
    fn the_last_part_of_the_path_is_the_name() {
        assert_eq!(of("http://h/a/b.txt?c=d#e"), "b.txt");
        assert_eq!(of("http://h/a/"), "a");
        assert_eq!(of("http://h/"), "h");
        assert_eq!(of("http://h/gr%C3%BC%C3%9Fe"), "grüße");
    }

    #[test]
    fn no_url_chooses_a_place() {
        assert_eq!(of("http://h/a/%2e%2e"), "h");
        assert_eq!(of("http://h/%2e%2e%2fetc%2fpasswd"), "_.._etc_passwd");
        assert_eq!(of("http://h/..%5C..%5Cx"), "_.._.._x");
        assert_eq!(of("http://h/a%00b%0Ac"), "a_b_c");
        assert_eq!(of("http://h/.bashrc"), "_.bashrc");
        assert_eq!(of("http://h/-rf"), "_-rf");
        assert_eq!(of("http://h/NUL.txt"), "_NUL.txt");
        assert_eq!(of("http://h/exe%E2%80%AEtxt.a"), "exe_txt.a");
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let name = of(&format!("http://h/{}.tar.gz", "%C3%BC".repeat(300)));
        assert!(name.len() <= MAX_NAME && name.ends_with("ü.gz"), "{name}");
    }

    #[test]
    fn the_same_name_is_numbered() {
        let mut names = Names::default();
        let mut name = |url: &str| names.name(&Url::parse(url).unwrap());
        assert_eq!(name("http://h/a.txt"), "a.txt");
        assert_eq!(name("http://i/A.txt"), "A-2.txt");
        assert_eq!(name("http://j/a-3.txt"), "a-3.txt");
        assert_eq!(name("http://k/a.txt"), "a-4.txt");
    }

    proptest! {
        #[test]
        fn names_are_names_and_differ(paths in prop::collection::vec("[a-cA-C./%\\\\0-3 ]{0,12}", 1..20)) {
            let mut names = Names::default();
            let urls = paths.iter().filter_map(|path| Url::parse(&format!("http://h/{path}")).ok());
            let given: Vec<String> = urls.map(|url| names.name(&url)).collect();
            for name in &given {
                prop_assert!(!name.is_empty() && !name.starts_with('.') && name.len() < 255);
                prop_assert!(!name.contains(['/', '\\', '\0']));
            }
            let different: HashSet<String> = given.iter().map(|name| name.to_lowercase()).collect();
            prop_assert_eq!(different.len(), given.len());
        }
    }
}
