// Command cost measures what executing through Go costs.
//
//	cost [-threads N] [-rounds N] FILE.block...
//
// For each way to feed a block it prints the sums, over all blocks, of the medians over the rounds.
// Inside of a call, execution and roots are what a caller of the Rust API waits for too; with the
// parent state in memory no callback runs in them. The last column compares the whole call, with
// what Go copies out of the result, with those two. `cargo xtask bench go` runs it on the recorded
// blocks.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

var modes = [...]string{"in memory", "callbacks", "serial callbacks"}

// The times of a call.
const (
	whole = iota
	decode
	execute
	roots
	times
)

var names = [times]string{"whole call", "decode", "execute", "roots"}

type sums [len(modes)][times]time.Duration

func main() {
	threads := flag.Int("threads", 2, "threads that execute a block")
	rounds := flag.Int("rounds", 15, "how many times")
	flag.Parse()
	if flag.NArg() == 0 || *rounds < 1 || *threads < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*threads, *rounds, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(threads, rounds int, files []string) error {
	executor, err := braid.NewExecutor(braid.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer executor.Close()
	var total sums
	var reads uint64
	for _, file := range files {
		block, err := dump.Read(file)
		if err != nil {
			return err
		}
		read, err := measure(executor, block, rounds, &total)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		reads += read
	}
	fmt.Printf("%d blocks, %d threads, %d rounds, %d reads through callbacks\n", len(files), threads,
		rounds, reads)
	rust := total[0][execute] + total[0][roots]
	for mode, name := range modes {
		fmt.Printf("%-16s", name)
		for i, name := range names {
			fmt.Printf("  %s %.3f ms", name, ms(total[mode][i]))
		}
		fmt.Printf("  over Rust: %+.2f %%\n", 100*(ms(total[mode][whole])/ms(rust)-1))
	}
	return nil
}

func ms(of time.Duration) float64 { return float64(of) / 1e6 }

// measure adds a block's medians; it gives how many reads went through callbacks in a call. The
// modes take turns, and a round before the first one warms up.
func measure(
	executor *braid.Executor, block *dump.Dump, rounds int, total *sums,
) (uint64, error) {
	chain, err := block.Chain()
	if err != nil {
		return 0, err
	}
	defer chain.Close()
	state, err := block.Prestate()
	if err != nil {
		return 0, err
	}
	defer state.Close()
	requests := [len(modes)]braid.Request{
		{Prestate: state}, {Reader: block}, {Reader: block, Serial: true},
	}
	var samples [len(modes)][times][]time.Duration
	var reads uint64
	for round := range rounds + 1 {
		for mode := range requests {
			request := &requests[mode]
			request.Chain, request.Block = chain, block.Parts()
			start := time.Now()
			result, err := executor.Execute(context.Background(), request)
			spent := time.Since(start)
			if err != nil {
				return 0, err
			}
			if round == 0 {
				if err := block.Check(result); err != nil {
					return 0, err
				}
				continue
			}
			of := result.Statistics
			if mode == 1 {
				reads = of.Reads
			}
			for i, value := range [times]time.Duration{spent, of.Decode, of.Execute, of.Roots} {
				samples[mode][i] = append(samples[mode][i], value)
			}
		}
	}
	for mode := range samples {
		for i, values := range samples[mode] {
			slices.Sort(values)
			total[mode][i] += values[len(values)/2]
		}
	}
	return reads, nil
}
