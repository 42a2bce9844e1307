//! Figures against committed ones.
//!
//! Every figure is such that less is better, and its name begins with its group, which tells by how
//! much it may differ. The tolerances come from what repeated measurements showed
//! (`docs/performance.md`).

use super::measure::{Figure, Measured};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a figure may be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// At most this, whatever is committed: the engine promises it.
    Promise(f64),
    /// At most this much more than the committed figure, as a part of it.
    Tolerance(f64),
}

/// The bound of a figure, by its group and what is left of its name.
fn bound(name: &str) -> Bound {
    let (group, rest) = name.split_once(": ").unwrap_or((name, ""));
    match group {
        // One read of each location; what stale runs ask for may add a little.
        "reads" => Bound::Promise(1.01),
        "repeated reads" => Bound::Promise(1.0),
        // How two threads meet decides: where each depends on the one before, it decides most.
        "executions" if rest.ends_with("contention 0") => Bound::Tolerance(0.005),
        "executions" if rest.ends_with("contention 1") => Bound::Tolerance(0.04),
        "executions" => Bound::Tolerance(0.02),
        // The engine's counts differ by less than 0.1 %, those of bare, whose maps are seeded anew
        // for each block, by 0.5 %.
        "instructions" if rest.ends_with("engine") => Bound::Tolerance(0.01),
        "instructions" => Bound::Tolerance(0.02),
        // The same blocks give the same figure.
        _ => Bound::Tolerance(0.001),
    }
}

/// The figures of the repository.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Committed {
    /// What compiled the program whose instructions were counted.
    pub(crate) compiler: String,
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Committed {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let compiler = json["compiler"].as_str().ok_or("\"compiler\" is missing, or no text")?;
        let figures = json["figures"].as_object().ok_or("\"figures\" is missing, or no object")?;
        let number = |(name, value): (&String, &Value)| {
            let value = value.as_f64().ok_or_else(|| format!("{name}: {value} is no number"))?;
            Ok((name.clone(), value))
        };
        let figures = figures.iter().map(number).collect::<Result<_, String>>()?;
        Ok(Self { compiler: compiler.to_owned(), figures })
    }

    /// Takes over what was measured, and drops what is no longer.
    pub(crate) fn take(&mut self, measured: &Measured) {
        self.figures.retain(|name, _| measured.skipped(name).is_some());
        for (name, figure) in &measured.figures {
            if matches!(bound(name), Bound::Tolerance(_)) && measured.skipped(name).is_none() {
                self.figures.insert(name.clone(), rounded(figure.median));
            }
        }
    }
}

/// Six digits are more than any figure has.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// What the comparison says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the bound.
    Same,
    Better,
    Worse,
    /// Found, and not committed.
    New,
    /// Committed, and not found.
    Gone,
    /// Not measured, for this reason.
    Skipped(String),
}

impl Verdict {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Same => "ok",
            Self::Better => "BETTER",
            Self::Worse => "WORSE",
            Self::New => "NEW",
            Self::Gone => "GONE",
            Self::Skipped(_) => "SKIPPED",
        }
    }
}

/// A figure beside the committed one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) committed: Option<f64>,
    pub(crate) figure: Option<Figure>,
    /// The most that it may be.
    pub(crate) limit: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// Compares all of them, by name.
pub(crate) fn compare(committed: &Committed, measured: &Measured) -> Vec<Compared> {
    let names: BTreeSet<&String> =
        committed.figures.keys().chain(measured.figures.keys()).collect();
    let one = |name: &String| {
        let reference = committed.figures.get(name).copied();
        let skipped = measured.skipped(name).map(str::to_owned);
        let figure = measured.figures.get(name).copied().filter(|_| skipped.is_none());
        let limit = match (bound(name), reference) {
            (Bound::Promise(most), _) => Some(most),
            (Bound::Tolerance(tolerance), Some(value)) => Some(value * (1.0 + tolerance)),
            (Bound::Tolerance(_), None) => None,
        };
        let verdict = match (skipped, figure) {
            (Some(reason), _) => Verdict::Skipped(reason),
            (None, None) => Verdict::Gone,
            (None, Some(figure)) => verdict(name, figure.median, reference, limit),
        };
        Compared { name: name.clone(), committed: reference, figure, limit, verdict }
    };
    names.into_iter().map(one).collect()
}

fn verdict(name: &str, found: f64, reference: Option<f64>, limit: Option<f64>) -> Verdict {
    let Some(limit) = limit else { return Verdict::New };
    // What is not a number is not within a limit either.
    if found.is_nan() || found > limit {
        return Verdict::Worse;
    }
    match (bound(name), reference) {
        (Bound::Tolerance(tolerance), Some(value)) if found < value * (1.0 - tolerance) => {
            Verdict::Better
        }
        _ => Verdict::Same,
    }
}

impl Compared {
    pub(crate) fn found(&self) -> Option<f64> {
        self.figure.map(|figure| figure.median)
    }

    /// Whether the gate lets it through.
    pub(crate) const fn passes(&self) -> bool {
        !matches!(self.verdict, Verdict::Worse | Verdict::Gone)
    }

    /// Whether it is worse than what no blessing can change.
    pub(crate) fn breaks_promise(&self) -> bool {
        self.verdict == Verdict::Worse && matches!(bound(&self.name), Bound::Promise(_))
    }

    /// What is to be said about it, with the next step.
    pub(crate) fn message(&self) -> Option<String> {
        let name = &self.name;
        let show = |value: Option<f64>| value.map_or_else(|| "nothing".to_owned(), short);
        let [committed, found, limit] = [self.committed, self.found(), self.limit].map(show);
        let spread = self.figure.filter(|figure| figure.least < figure.largest);
        let spread = spread.map_or_else(String::new, |figure| {
            format!(" ({} to {})", short(figure.least), short(figure.largest))
        });
        match &self.verdict {
            Verdict::Worse if self.breaks_promise() => Some(format!(
                "gate: {name}: FAILED: expected at most {limit}, found {found}{spread}; the engine \
                 promises this: find the change that broke it (`git bisect run cargo xtask gate`)"
            )),
            Verdict::Worse => Some(format!(
                "gate: {name}: FAILED: expected {committed} and at most {limit}, found \
                 {found}{spread}; undo what made it worse, or where that is the price of \
                 something, run `cargo xtask gate --bless`, commit {COMMITTED} and say why",
                COMMITTED = super::COMMITTED
            )),
            Verdict::Gone => Some(format!(
                "gate: {name}: FAILED: expected {committed}, found nothing: it is no longer \
                 measured; where that is meant, run `cargo xtask gate --bless`"
            )),
            Verdict::Better => Some(format!(
                "gate: {name}: better: committed {committed}, found {found}{spread}; `cargo xtask \
                 gate --bless` keeps it so{}",
                self.caution()
            )),
            Verdict::New => Some(format!(
                "gate: {name}: new, found {found}{spread}; `cargo xtask gate --bless` commits it"
            )),
            Verdict::Same | Verdict::Skipped(_) => None,
        }
    }

    /// What a busy machine pretends.
    fn caution(&self) -> &'static str {
        if self.name.starts_with("executions") {
            ", but only on an idle machine: a starved thread makes no wrong guesses"
        } else {
            ""
        }
    }

    /// Old and new, where a blessing changes it.
    pub(crate) fn change(&self) -> Option<String> {
        if matches!(self.verdict, Verdict::Skipped(_))
            || !matches!(bound(&self.name), Bound::Tolerance(_))
        {
            return None;
        }
        let new = self.found().map(rounded);
        if new == self.committed {
            return None;
        }
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        let caution = if new < self.committed { self.caution() } else { "" };
        let [old, new] = [self.committed, new].map(show);
        Some(format!("bless: {}: {old} -> {new}{caution}", self.name))
    }

    pub(crate) fn json(&self) -> Value {
        let reason = match &self.verdict {
            Verdict::Skipped(reason) => Some(reason),
            _ => None,
        };
        json!({
            "figure": self.name,
            "committed": self.committed,
            "found": self.found(),
            "least": self.figure.map(|figure| figure.least),
            "largest": self.figure.map(|figure| figure.largest),
            "limit": self.limit,
            "verdict": self.verdict.name().to_lowercase(),
            "reason": reason,
        })
    }
}

/// A figure as people read it: large ones are counts.
pub(crate) fn short(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests;
