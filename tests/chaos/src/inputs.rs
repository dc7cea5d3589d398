//! The inputs of the programs. They are small, so that a run takes tens of milliseconds.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::{
    judge::{Expected, Order},
    programs::Programs,
};

/// The contents of a directory: paths below it, and the content of each file.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// In a case's arguments, stands for the output directory of the run.
pub(crate) const OUT: &str = "{out}";

/// A command line, and its expected result.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) workload: &'static str,
    /// The arguments after the workload's name.
    pub(crate) args: Vec<String>,
    /// The content of the output directory before the run, and after a failed run.
    pub(crate) old: Files,
    /// The reference's result. `None` for `kv`, whose clients know which replies are right.
    pub(crate) expected: Option<Expected>,
}

/// The inputs of all runs, and the origin of `fetch`.
pub(crate) struct Inputs {
    /// The current directory of every run.
    pub(crate) dir: PathBuf,
    pub(crate) origin: Child,
}

impl Inputs {
    pub(crate) fn make(dir: &Path, programs: &Programs) -> Result<Self> {
        let mut random = Rng::with_seed(1);
        for number in 0..80 {
            write(dir, &format!("tree/{}/{number}.txt", number % 7), text(&mut random, 18_000).as_bytes())?;
        }
        for number in 0..6 {
            write(dir, &format!("text/{number}.txt"), text(&mut random, 100_000).as_bytes())?;
            write(dir, &format!("photographs/{number}.png"), &image(&mut random, 120, 90)?)?;
        }
        write(dir, "lines", text(&mut random, 2_500_000).as_bytes())?;
        let origin = origin(&programs.peers, &dir.join("urls"))?;
        Ok(Self { dir: dir.to_owned(), origin })
    }

    /// The command lines. Each is run in every model.
    pub(crate) fn cases() -> Vec<Case> {
        let result = || Files::from([("result".into(), b"what was there before\n".to_vec())]);
        let out = |name: &str| format!("{OUT}/{name}");
        vec![
            Case::new("grep", &["-rn", "th", "tree"], Files::new()),
            Case::new("resize", &["-r", "--width", "48", "--out", OUT, "photographs"], Files::new()),
            Case::new(
                "mandelbrot",
                &["--size", "96x96", "--max-iter", "300", "--out", &out("result")],
                result(),
            ),
            Case::new("wordcount", &["-r", "text"], Files::new()),
            Case::new("sort", &["-S", "1M", "lines"], Files::new()),
            Case::new("sort", &["-S", "1M", "-o", &out("result"), "lines"], result()),
            Case::new("fetch", &["--no-times", "--retries", "1", "--out", OUT, "-i", "urls"], Files::new()),
            Case::new("kv", &["--listen", "127.0.0.1:0"], Files::new()),
        ]
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        // Fails if the origin has ended.
        let _ = self.origin.kill();
        let _ = self.origin.wait();
    }
}

impl Case {
    fn new(workload: &'static str, args: &[&str], old: Files) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { workload, args, old, expected: None }
    }

    /// The order of the output's lines.
    pub(crate) fn order(&self) -> Order {
        match self.workload {
            "resize" | "fetch" => Order::Any,
            _ => Order::Same,
        }
    }

    /// Whether each line of a failed run must be a line of the reference. Counts differ if a file
    /// could not be read.
    pub(crate) fn lines_are_final(&self) -> bool {
        matches!(self.workload, "grep" | "resize" | "sort")
    }
}

fn write(dir: &Path, name: &str, contents: &[u8]) -> Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
    fs::write(&path, contents).with_context(|| path.display().to_string())
}

/// Lines of words, a few of which are frequent.
fn text(random: &mut Rng, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 80);
    while text.len() < bytes {
        let words = random.usize(1..12);
        let line: Vec<String> = (0..words).map(|_| word(random)).collect();
        text += &line.join(" ");
        text.push('\n');
    }
    text
}

fn word(random: &mut Rng) -> String {
    let most = random.usize(1..400);
    let rank = random.usize(1..=most);
    let syllables = ["th", "ar", "e", "in", "so", "k", "um"];
    let digits = [rank % 7, rank / 7 % 7, rank / 49 % 7];
    digits.map(|digit| syllables[digit]).concat()
}

/// A picture of noise, as PNG.
fn image(random: &mut Rng, width: u32, height: u32) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..width * height * 3).map(|_| random.u8(..)).collect();
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}

/// Starts the origin, and writes the list of its resources. The URLs have a host name, so that
/// there is one to look up.
fn origin(peers: &Path, list: &Path) -> Result<Child> {
    let mut command = Command::new(peers);
    command.args(["origin", "--listen", "127.0.0.1:0", "--size", "3000"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("it is piped")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening at ").context("the origin has ended")?;
    let port = address.rsplit_once(':').context("an address has a port")?.1;
    let urls: String = (0..12).map(|number| format!("http://localhost:{port}/plain/{number}\n")).collect();
    fs::write(list, urls)?;
    Ok(child)
}

/// Everything below a directory. Entries that are not files have no contents.
pub(crate) fn files(dir: &Path) -> Result<Files> {
    let mut found = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let contents = if path.is_file() { fs::read(&path)? } else { Vec::new() };
                found.insert(path.strip_prefix(dir)?.to_owned(), contents);
            }
        }
    }
    Ok(found)
}
