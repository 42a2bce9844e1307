//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	braid "github.com/braid-evm/braid/bindings/go"
)

// mostAtOnce executes the small block with eight threads, which take it as they like, and gives how
// many reads were under way at once, at most.
func mostAtOnce(t *testing.T, slow bool) int64 {
	t.Helper()
	executor, err := braid.NewExecutor(braid.Options{Threads: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer executor.Close()
	block := small(t)
	var inside, most atomic.Int64
	with := request(t, block)
	with.SlowReads = slow
	with.Reader = &faulty{Dump: block, at: func(int64) error {
		now := inside.Add(1)
		defer inside.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); {
			before = most.Load()
		}
		time.Sleep(time.Millisecond)
		return nil
	}}
	executed(t, executor, with, block)
	return most.Load()
}

// The block is so small that one thread executes it, unless its reads take long.
func TestSlowReads(t *testing.T) {
	if most := mostAtOnce(t, false); most != 1 {
		t.Fatalf("%d reads at once", most)
	}
	if most := mostAtOnce(t, true); most < 2 {
		t.Fatalf("%d reads at once", most)
	}
}

func TestSlowReadsCannotBeSerial(t *testing.T) {
	block, executor := small(t), newExecutor(t, 2)
	with := request(t, block)
	with.SlowReads, with.Serial = true, true
	if _, err := executor.Execute(context.Background(), with); !errors.Is(err, braid.ErrCaller) {
		t.Fatal(err)
	}
	line := line(t)
	ranged := rangeOf(t, line)
	ranged.SlowReads, ranged.Serial = true, true
	count := 0
	err := executor.ExecuteRange(context.Background(), ranged, taking(line, &count))
	if !errors.Is(err, braid.ErrCaller) {
		t.Fatal(err)
	}
	usable(t, executor, block)
}
