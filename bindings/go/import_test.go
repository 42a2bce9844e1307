//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

// importable is a request whose block has no senders.
func importable(t testing.TB, block *dump.Dump) *braid.Request {
	with := request(t, block)
	with.Block, with.CheckHeader = block.Whole(), false
	return with
}

// Every dumped block, imported in memory and through callbacks, whole and in parts.
func TestImport(t *testing.T) {
	everyBlock(t, []int{1, 2, 4}, importEveryWay)
}

func importEveryWay(t *testing.T, executor *braid.Executor, name string, block *dump.Dump) {
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	parts := block.Parts()
	senders := parts.Senders
	parts.Senders = nil
	var first *braid.Imported
	for i, of := range []*braid.Block{block.Whole(), parts} {
		for _, reader := range []braid.Reader{nil, block} {
			with := &braid.Request{Chain: chainOf(t, block), Block: of, Reader: reader}
			if reader == nil {
				with.Prestate = state
			}
			imported, err := executor.Import(context.Background(), with)
			var invalid *braid.BlockInvalidError
			if !block.HasBody {
				if !errors.As(err, &invalid) || invalid.Status != braid.StatusBodyMismatch {
					t.Fatalf("%s, form %d: %v", name, i, err)
				}
				continue
			}
			if err == nil {
				err = block.Check(imported.Result)
			}
			if err != nil {
				t.Fatalf("%s, form %d: %v", name, i, err)
			}
			if !slices.Equal(imported.Senders, senders) {
				t.Fatalf("%s, form %d: other senders", name, i)
			}
			imported.Result.Statistics = braid.Statistics{}
			if first == nil {
				first = imported
			} else if !reflect.DeepEqual(first, imported) {
				t.Fatalf("%s: form %d gives another import", name, i)
			}
		}
	}
}

// The hash of a block is what its successor names.
func TestImportedHash(t *testing.T) {
	executor := newExecutor(t, 2)
	var before braid.Hash
	for index := range 4 {
		block := read(t, filepath.Join(folder(t), fmt.Sprintf("line-%d.block", index)))
		imported, err := executor.Import(context.Background(), importable(t, block))
		if err != nil {
			t.Fatal(err)
		}
		// Both lists' heads have 3 bytes, and the hash's own one has 1.
		if parent := braid.Hash(block.Whole().RLP[7:39]); index > 0 && parent != before {
			t.Fatalf("block %d has the parent %x, and %x before it", index, parent, before)
		}
		before = imported.BlockHash
	}
}

func TestImportOfOtherBodies(t *testing.T) {
	block := small(t)
	executor := newExecutor(t, 2)
	spoil := map[string]func(*braid.Block){
		"transactionsRoot": func(b *braid.Block) { b.Transactions = b.Transactions[1:] },
		"withdrawalsRoot":  func(b *braid.Block) { b.WithdrawalsRLP = []byte{0xc0} },
		"sha3Uncles": func(b *braid.Block) {
			length := len(b.HeaderRLP)
			b.OmmersRLP = append([]byte{0xf9, byte(length >> 8), byte(length)}, b.HeaderRLP...)
		},
	}
	for field, spoil := range spoil {
		with := importable(t, block)
		with.Block = block.Parts()
		with.Block.Senders = nil
		spoil(with.Block)
		_, err := executor.Import(context.Background(), with)
		var invalid *braid.BlockInvalidError
		if !errors.As(err, &invalid) || invalid.Status != braid.StatusBodyMismatch ||
			invalid.TxIndex != -1 || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	// Header and body agree, the execution does not: an account that pays is poor.
	with := importable(t, block)
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if err := state.SetAccount(block.Parts().Senders[0], braid.Account{}); err != nil {
		t.Fatal(err)
	}
	with.Reader, with.Prestate = nil, state
	_, err = executor.Import(context.Background(), with)
	var invalid *braid.BlockInvalidError
	if !errors.As(err, &invalid) || invalid.TxIndex != 0 {
		t.Fatal(err)
	}
	usable(t, executor, block)
}

func TestImportMistakes(t *testing.T) {
	block := small(t)
	executor := newExecutor(t, 2)
	with := importable(t, block)
	with.Block = block.Parts()
	if _, err := executor.Import(context.Background(), with); !errors.Is(err, braid.ErrCaller) ||
		!strings.Contains(err.Error(), "senders") {
		t.Fatal(err)
	}
	if _, err := executor.Import(context.Background(), nil); !errors.Is(err, braid.ErrCaller) {
		t.Fatal(err)
	}
	with = importable(t, block)
	with.Block.RLP = with.Block.RLP[:100]
	if _, err := executor.Import(context.Background(), with); !errors.Is(err, braid.ErrDecode) {
		t.Fatal(err)
	}
	with = importable(t, block)
	with.Reader = &faulty{Dump: block, at: func(int64) error { return errDisk }}
	if _, err := executor.Import(context.Background(), with); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errDisk)
	if _, err := executor.Import(ctx, importable(t, block)); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	usable(t, executor, block)
	executor.Close()
	with = importable(t, block)
	if _, err := executor.Import(context.Background(), with); !errors.Is(err, braid.ErrClosed) {
		t.Fatal(err)
	}
}
