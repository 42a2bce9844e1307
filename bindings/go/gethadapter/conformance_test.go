package gethadapter

import (
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/gethadapter/internal/fixtures"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/tests"
)

const (
	// fixturesVariable names the folder of the archives.
	fixturesVariable = "BRAID_FIXTURES"
	// strideVariable says that one case in so many is run; 1: all.
	strideVariable = "BRAID_CONFORMANCE_STRIDE"
	defaultStride  = 60
)

var archives = []string{"ethereum-tests.tar.zst", "eest-stable.tar.zst"}

// conformance counts what became of the cases.
type conformance struct {
	t         *testing.T
	cases     atomic.Uint64
	unknown   atomic.Uint64
	gethFails atomic.Uint64
	failures  atomic.Uint64
	mu        sync.Mutex
	total     Counters
}

// Published tests, driven through geth's own import: what geth alone passes, it passes with braid.
func TestConformance(t *testing.T) {
	folder := os.Getenv(fixturesVariable)
	if folder == "" {
		t.Skipf("SKIPPED: %s is not set; the archives are not part of a clone", fixturesVariable)
	}
	stride := uint64(defaultStride)
	if text := os.Getenv(strideVariable); text != "" {
		var err error
		if stride, err = strconv.ParseUint(text, 10, 32); err != nil || stride == 0 {
			t.Fatalf("%s is %q, not a stride", strideVariable, text)
		}
	}
	for _, archive := range archives {
		t.Run(archive, func(t *testing.T) {
			c := &conformance{t: t, total: Counters{Delegated: map[Reason]uint64{}}}
			c.run(filepath.Join(folder, archive), stride)
		})
	}
}

// run reads on one goroutine and executes on as many as there are processors.
func (c *conformance) run(archive string, stride uint64) {
	work := make(chan *fixtures.Case, 16)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		executor := conformanceExecutor(c.t)
		group.Add(1)
		go func() {
			defer group.Done()
			for of := range work {
				c.compare(of, executor)
			}
		}()
	}
	counts, err := fixtures.Read(archive, stride, func(of *fixtures.Case) error {
		work <- of
		return nil
	})
	close(work)
	group.Wait()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%d of %d cases (%d files are Git LFS pointers); %d of an unknown network, %d that "+
		"geth alone fails, %d that fail with braid; blocks: %d by braid, delegated: %v",
		c.cases.Load(),
		counts.Cases, counts.Pointers, c.unknown.Load(), c.gethFails.Load(), c.failures.Load(),
		c.total.Processed, c.total.Delegated)
	if c.total.Processed == 0 {
		c.t.Error("braid executed no block")
	}
}

func conformanceExecutor(t *testing.T) *braid.Executor {
	executor, err := braid.NewExecutor(braid.Options{Threads: 2, Forced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(executor.Close)
	return executor
}

// compare runs a case by geth alone and, if that passes, with braid.
func (c *conformance) compare(of *fixtures.Case, executor *braid.Executor) {
	c.cases.Add(1)
	config, known := tests.Forks[of.Network]
	if !known {
		c.unknown.Add(1)
		return
	}
	off, err := runCase(of, config, Options{Mode: Off, Executor: executor})
	if err != nil {
		c.gethFails.Add(1)
		c.t.Logf("fails by geth alone: %s: %s: %v", of.File, of.Name, err)
		return
	}
	on, err := runCase(of, config, Options{Mode: On, Executor: executor})
	if err != nil {
		c.failures.Add(1)
		c.t.Errorf("%s: %s: %v (by geth alone: %d blocks)", of.File, of.Name, err,
			off.Delegated[ModeOff])
	}
	if on.Delegated[BraidFailed] > 0 {
		c.t.Errorf("braid gave no verdict: %s: %s: %v", of.File, of.Name, on.Failure)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.Processed += on.Processed
	for reason, count := range on.Delegated {
		c.total.Delegated[reason] += count
	}
}

// runCase imports a case's blocks: the valid ones must be taken, the others refused.
func runCase(of *fixtures.Case, config *params.ChainConfig, options Options) (Counters, error) {
	own := *config
	if own.TerminalTotalDifficulty == nil {
		// Never merged, rather than merged where a block has no difficulty.
		own.TerminalTotalDifficulty = big.NewInt(1 << 62)
	}
	chainConfig := core.DefaultConfig().WithStateScheme(rawdb.HashScheme)
	chainConfig.NoPrefetch, chainConfig.TxLookupLimit, chainConfig.SnapshotLimit = true, -1, 0
	bc, err := core.NewBlockChain(
		rawdb.NewMemoryDatabase(), of.Genesis(&own), beacon.New(ethash.NewFaker()), chainConfig)
	if err != nil {
		return Counters{}, err
	}
	defer bc.Stop()
	if hash := bc.Genesis().Hash(); hash != of.Header.Hash {
		return Counters{}, fmt.Errorf("genesis %v", hash)
	}
	p, err := Install(bc, options)
	if err != nil {
		return Counters{}, err
	}
	defer p.Close()
	for i := range of.Blocks {
		err := importBlock(bc, of.Blocks[i].RLP)
		if valid := of.Blocks[i].Valid(); valid != (err == nil) {
			return p.Counters(), fmt.Errorf("block %d: valid: %v, import: %v", i, valid, err)
		}
	}
	if hash := bc.CurrentBlock().Hash(); hash != common.Hash(of.LastBlock) {
		return p.Counters(), fmt.Errorf("the last block is %v", hash)
	}
	return p.Counters(), nil
}

func importBlock(bc *core.BlockChain, text string) error {
	encoded, err := hexutil.Decode(text)
	if err != nil {
		return err
	}
	block := new(types.Block)
	if err := rlp.DecodeBytes(encoded, block); err != nil {
		return err
	}
	_, err = bc.InsertChain(types.Blocks{block})
	return err
}
