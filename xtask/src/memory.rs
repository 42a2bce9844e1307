//! `cargo xtask memory [PATH...]`: the peak memory of a replay, parallel against sequential, each
//! in processes of its own, in turn; the median counts, because when the allocator returns memory
//! differs from process to process.

use crate::replay::{self, BLOCKS};
use serde_json::Value;
use std::{path::Path, process::Stdio};

/// Parallel execution may take this much more than stock, in hundredths.
const LIMIT: u64 = 150;
const SIDES: [&str; 3] = ["stock", "bare", "parallel"];
/// Processes of each side.
const PROCESSES: usize = 5;

/// Whether the parallel replay stays within the limit.
pub(crate) fn check(paths: &[&str]) -> bool {
    if !replay::build() {
        return false;
    }
    let mut inputs = paths.to_vec();
    if inputs.is_empty() && Path::new(BLOCKS).is_dir() {
        inputs.push(BLOCKS);
    }
    println!("{:>10} {:>7} {:>15} {:>27}", "side", "blocks", "peak MiB", "growth in one block MiB");
    let mut found = SIDES.map(|_| Vec::with_capacity(PROCESSES));
    for _ in 0..PROCESSES {
        for (side, found) in SIDES.into_iter().zip(&mut found) {
            let Some(measured) = measure(side, &inputs) else { return false };
            found.push(measured);
        }
    }
    let peaks = found.map(|mut measured| {
        measured.sort_unstable();
        measured[PROCESSES / 2]
    });
    for (side, Measured { peak, growth, blocks }) in SIDES.into_iter().zip(&peaks) {
        let mebibytes = |bytes: &u64| *bytes as f64 / f64::from(1 << 20);
        println!("{side:>10} {blocks:>7} {:>15.1} {:>27.1}", mebibytes(peak), mebibytes(growth));
    }
    let [stock, _, parallel] = peaks;
    let hundredths = parallel.peak * 100 / stock.peak.max(1);
    let (whole, part) = (hundredths / 100, hundredths % 100);
    println!("parallel / stock: {whole}.{part:02} (at most {}.{})", LIMIT / 100, LIMIT % 100);
    hundredths <= LIMIT
}

/// What one process tells; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Measured {
    peak: u64,
    /// In one block, at most.
    growth: u64,
    blocks: u64,
}

fn measure(side: &str, inputs: &[&str]) -> Option<Measured> {
    let mut args = vec!["--forced", "--threads", "4", "--rounds", "3", "--only", side];
    args.extend(inputs);
    let summary = replay::summary(&args, Stdio::inherit());
    let summary = summary.inspect_err(|error| eprintln!("{error}")).ok()?;
    let number = |key: &str| {
        let found = number(&summary, key);
        if found.is_none() {
            eprintln!("{key} is not known here: {summary}");
        }
        found
    };
    let (peak, growth) = (number("peak_bytes")?, number("growth_bytes")?);
    Some(Measured { peak, growth, blocks: number("blocks")? })
}

/// The number under a key, where there is one.
fn number(summary: &Value, key: &str) -> Option<u64> {
    summary[key].as_u64()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_found_under_their_keys() {
        let json = r#"{"blocks":50,"growth_bytes":7,"peak_bytes":null}"#;
        let json = serde_json::from_str(json).unwrap();
        assert_eq!(number(&json, "blocks"), Some(50));
        assert_eq!(number(&json, "growth_bytes"), Some(7));
        assert_eq!(number(&json, "peak_bytes"), None);
    }
}
