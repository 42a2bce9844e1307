package gethadapter

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/consensus"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
)

// Reason says why geth executed a block.
type Reason string

// Why geth executes a block.
const (
	// ModeOff: [Off] was asked for.
	ModeOff Reason = "mode off"
	// Traced: a tracer wants to see every step.
	Traced Reason = "tracer"
	// Witnessed: a witness wants to see every read.
	Witnessed Reason = "witness"
	// Configured: the interpreter has a setting that braid does not have.
	Configured Reason = "interpreter settings"
	// BinaryTrie: the state is no Merkle Patricia trie.
	BinaryTrie Reason = "binary trie"
	// PreByzantium: receipts have a state root after each transaction.
	PreByzantium Reason = "before Byzantium"
	// ForkUnsupported: Amsterdam or later, where geth wants more than a result holds;
	// Constantinople without Petersburg, whose gas of storage (EIP-1283) revm does not know.
	ForkUnsupported Reason = "fork"
	// UnknownChain: braid refuses the chain's config.
	UnknownChain Reason = "chain config"
	// UnknownEngine: neither proof of stake nor ethash pays the rewards.
	UnknownEngine Reason = "consensus engine"
	// OddMerge: the chain config and the block's difficulty do not agree on the merge.
	OddMerge Reason = "merge"
	// NoParent: the parent is not known.
	NoParent Reason = "no parent"
	// NoSender: a transaction has no sender by the rules of the block, for its type came with a later
	// fork or its signature is none.
	NoSender Reason = "no sender"
	// HighFee: a transaction offers more wei for a unit of gas than 128 bits hold.
	HighFee Reason = "fee beyond 128 bits"
	// BraidFailed: braid gave no verdict.
	BraidFailed Reason = "braid failed"
)

// delegates says why geth must execute this block; empty where it need not.
func (p *Processor) delegates(block *types.Block, statedb *state.StateDB, cfg vm.Config) Reason {
	number, time := block.Number(), block.Time()
	switch {
	case p.options.Mode == Off:
		return ModeOff
	case p.rules == nil:
		return UnknownChain
	case cfg.Tracer != nil:
		return Traced
	case statedb.Witness() != nil:
		return Witnessed
	case cfg.NoBaseFee || cfg.EnablePreimageRecording || len(cfg.ExtraEips) > 0:
		return Configured
	case !statedb.Database().Type().Is(state.TypeMPT):
		return BinaryTrie
	case !p.config.IsByzantium(number):
		return PreByzantium
	case p.config.IsAmsterdam(number, time) || p.config.IsUBT(number, time),
		p.config.IsConstantinople(number) && !p.config.IsPetersburg(number):
		return ForkUnsupported
	case p.bc.GetHeader(block.ParentHash(), block.NumberU64()-1) == nil:
		return NoParent
	}
	return p.consensus(block)
}

// consensus compares what the engine and braid take the block for.
func (p *Processor) consensus(block *types.Block) Reason {
	merged := block.Difficulty().Sign() == 0
	engine := p.bc.Engine()
	if over, ok := engine.(*beacon.Beacon); ok {
		if !merged {
			engine = over.InnerEngine()
		}
	} else if merged {
		return OddMerge
	}
	if !merged && !isEthash(engine) {
		return UnknownEngine
	}
	total := p.config.TerminalTotalDifficulty
	if merged {
		if total == nil {
			return OddMerge
		}
		return ""
	}
	if total != nil && total.Sign() == 0 || p.config.IsShanghai(block.Number(), block.Time()) ||
		len(block.Withdrawals()) > 0 {
		return OddMerge
	}
	return ""
}

func isEthash(engine consensus.Engine) bool {
	_, ok := engine.(*ethash.Ethash)
	return ok
}

// Counters say what a processor has done.
type Counters struct {
	// Processed blocks were executed by braid, invalid ones included.
	Processed uint64
	// Delegated blocks were executed by geth alone.
	Delegated map[Reason]uint64
	// Differences between braid and geth, in [Shadow] and [Verify].
	Differences uint64
	// Failure is why braid gave no verdict the last time; nil where it always did.
	Failure error
}

type counters struct {
	processed, differences atomic.Uint64
	mu                     sync.Mutex
	delegated              map[Reason]uint64
	failure                error
}

func (c *counters) delegate(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.delegated == nil {
		c.delegated = map[Reason]uint64{}
	}
	c.delegated[reason]++
}

func (c *counters) fail(err error) {
	c.delegate(BraidFailed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
}

// Counters gives a copy of the counters.
func (p *Processor) Counters() Counters {
	p.counters.mu.Lock()
	defer p.counters.mu.Unlock()
	return Counters{
		Processed:   p.counters.processed.Load(),
		Delegated:   maps.Clone(p.counters.delegated),
		Differences: p.counters.differences.Load(),
		Failure:     p.counters.failure,
	}
}
