// Command bench compares geth's own processor with braid on the same chain of heavy blocks.
//
// Three chains import each block one after the other in one process: one with geth's processor, one
// with braid's, and one with geth's again, which gives the noise floor. What is compared is the
// time in Process alone, and that of the whole import. Each block's time is the median over the
// rounds.
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
	rounds := flag.Int("rounds", 5, "how many times")
	threads := flag.Int("threads", 2, "threads that execute a block")
	mixed := flag.Bool("mixed", false, "blocks of the differential tests, which are small")
	prefetch := flag.Bool("prefetch", false, "geth's speculative prefetcher beside both")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	forks := chains.Forks()
	make := chains.Heavy
	if *mixed {
		make = chains.Generate
	}
	chain := make(forks[len(forks)-2], *blocks, 1)
	var gas uint64
	for _, block := range chain.Blocks {
		gas += block.GasUsed()
	}
	var times [3]measured
	for range *rounds {
		if err := round(chain, *threads, *prefetch, &times); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d blocks, %d Mgas, %d threads, %d rounds, prefetcher %v\n",
		*blocks, gas/1_000_000, *threads, *rounds, *prefetch)
	report("process", times[0].process, times[1].process, times[2].process)
	report("import", times[0].whole, times[1].whole, times[2].whole)
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

func report(what string, geth, braid, again [][]time.Duration) {
	first, second, third := total(geth), total(braid), total(again)
	fmt.Printf("%-8s geth %8.1f ms, braid %8.1f ms: ratio %.2f, noise %.1f %%\n", what,
		ms(first), ms(second), float64(first+third)/2/float64(second),
		100*(max(float64(first)/float64(third), float64(third)/float64(first))-1))
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

// round imports the chain into three new ones.
func round(chain *chains.Chain, threads int, prefetch bool, times *[3]measured) error {
	var into [3]*core.BlockChain
	var processors [3]*timed
	modes := [3]gethadapter.Mode{gethadapter.Off, gethadapter.On, gethadapter.Off}
	for i, mode := range modes {
		config := core.DefaultConfig().WithStateScheme(rawdb.PathScheme)
		config.NoPrefetch = !prefetch
		bc, err := core.NewBlockChain(
			rawdb.NewMemoryDatabase(), chain.Genesis, chain.Engine(), config)
		if err != nil {
			return err
		}
		defer bc.Stop()
		p, err := gethadapter.New(bc, gethadapter.Options{Mode: mode, Threads: threads})
		if err != nil {
			return err
		}
		defer p.Close()
		into[i], processors[i] = bc, &timed{Processor: p}
		validator := core.NewBlockValidator(bc.Config(), bc)
		bc.SetBlockValidatorAndProcessorForTesting(validator, processors[i])
	}
	for number, block := range chain.Blocks {
		for i, bc := range into {
			processors[i].spent = 0
			runtime.GC()
			start := time.Now()
			if _, err := bc.InsertChain(types.Blocks{block}); err != nil {
				return fmt.Errorf("block %d: %w", block.NumberU64(), err)
			}
			times[i].add(number, processors[i].spent, time.Since(start))
		}
	}
	return nil
}
