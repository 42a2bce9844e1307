//! `cargo xtask memory [PATH...]`: the peak memory of a replay, parallel against sequential, each
//! in a process of its own.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Parallel execution may take this much more than stock, in hundredths.
const LIMIT: u64 = 150;
/// Recorded blocks, where they are there.
const BLOCKS: &str = "../shared/mainnet";
const SIDES: [&str; 3] = ["stock", "bare", "parallel"];

/// Whether the parallel replay stays within the limit.
pub(crate) fn check(paths: &[&str]) -> bool {
    if !super::cargo(&["build", "--release", "-p", "braid-cli"], ("RUSTDOCFLAGS", "")) {
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
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let binary = Path::new(&target).join("release/braid");
    let mut command = Command::new(binary);
    command.args(["replay", "--forced", "--threads", "4", "--rounds", "3", "--json", "--only"]);
    let output = command.arg(side).args(inputs).stderr(Stdio::inherit()).output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            eprintln!("braid replay --only {side}: {}", output.status);
            return None;
        }
        Err(error) => {
            eprintln!("braid could not be started: {error}");
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).ok()?;
    let summary = text.lines().last()?;
    let number = |key: &str| {
        let found = number(summary, key);
        if found.is_none() {
            eprintln!("{key} is not known here: {summary}");
        }
        found
    };
    Some((number("blocks")?, number("peak_bytes")?, number("growth_bytes")?))
}

/// The number under a key of a flat JSON object.
fn number(json: &str, key: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_found_under_their_keys() {
        let json = r#"{"blocks":50,"growth_bytes":7,"peak_bytes":null}"#;
        assert_eq!(number(json, "blocks"), Some(50));
        assert_eq!(number(json, "growth_bytes"), Some(7));
        assert_eq!(number(json, "peak_bytes"), None);
    }
}
