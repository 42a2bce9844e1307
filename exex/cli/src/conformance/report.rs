//! The report of `braid test`: each case that did not pass, then the counts.

use super::{CaseResult, Verdict};
use crate::exit::Exit;
use serde_json::json;
use std::collections::BTreeMap;

/// Collects verdicts; failures are printed at once, skips by reason at the end.
pub(super) struct Report {
    json: bool,
    exit: Exit,
    passed: usize,
    failed: usize,
    skipped: BTreeMap<String, Vec<String>>,
}

impl Report {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, exit: Exit::Fine, passed: 0, failed: 0, skipped: BTreeMap::new() }
    }

    /// An input, or a case of it, that could not be read.
    pub(super) fn unreadable(&mut self, error: &str) {
        eprintln!("braid test: {error}");
        self.exit = self.exit.max(Exit::Unreadable);
    }

    pub(super) fn case(&mut self, result: &CaseResult) {
        let (kind, reason) = match &result.verdict {
            Verdict::Passed => {
                self.passed += 1;
                return;
            }
            Verdict::Failed(reason) => {
                self.failed += 1;
                self.exit = self.exit.max(Exit::Mismatch);
                ("failed", reason)
            }
            Verdict::Skipped(reason) => {
                let cases = self.skipped.entry(general(reason)).or_default();
                cases.push(format!("{} {}", result.file, result.case));
                ("skipped", reason)
            }
        };
        if self.json {
            println!(
                "{}",
                json!({"file": result.file, "case": result.case, "result": kind, "reason": reason})
            );
        } else if kind == "failed" {
            println!("FAILED  {} {}\n        {reason}", result.file, result.case);
        }
    }

    pub(super) fn finish(self) -> Exit {
        let skipped: usize = self.skipped.values().map(Vec::len).sum();
        let cases = self.passed + self.failed + skipped;
        if self.json {
            println!(
                "{}",
                json!({"summary": true, "cases": cases, "passed": self.passed,
                    "failed": self.failed, "skipped": skipped})
            );
            return self.exit;
        }
        for (reason, cases) in &self.skipped {
            println!("SKIPPED {:>6}  {reason}", cases.len());
            println!("                first: {}", cases[0]);
        }
        println!(
            "{cases} cases: {} passed, {} failed, {skipped} skipped",
            self.passed, self.failed
        );
        self.exit
    }
}

/// A reason without its figures and hashes, so that like cases are counted together.
fn general(reason: &str) -> String {
    let words = reason.split(' ').map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let figure = bare.starts_with("0x") || bare.bytes().all(|byte| byte.is_ascii_digit());
        if figure && !bare.is_empty() { word.replace(bare, "N") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn reasons_are_grouped_without_their_figures() {
        assert_eq!(general("block 3: slot 0xab, is 7 (x86)"), "block N: slot N, is N (x86)");
    }
}
