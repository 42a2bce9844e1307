//! What the shadow needs of memory over thousands of blocks: a node with it, one without it, and
//! `braid shadow` beside the first.
//!
//! Takes long, so it is ignored unless asked for: `cargo test --release --test outside memory --
//! --ignored --nocapture`. `BRAID_MEMORY_BLOCKS` says how many blocks; `BRAID_CLI` as elsewhere.

use crate::{
    command::{binary, braid},
    load::Load,
    node::{Node, free_port},
    shared::amount,
};
use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

const BLOCKS: [&str; 2] = ["--dev.block-time", "100ms"];
/// How many looks at the memory.
const LOOKS: usize = 20;

/// A process's own memory, MiB: without what is mapped from files, the database above all.
fn memory(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells");
    let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
    kib.expect("a number") / 1024.0
}

/// Sends transactions until the node has so many blocks.
fn drive(node: &Node, load: &mut Load, height: u64) {
    let mut batches = 0;
    while node.height() < height {
        if batches % 4 == 0 {
            load.send(node);
            load.settle(node);
        } else {
            thread::sleep(Duration::from_millis(200));
        }
        batches += 1;
    }
}

struct EndAtDrop(Child);

impl Drop for EndAtDrop {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn memory_is_flat_after_the_warm_up() {
    let Some(binary) = binary() else { return };
    let blocks = amount("BRAID_MEMORY_BLOCKS", 5000);
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let mut loads = [Load::new(20, 41), Load::new(20, 41)];
    let port = free_port();
    let genesis = loads[0].genesis.clone();
    let with = Node::start_at(folders[0].path(), &genesis, port, &BLOCKS);
    let off = [&BLOCKS[..], &["--braid.off"]].concat();
    let without = Node::start(folders[1].path(), &genesis, &off);
    let mut command = braid(&binary, "shadow", port, folders[0].path());
    command.args(["--json", "--from", "1", "--poll", "50", "--deadline", "600"]);
    let command = command.stdout(Stdio::null()).spawn().expect("the command line");
    let command = EndAtDrop(command);
    let mut looks = Vec::with_capacity(LOOKS);
    println!("blocks  node with  node without  braid shadow, MiB");
    for look in 1..=LOOKS {
        let height = blocks * look as u64 / LOOKS as u64;
        let [first, second] = &mut loads;
        thread::scope(|scope| {
            scope.spawn(|| drive(&without, second, height));
            drive(&with, first, height);
        });
        let sizes = [with.id(), without.id(), command.0.id()].map(memory);
        println!("{height:>6} {:>10.1} {:>13.1} {:>13.1}", sizes[0], sizes[1], sizes[2]);
        looks.push(sizes);
    }
    println!("{}", with.status().expect("a status"));
    let mean = |part: &[[f64; 3]], of: &dyn Fn(&[f64; 3]) -> f64| {
        part.iter().map(of).sum::<f64>() / part.len() as f64
    };
    let (early, late) = (&looks[LOOKS / 4..LOOKS / 2], &looks[3 * LOOKS / 4..]);
    let cost = |sizes: &[f64; 3]| sizes[0] - sizes[1];
    let alone = |sizes: &[f64; 3]| sizes[2];
    for (name, of) in
        [("the shadow in the node", &cost as &dyn Fn(&[f64; 3]) -> f64), ("braid shadow", &alone)]
    {
        let (early, late) = (mean(early, of), mean(late, of));
        println!("{name}: {early:.1} MiB in the second quarter, {late:.1} in the last");
        // The default cap of a block's state is 512 MiB; what is not freed would show long before.
        assert!(late < early.max(64.0) * 1.25, "{name} grows: {early} to {late} MiB");
    }
}
