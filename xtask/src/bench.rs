//! `cargo xtask bench [OPTION...] [PATH...]`: how fast the parallel engine is, as ratios of
//! sequential times, each row measured by several processes of interleaved rounds.
//!
//! Placement in memory and on cores moves one process by several percent, so that one process
//! proves little. The rows take turns, so that a loud minute hits all of them, and the median over
//! the processes is what counts. A process whose machine check fails is left out where a quiet one
//! is there, and its row is marked as loud where none is.

use crate::replay::{self, BLOCKS};
use serde_json::{Value, json};
use std::{
    fs,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    process::Stdio,
};

/// Below this throughput of two runs at once, over that of one, the machine is loud.
const QUIET: f64 = 1.95;
/// What, of which kind, and how many make a thousand million gas.
const GIGAGAS: [(&str, &str, &str); 3] = [
    ("payments", "transfers=1", "47000"),
    ("ERC-20 transfers", "erc20=1", "19600"),
    ("swaps", "swaps=1", "14700"),
];
/// What conflicts and costs are predicted from, and what is turned off for it.
const PREDICTION: [(&str, &[&str]); 6] = [
    ("nothing", &["learning", "sender-chains", "long-first", "chain-prediction"]),
    ("gas limits", &["learning", "sender-chains", "chain-prediction"]),
    ("senders", &["learning", "long-first", "chain-prediction"]),
    ("gas limits and senders", &["learning", "chain-prediction"]),
    ("the block alone", &["learning"]),
    ("the blocks before it", &[]),
];
const USAGE: &str = "usage: cargo xtask bench [OPTION...] [PATH...]

  --processes N    processes of each row (5)
  --rounds N       interleaved rounds in each process (9)
  --threads N      threads of the parallel side (2)
  --ablation       also a row without each optimisation, and one without all
  --rows TEXT      only rows whose name contains this; may be given several times
  --json           one JSON object a row
  --markdown FILE  also write the table there

PATH: recorded blocks; without one those of ../shared/mainnet, where they are there.";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    processes: usize,
    rounds: usize,
    threads: usize,
    ablation: bool,
    wanted: Vec<String>,
    json: bool,
    markdown: Option<PathBuf>,
    paths: Vec<String>,
}

impl Plan {
    fn parse(args: &[&str]) -> Result<Self, String> {
        let mut plan = Self {
            processes: 5,
            rounds: 9,
            threads: 2,
            ablation: false,
            wanted: Vec::new(),
            json: false,
            markdown: None,
            paths: Vec::new(),
        };
        let mut args = args.iter().copied();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg {
                "--processes" => plan.processes = count(arg, value()?)?,
                "--rounds" => plan.rounds = count(arg, value()?)?,
                "--threads" => plan.threads = count(arg, value()?)?,
                "--ablation" => plan.ablation = true,
                "--rows" => plan.wanted.push(value()?.to_owned()),
                "--json" => plan.json = true,
                "--markdown" => plan.markdown = Some(value()?.into()),
                "--help" | "-h" => {
                    return Err("measures parallel against sequential execution".into());
                }
                option if option.starts_with('-') => {
                    return Err(format!("{option}: no such option"));
                }
                path => plan.paths.push(path.to_owned()),
            }
        }
        if plan.paths.is_empty() && Path::new(BLOCKS).is_dir() {
            plan.paths.push(BLOCKS.to_owned());
        }
        Ok(plan)
    }

    /// The rows without single optimisations, on so many threads.
    fn ablated(&self, many: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        for without in [
            "commutative-balances",
            "hot-accounts",
            "long-first",
            "sender-chains",
            "payment-runs",
            "chain-prediction",
            "revalidate",
            "learning",
            "shared-checks",
            "endomorphism",
            "hashes",
            "all",
        ] {
            let args = ["--threads", many, "--by-pass", "--warm", "--without", without];
            rows.push(self.recorded(format!("{many} threads, without {without}"), &args));
        }
        for (known, without) in PREDICTION {
            let mut args = vec!["--threads", many, "--by-pass"];
            args.extend(without.iter().flat_map(|name| ["--without", name]));
            rows.push(self.recorded(format!("{many} threads, predicted from {known}"), &args));
        }
        let slow = ["--threads", "16", "--read-latency", "50", "--without", "run-ahead"];
        rows.push(self.recorded("16 threads, reads of 50 us, without run-ahead".to_owned(), &slow));
        rows
    }

    /// A row of the recorded blocks.
    fn recorded(&self, name: String, extra: &[&str]) -> Row {
        let extra = extra.iter().map(|arg| (*arg).to_owned());
        Row::new(name, extra.chain(self.paths.iter().cloned()))
    }

    /// The rows of the table: a name, and what `braid replay` is told.
    fn rows(&self) -> Vec<Row> {
        let many = self.threads.to_string();
        let mut rows = Vec::new();
        if !self.paths.is_empty() {
            let flat = ["--threads", &many, "--by-pass"];
            rows.push(self.recorded(format!("{many} threads, flat"), &flat));
            let warm = [&flat[..], &["--warm"]].concat();
            rows.push(self.recorded("the same, contracts known".to_owned(), &warm));
            let bundle = [&flat[..], &["--output", "bundle"]].concat();
            rows.push(self.recorded(format!("{many} threads, bundle"), &bundle));
            let turns = ["--threads", &many];
            rows.push(self.recorded(format!("{many} threads, flat, workers asleep"), &turns));
            let one = ["--threads", "1", "--forced", "--by-pass"];
            rows.push(self.recorded("1 thread, forced".to_owned(), &one));
            let import = ["--threads", &many, "--import", "--by-pass"];
            rows.push(self.recorded(format!("{many} threads, from RLP to verified"), &import));
        }
        if !self.paths.is_empty() {
            let slow = ["--threads", "16", "--read-latency", "50"];
            rows.push(self.recorded("16 threads, reads of 50 us".to_owned(), &slow));
            let listed = [&slow[..], &["--access-list"]].concat();
            rows.push(self.recorded("the same, with access lists".to_owned(), &listed));
        }
        for (name, more) in
            [("one block after the other", &["--without", "pipelining"][..]), ("as a range", &[])]
        {
            let args = ["--threads", &many, "--range", "--blocks", "100"];
            let args = args.iter().chain(more).map(|arg| (*arg).to_owned());
            rows.push(Row::new(format!("100 blocks of the built-in workload, {name}"), args));
        }
        for (name, contention) in [("without contention", "0"), ("fully serial", "1")] {
            let args = ["--threads", &many, "--contention", contention, "--by-pass"];
            let args = args.map(str::to_owned);
            rows.push(Row::new(format!("built-in workload, {name}"), args));
        }
        for (name, mix, transactions) in GIGAGAS {
            let args = ["--threads", &many, "--contention", "0", "--blocks", "1"];
            let what = ["--mix", mix, "--transactions", transactions];
            let args = args.into_iter().chain(what).map(str::to_owned);
            rows.push(Row::new(format!("a gigagas of {name} without contention"), args));
        }
        if self.ablation && !self.paths.is_empty() {
            rows.extend(self.ablated(&many));
        }
        rows.retain(|row| {
            self.wanted.is_empty() || self.wanted.iter().any(|part| row.name.contains(part))
        });
        rows
    }
}

fn count(option: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("{option} {value}: a number of at least 1 is wanted")),
        Ok(count) => Ok(count),
    }
}

/// One row: what is run, and the summaries of its processes.
struct Row {
    name: String,
    args: Vec<String>,
    summaries: Vec<Value>,
}

impl Row {
    fn new(name: String, args: impl IntoIterator<Item = String>) -> Self {
        Self { name, args: args.into_iter().collect(), summaries: Vec::new() }
    }

    /// One more process.
    fn measure(&mut self, rounds: usize) -> Result<(), String> {
        let rounds = rounds.to_string();
        let mut args = vec!["--rounds", &rounds];
        args.extend(self.args.iter().map(String::as_str));
        self.summaries.push(replay::summary(&args, Stdio::null())?);
        Ok(())
    }

    /// The figures of the row, over its quiet processes if there are any.
    fn figures(&self) -> Figures {
        let number = |summary: &Value, key: &str| summary[key].as_f64().unwrap_or(f64::NAN);
        let check = |summary: &Value| summary["machine_check"].as_f64();
        let quiet: Vec<&Value> = self
            .summaries
            .iter()
            .filter(|summary| check(summary).is_some_and(|check| check >= QUIET))
            .collect();
        let loud = quiet.is_empty();
        let counted = if loud { self.summaries.iter().collect() } else { quiet };
        let middle = |key: &str| median(counted.iter().map(|one| number(one, key)).collect());
        let spread = |key: &str| {
            let values = counted.iter().map(|one| number(one, key));
            let (low, high) = values
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), one| {
                    (low.min(one), high.max(one))
                });
            (low, high)
        };
        Figures {
            counted: counted.len(),
            loud,
            stock_total: middle("stock_total"),
            bare_total: middle("bare_total"),
            bare_spread: spread("bare_total"),
            bare_geomean: middle("bare_geomean"),
            bare_min: middle("bare_min"),
            executions: middle("executions_per_tx"),
            noise: spread("noise").1,
            round_trip_ns: middle("round_trip_ns"),
        }
    }
}

/// Medians over the counted processes of a row.
struct Figures {
    counted: usize,
    loud: bool,
    stock_total: f64,
    bare_total: f64,
    /// The least and the largest over the processes.
    bare_spread: (f64, f64),
    bare_geomean: f64,
    bare_min: f64,
    executions: f64,
    /// The largest difference of bare against itself.
    noise: f64,
    /// Of a cache line between two cores.
    round_trip_ns: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Measures and prints.
pub(crate) fn run(args: &[&str]) -> bool {
    let plan = match Plan::parse(args) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return false;
        }
    };
    if !replay::build() {
        return false;
    }
    if plan.paths.is_empty() {
        eprintln!("{BLOCKS} is not there: only the built-in workload is measured");
    }
    let mut rows = plan.rows();
    if rows.is_empty() {
        eprintln!("no row's name contains {}", plan.wanted.join(" or "));
        return false;
    }
    for process in 0..plan.processes {
        for row in &mut rows {
            if stderr().is_terminal() {
                eprint!("\r\x1b[Kprocess {} of {}: {}", process + 1, plan.processes, row.name);
            }
            if let Err(error) = row.measure(plan.rounds) {
                eprintln!("\n{error}");
                return false;
            }
        }
    }
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let table = table(&rows, plan.rounds);
    if plan.json {
        rows.iter().for_each(|row| println!("{}", json_row(row, plan.rounds)));
    } else {
        print!("{table}");
    }
    match &plan.markdown {
        None => true,
        Some(file) => fs::write(file, table)
            .inspect_err(|error| eprintln!("{}: {error}", file.display()))
            .is_ok(),
    }
}

fn json_row(row: &Row, rounds: usize) -> Value {
    let figures = row.figures();
    json!({
        "row": row.name,
        "replay": row.args,
        "rounds": rounds,
        "processes": row.summaries.len(),
        "counted": figures.counted,
        "loud": figures.loud,
        "stock_total": figures.stock_total,
        "bare_total": figures.bare_total,
        "bare_total_least": figures.bare_spread.0,
        "bare_total_largest": figures.bare_spread.1,
        "bare_geomean": figures.bare_geomean,
        "bare_min": figures.bare_min,
        "executions_per_tx": figures.executions,
        "noise": figures.noise,
        "round_trip_ns": figures.round_trip_ns,
    })
}

/// The table in Markdown, which is readable as it stands.
fn table(rows: &[Row], rounds: usize) -> String {
    let mut table = String::from(
        "| | of stock | of bare | least to largest | geometric mean | worst block | runs per \
         transaction | noise | round trip | processes |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let f = row.figures();
        let (low, high) = f.bare_spread;
        let processes = if f.loud {
            format!("{}, LOUD", f.counted)
        } else {
            format!("{} of {}", f.counted, row.summaries.len())
        };
        table += &format!(
            "| {} | {:.2} | {:.2} | {low:.2} to {high:.2} | {:.2} | {:.2} | {:.3} | {:.1} % | \
             {:.2} us | {processes} |\n",
            row.name,
            f.stock_total,
            f.bare_total,
            f.bare_geomean,
            f.bare_min,
            f.executions,
            f.noise * 100.0,
            f.round_trip_ns / 1000.0,
        );
    }
    table
        + &format!(
            "\nSequential time over parallel time; medians over processes of {rounds} interleaved \
         rounds each. Noise: bare against itself, the largest. Round trip: of a cache line between \
         two cores.\n"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn arguments_are_checked() {
        assert!(Plan::parse(&["--rounds", "0"]).is_err());
        assert!(Plan::parse(&["--rounds"]).is_err());
        assert!(Plan::parse(&["--round", "3"]).is_err());
        let plan = Plan::parse(&["--processes", "2", "--ablation", "blocks"]).unwrap();
        assert_eq!((plan.processes, plan.rounds), (2, 9));
        assert_eq!(plan.paths, ["blocks"]);
        assert_eq!(plan.rows().len(), 34);
        let plan = Plan::parse(&["--rows", "gigagas", "--rows", "serial"]).unwrap();
        assert_eq!(plan.rows().len(), 4);
    }

    #[test]
    fn loud_processes_count_only_where_there_is_no_quiet_one() {
        let summary = |total: f64, check: f64| -> Value {
            json!({ "bare_total": total, "machine_check": check, "noise": 0.01 })
        };
        let mut row = Row::new("row".to_owned(), []);
        row.summaries = vec![summary(1.0, 1.5), summary(1.4, 2.0), summary(1.6, 1.99)];
        let figures = row.figures();
        assert_eq!((figures.counted, figures.loud, figures.bare_total), (2, false, 1.5));
        row.summaries.truncate(1);
        let figures = row.figures();
        assert_eq!((figures.counted, figures.loud, figures.bare_total), (1, true, 1.0));
    }
}
