// Command bench compares geth's own processor with braid on the same chain of heavy blocks.
//
// Three chains import each block one after the other in one process: one with geth's processor, one
// with braid's, and, as long as -noise says, one with geth's again, which gives the noise floor.
// What is compared is the time in Process alone, and that of the whole import. Each block's time is
// the median over the rounds. How far it is goes to the standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/braid-evm/braid/bindings/go/gethadapter"
	"github.com/braid-evm/braid/bindings/go/gethadapter/internal/chains"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
)

func main() {
	blocks := flag.Int("blocks", 200, "how many blocks")
	rounds := flag.Int("rounds", 1, "how many times")
	noise := flag.Int("noise", 50, "how many blocks are executed for the noise floor")
	file := flag.String("chain", "", "where the chain is kept, so that it is generated only once")
	threads := flag.Int("threads", 2, "threads that execute a block")
	mixed := flag.Bool("mixed", false, "blocks of the differential tests, which are small")
	prefetch := flag.Bool("prefetch", false, "geth's speculative prefetcher beside both")
	flag.Parse()
	if *blocks < 1 || *rounds < 1 || *threads < 1 {
		flag.Usage()
		os.Exit(2)
	}
	runtime.GOMAXPROCS(*threads)
	forks := chains.Forks()
	make := chains.Heavy
	if *mixed {
		make = chains.Generate
	}
	chain, err := chains.Kept(*file, make, forks[len(forks)-2], *blocks, 1)
	if err != nil {
		fail(err)
	}
	var gas uint64
	for _, block := range chain.Blocks {
		gas += block.GasUsed()
	}
	b := bench{chain: chain, threads: *threads, prefetch: *prefetch, noise: *noise}
	for i := range *rounds {
		if err := b.round(fmt.Sprintf("round %d of %d", i+1, *rounds)); err != nil {
			fail(err)
		}
	}
	fmt.Printf("%d blocks, %d Mgas, %d threads, %d rounds, prefetcher %v\n",
		len(chain.Blocks), gas/1_000_000, *threads, *rounds, *prefetch)
	report("process", b.times[0].process, b.times[1].process, b.times[2].process)
	report("import", b.times[0].whole, b.times[1].whole, b.times[2].whole)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// measured holds the times of each block, one per round.
type measured struct{ process, whole [][]time.Duration }

func (m *measured) add(block int, process, whole time.Duration) {
	for len(m.process) <= block {
		m.process, m.whole = append(m.process, nil), append(m.whole, nil)
	}
	m.process[block] = append(m.process[block], process)
	m.whole[block] = append(m.whole[block], whole)
}

// report compares all blocks, and for the noise floor those that geth executed again.
func report(what string, geth, braid, again [][]time.Duration) {
	first, second := total(geth), total(braid)
	fmt.Printf("%-8s geth %8.1f ms, braid %8.1f ms: ratio %.2f", what, ms(first), ms(second),
		float64(first)/float64(second))
	if len(again) > 0 {
		left, right := float64(total(geth[:len(again)])), float64(total(again))
		fmt.Printf(", noise %.1f %%", 100*(max(left/right, right/left)-1))
	}
	fmt.Println()
}

func ms(of time.Duration) float64 { return float64(of) / 1e6 }

func total(blocks [][]time.Duration) (sum time.Duration) {
	for _, times := range blocks {
		slices.Sort(times)
		sum += times[len(times)/2]
	}
	return sum
}

// timed is a processor that adds up its time.
type timed struct {
	core.Processor
	spent time.Duration
}

// Process implements core.Processor.
func (t *timed) Process(
	ctx context.Context, block *types.Block, statedb *state.StateDB, jumpDests vm.JumpDestCache,
	cfg vm.Config, execIndex *atomic.Int64,
) (*core.ProcessResult, error) {
	start := time.Now()
	defer func() { t.spent += time.Since(start) }()
	return t.Processor.Process(ctx, block, statedb, jumpDests, cfg, execIndex)
}

// bench is a measurement with what it has measured.
type bench struct {
	chain    *chains.Chain
	threads  int
	prefetch bool
	noise    int
	times    [3]measured
}

// target is a chain that imports, with its processor.
type target struct {
	*core.BlockChain
	processor *timed
	close     func()
}

func (b *bench) target(mode gethadapter.Mode) (*target, error) {
	config := core.DefaultConfig().WithStateScheme(rawdb.PathScheme)
	config.NoPrefetch = !b.prefetch
	bc, err := core.NewBlockChain(
		rawdb.NewMemoryDatabase(), b.chain.Genesis, b.chain.Engine(), config)
	if err != nil {
		return nil, err
	}
	p, err := gethadapter.New(bc, gethadapter.Options{Mode: mode, Threads: b.threads})
	if err != nil {
		bc.Stop()
		return nil, err
	}
	processor := &timed{Processor: p}
	validator := core.NewBlockValidator(bc.Config(), bc)
	bc.SetBlockValidatorAndProcessorForTesting(validator, processor)
	return &target{bc, processor, func() {
		bc.Stop()
		p.Close()
	}}, nil
}

// round imports the chain into three new ones.
func (b *bench) round(name string) error {
	var into [3]*target
	for i, mode := range [3]gethadapter.Mode{gethadapter.Off, gethadapter.On, gethadapter.Off} {
		target, err := b.target(mode)
		if err != nil {
			return err
		}
		defer target.close()
		into[i] = target
	}
	for number, block := range b.chain.Blocks {
		for i, target := range into {
			if i == 2 && number >= b.noise {
				break
			}
			target.processor.spent = 0
			runtime.GC()
			start := time.Now()
			if _, err := target.InsertChain(types.Blocks{block}); err != nil {
				return fmt.Errorf("block %d: %w", block.NumberU64(), err)
			}
			b.times[i].add(number, target.processor.spent, time.Since(start))
		}
		if done := number + 1; done%20 == 0 || done == len(b.chain.Blocks) {
			ratio := float64(total(b.times[0].process)) / float64(total(b.times[1].process))
			fmt.Fprintf(os.Stderr, "%s: block %d of %d, ratio so far %.2f\n", name, done,
				len(b.chain.Blocks), ratio)
		}
	}
	return nil
}
