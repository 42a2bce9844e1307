//! `cargo xtask memory [PATH...]`: the peak memory of a replay, parallel against sequential, each
//! in a process of its own.

use crate::replay::{self, BLOCKS};
use serde_json::Value;
use std::{path::Path, process::Stdio};

/// Parallel execution may take this much more than stock, in hundredths.
const LIMIT: u64 = 150;
const SIDES: [&str; 3] = ["stock", "bare", "parallel"];

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
    let mut peaks = Vec::new();
    for side in SIDES {
        let Some((blocks, peak, growth)) = measure(side, &inputs) else { return false };
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!("{side:>10} {blocks:>7} {:>15.1} {:>27.1}", mebibytes(peak), mebibytes(growth));
        peaks.push(peak);
    }
    let hundredths = peaks[2] * 100 / peaks[0].max(1);
    let (whole, part) = (hundredths / 100, hundredths % 100);
    println!("parallel / stock: {whole}.{part:02} (at most {}.{})", LIMIT / 100, LIMIT % 100);
    hundredths <= LIMIT
}

/// Blocks, peak and growth in bytes of one side.
fn measure(side: &str, inputs: &[&str]) -> Option<(u64, u64, u64)> {
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
    Some((number("blocks")?, number("peak_bytes")?, number("growth_bytes")?))
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
