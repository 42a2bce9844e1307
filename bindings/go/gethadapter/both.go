package gethadapter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/log"
)

// ErrDifference says that braid and geth do not agree on a block.
var ErrDifference = errors.New("gethadapter: braid and geth differ")

// both executes a block with braid, on a copy, and with geth, and gives geth's result.
func (p *Processor) both(
	ctx context.Context, block *types.Block, statedb *state.StateDB,
	geth func() (*core.ProcessResult, error),
) (*core.ProcessResult, error) {
	copied := statedb.Copy()
	reader := statedb.Reader()
	if p.lie != nil {
		reader = p.lie(reader)
	}
	from := newRecorder(newStateReader(p.bc, block, reader))
	run, failed := p.execute(ctx, block, from)
	expected, err := geth()
	if failed != nil && !errors.Is(failed, braid.ErrInvalidBlock) {
		p.failed(block, failed)
		return expected, err
	}
	p.counters.processed.Add(1)
	difference := compareVerdicts(failed, err)
	if difference == nil && err == nil {
		run.changes.apply(copied)
		difference = compareResults(run.result, expected)
		if difference == nil {
			difference = p.compareStates(block, copied, statedb)
		}
	}
	if difference == nil {
		return expected, err
	}
	p.counters.differences.Add(1)
	path, unwritten := p.record(block, from)
	log.Error("Braid and geth differ", "number", block.Number(), "hash", block.Hash(),
		"difference", difference, "recorded", path, "err", unwritten)
	if p.options.Mode == Verify {
		return nil, fmt.Errorf("%w: block %d: %w", ErrDifference, block.Number(), difference)
	}
	return expected, err
}

func compareVerdicts(braid, geth error) error {
	if (braid == nil) == (geth == nil) {
		return nil
	}
	return fmt.Errorf("verdict: braid: %v, geth: %v", braid, geth)
}

func compareResults(braid, geth *core.ProcessResult) error {
	switch {
	case braid.GasUsed != geth.GasUsed:
		return fmt.Errorf("gas used: braid: %d, geth: %d", braid.GasUsed, geth.GasUsed)
	case (braid.Requests == nil) != (geth.Requests == nil),
		!slices.EqualFunc(braid.Requests, geth.Requests, bytes.Equal):
		return fmt.Errorf("requests: braid: %x, geth: %x", braid.Requests, geth.Requests)
	case len(braid.Receipts) != len(geth.Receipts):
		return fmt.Errorf("receipts: braid: %d, geth: %d", len(braid.Receipts), len(geth.Receipts))
	case !slices.EqualFunc(braid.Logs, geth.Logs, sameLog):
		return errors.New("logs of the block")
	}
	for i := range braid.Receipts {
		if !sameReceipt(braid.Receipts[i], geth.Receipts[i]) {
			left, right := braid.Receipts[i], geth.Receipts[i]
			return fmt.Errorf("receipt %d: braid: %+v, geth: %+v", i, left, right)
		}
	}
	return nil
}

// sameReceipt compares every field, derived ones included.
func sameReceipt(a, b *types.Receipt) bool {
	left, right := *a, *b
	sameBig := left.BlockNumber.Cmp(right.BlockNumber) == 0 &&
		(left.BlobGasPrice == nil) == (right.BlobGasPrice == nil) &&
		(left.BlobGasPrice == nil || left.BlobGasPrice.Cmp(right.BlobGasPrice) == 0) &&
		(left.EffectiveGasPrice == nil) == (right.EffectiveGasPrice == nil)
	return sameBig && left.Type == right.Type && bytes.Equal(left.PostState, right.PostState) &&
		left.Status == right.Status && left.CumulativeGasUsed == right.CumulativeGasUsed &&
		left.Bloom == right.Bloom && slices.EqualFunc(left.Logs, right.Logs, sameLog) &&
		left.TxHash == right.TxHash && left.ContractAddress == right.ContractAddress &&
		left.GasUsed == right.GasUsed && left.BlobGasUsed == right.BlobGasUsed &&
		left.BlockHash == right.BlockHash && left.TransactionIndex == right.TransactionIndex
}

func sameLog(a, b *types.Log) bool {
	return a.Address == b.Address && slices.Equal(a.Topics, b.Topics) &&
		bytes.Equal(a.Data, b.Data) && a.BlockNumber == b.BlockNumber && a.TxHash == b.TxHash &&
		a.TxIndex == b.TxIndex && a.BlockHash == b.BlockHash &&
		a.BlockTimestamp == b.BlockTimestamp && a.Index == b.Index && a.Removed == b.Removed
}

// compareStates compares the state roots. geth's is computed on a copy, for the StateDB still has
// its prefetched tries, which the import uses.
func (p *Processor) compareStates(block *types.Block, braid, geth *state.StateDB) error {
	prune := p.config.IsEIP158(block.Number())
	left, right := braid.IntermediateRoot(prune), geth.Copy().IntermediateRoot(prune)
	if left != right {
		return fmt.Errorf("state root: braid: %v, geth: %v", left, right)
	}
	return nil
}
