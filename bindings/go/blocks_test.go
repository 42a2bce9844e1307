//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

// Every dumped block: in memory and through callbacks, whole and in parts, at 1, 2, 4, 8 threads.
func TestBlocks(t *testing.T) {
	count := everyBlock(t, []int{1, 2, 4, 8}, executeEveryWay)
	t.Logf("%d blocks, at 1, 2, 4 and 8 threads, in memory and through callbacks", count)
}

func executeEveryWay(t *testing.T, executor *braid.Executor, name string, block *dump.Dump) {
	chain, err := block.Chain()
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	requests := []braid.Request{
		{Block: block.Whole(), Prestate: state, ReceiptsRLP: true},
		{Block: block.Parts(), Prestate: state},
		{Block: block.Parts(), Reader: block},
		{Block: block.Whole(), Reader: block, Serial: true},
		{Block: block.Whole(), Reader: block, SlowReads: true},
	}
	var first *braid.Result
	for i := range requests {
		requests[i].Chain, requests[i].CheckHeader = chain, true
		result, err := executor.Execute(context.Background(), &requests[i])
		if err == nil {
			err = block.Check(result)
		}
		if err != nil {
			t.Fatalf("%s, way %d: %v", name, i, err)
		}
		if (result.ReceiptsRLP != nil) != requests[i].ReceiptsRLP {
			t.Fatalf("%s: receipts RLP of %d bytes", name, len(result.ReceiptsRLP))
		}
		result.Statistics, result.ReceiptsRLP = braid.Statistics{}, nil
		if first == nil {
			first = result
		} else if !reflect.DeepEqual(first, result) {
			t.Fatalf("%s: way %d gives another result than way 0", name, i)
		}
	}
}

// Several goroutines share an executor, while the collector runs all the time.
func TestConcurrentUnderGarbageCollection(t *testing.T) {
	block := small(t)
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	executor, with := newExecutor(t, 2), request(t, block)
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 25 {
				result, err := executor.Execute(context.Background(), with)
				runtime.GC()
				if err == nil {
					err = block.Check(result)
				}
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
}

// Goroutines call different functions of one executor at the same time.
func TestConcurrentFunctions(t *testing.T) {
	block, blocks := small(t), line(t)
	executor := newExecutor(t, 2)
	execute, imported, lists, ranged := request(t, block), importable(t, block), listed(t, block),
		rangeOf(t, blocks)
	for name, call := range map[string]func(ctx context.Context) error{
		"execute": func(ctx context.Context) error {
			result, err := executor.Execute(ctx, execute)
			if err != nil {
				return err
			}
			return block.Check(result)
		},
		"import": func(ctx context.Context) error {
			got, err := executor.Import(ctx, imported)
			if err != nil {
				return err
			}
			return block.Check(got.Result)
		},
		"access list": func(ctx context.Context) error {
			result, _, err := executor.ExecuteWithAccessList(ctx, lists)
			if err != nil {
				return err
			}
			return block.CheckListed(result)
		},
		"range": func(ctx context.Context) error {
			count := 0
			return executor.ExecuteRange(ctx, ranged, taking(blocks, &count))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for range 50 {
				if err := call(ctx); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// What nobody closes is closed by the collector; nothing of it may be freed under a user.
func TestForgottenHandles(t *testing.T) {
	block := small(t)
	for range 20 {
		executor, err := braid.NewExecutor(braid.Options{Threads: 2, Forced: true})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := block.Chain()
		if err != nil {
			t.Fatal(err)
		}
		state, err := block.Prestate()
		if err != nil {
			t.Fatal(err)
		}
		with := &braid.Request{Chain: chain, Block: block.Whole(), Prestate: state}
		result, err := executor.Execute(context.Background(), with)
		if err == nil {
			err = block.Check(result)
		}
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
	}
}

// grow makes the stack grow in each of its calls.
func grow(depth int, then func()) {
	var frame [512]byte
	if depth == 0 {
		then()
	} else {
		grow(depth-1, then)
	}
	runtime.KeepAlive(&frame)
}

// The arrays of a block without transactions are empty; Go's stacks may grow at any point of their
// decoding, and then look at every pointer.
func TestEmptyResult(t *testing.T) {
	rlp, err := os.ReadFile(filepath.Join(folder(t), "withdrawal.rlp"))
	if err != nil {
		t.Fatal(err)
	}
	block, executor := small(t), newExecutor(t, 1)
	with := &braid.Request{Chain: chainOf(t, block), Block: &braid.Block{RLP: rlp}, Reader: block}
	for depth := range 40 {
		done := make(chan error)
		go grow(depth, func() {
			result, err := executor.Execute(context.Background(), with)
			if err == nil && (len(result.Receipts) > 0 || len(result.Accounts) == 0) {
				err = fmt.Errorf("%d receipts, %d accounts", len(result.Receipts), len(result.Accounts))
			}
			done <- err
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
