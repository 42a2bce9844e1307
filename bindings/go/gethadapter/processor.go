package gethadapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/params"
)

// Mode says whose result geth gets.
type Mode int

const (
	// Off lets geth execute every block.
	Off Mode = iota
	// On gives braid's result.
	On
	// Shadow executes with both and gives geth's result; differences are recorded and counted.
	Shadow
	// Verify is Shadow, but a difference is an error, and the block is not imported.
	Verify
)

// Options say how a processor works.
type Options struct {
	// Mode says whose result geth gets.
	Mode Mode
	// Threads execute a block; 0: one per core.
	Threads int
	// Forced speculates on every block, however small. For tests.
	Forced bool
	// SlowReads says that geth's state comes from a disk, not from caches: with several times as many
	// Threads as cores, as many reads are then under way at once.
	SlowReads bool
	// Executor is used in place of an own one with Threads and Forced; the host closes it. Several
	// chains may share it.
	Executor *braid.Executor
	// Folder is where [Shadow] and [Verify] record a block with a difference, for `braid replay`;
	// empty: nowhere.
	Folder string
}

// Processor implements geth's core.Processor. It is safe for concurrent use.
type Processor struct {
	options  Options
	bc       *core.BlockChain
	config   *params.ChainConfig
	geth     *core.StateProcessor
	executor *braid.Executor
	// rules is nil where braid does not know the chain's forks, and unknown then says why.
	rules    *braid.Chain
	unknown  error
	counters counters
	// lie, in tests, changes what braid reads beside geth.
	lie func(state.Reader) state.Reader
}

// Install makes a processor and puts it in the place of geth's. It must be called before blocks are
// imported.
func Install(bc *core.BlockChain, options Options) (*Processor, error) {
	p, err := New(bc, options)
	if err != nil {
		return nil, err
	}
	bc.SetBlockValidatorAndProcessorForTesting(core.NewBlockValidator(bc.Config(), bc), p)
	return p, nil
}

// New makes a processor for a chain, for hosts that have their own way to install it.
//
// A chain config with forks or settings that braid does not know is no error: geth executes its
// blocks then.
func New(bc *core.BlockChain, options Options) (*Processor, error) {
	if options.Mode < Off || options.Mode > Verify {
		return nil, fmt.Errorf("gethadapter: unknown mode %d", options.Mode)
	}
	executor, err := options.Executor, error(nil)
	if executor == nil {
		executor, err = braid.NewExecutor(braid.Options{
			Threads: options.Threads, Forced: options.Forced,
		})
	}
	if err != nil {
		return nil, err
	}
	p := &Processor{
		options:  options,
		bc:       bc,
		config:   bc.Config(),
		geth:     core.NewStateProcessor(bc),
		executor: executor,
	}
	text, err := json.Marshal(p.rulesConfig())
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("gethadapter: chain config: %w", err)
	}
	if p.rules, p.unknown = braid.ChainFromConfig(text); p.unknown != nil {
		log.Warn("Braid does not know this chain; geth executes its blocks", "err", p.unknown)
	}
	return p, nil
}

// rulesConfig is the chain's config as braid takes it. Where Petersburg came after Constantinople,
// as on Ropsten, both begin with Petersburg: geth executes the blocks between the two.
func (p *Processor) rulesConfig() *params.ChainConfig {
	petersburg := p.config.PetersburgBlock
	if petersburg == nil || !p.config.IsConstantinople(petersburg) {
		return p.config
	}
	own := *p.config
	own.ConstantinopleBlock = petersburg
	return &own
}

// Close ends braid's threads, unless the host gave the executor. Blocks that come later are
// executed by geth.
func (p *Processor) Close() {
	if p.options.Executor == nil {
		p.executor.Close()
	}
	if p.rules != nil {
		p.rules.Close()
	}
}

// Process implements core.Processor for geth v1.17.5.
func (p *Processor) Process(
	ctx context.Context, block *types.Block, statedb *state.StateDB,
	jumpDests vm.JumpDestCache, cfg vm.Config, execIndex *atomic.Int64,
) (*core.ProcessResult, error) {
	geth := func() (*core.ProcessResult, error) {
		return p.geth.Process(ctx, block, statedb, jumpDests, cfg, execIndex)
	}
	if reason := p.delegates(block, statedb, cfg); reason != "" {
		p.counters.delegate(reason)
		return geth()
	}
	if p.options.Mode != On {
		return p.both(ctx, block, statedb, geth)
	}
	run, err := p.execute(ctx, block, newStateReader(p.bc, block, statedb.Reader()))
	if errors.Is(err, braid.ErrInvalidBlock) {
		p.counters.processed.Add(1)
		return nil, invalid(block, err)
	}
	if err != nil {
		p.failed(block, err)
		return geth()
	}
	run.changes.apply(statedb)
	if execIndex != nil {
		// The prefetcher has nothing left to run ahead of.
		execIndex.Store(int64(len(block.Transactions())))
	}
	p.counters.processed.Add(1)
	return run.result, nil
}

// failed reports that braid gave no verdict, or that it could not be asked for one.
func (p *Processor) failed(block *types.Block, err error) {
	var why *untold
	if errors.As(err, &why) {
		p.counters.delegate(why.reason)
		return
	}
	p.counters.fail(err)
	log.Warn("Braid failed; geth executes the block", "number", block.Number(), "err", err)
}

// invalid words a verdict as geth does.
func invalid(block *types.Block, err error) error {
	var verdict *braid.BlockInvalidError
	if errors.As(err, &verdict) {
		if i := verdict.TxIndex; i >= 0 && i < len(block.Transactions()) {
			hash := block.Transactions()[i].Hash()
			return fmt.Errorf("could not apply tx %d [%v]: %w", i, hash, err)
		}
	}
	return err
}

// executed is braid's answer to one block.
type executed struct {
	result  *core.ProcessResult
	changes *changes
}

// execute runs a block with braid and prepares its changes. It touches no StateDB.
func (p *Processor) execute(
	ctx context.Context, block *types.Block, from source,
) (*executed, error) {
	encoded, senders, err := p.encode(block)
	if err != nil {
		return nil, err
	}
	// geth's processor does not look at the context, and an import that it abandoned would count
	// as an invalid block.
	result, err := p.executor.Execute(context.WithoutCancel(ctx), &braid.Request{
		Chain: p.rules, Block: encoded, Reader: from, SlowReads: p.options.SlowReads,
	})
	if err != nil {
		return nil, err
	}
	cancun := p.config.IsCancun(block.Number(), block.Time())
	changes, err := newChanges(result, from.state(), cancun)
	if err != nil {
		return nil, err
	}
	return &executed{p.processResult(block, senders, result), changes}, nil
}
