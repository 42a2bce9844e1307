//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

var errDisk = errors.New("the disk is on fire")

// faulty calls at before each read, with the read's number from 1.
type faulty struct {
	*dump.Dump
	reads atomic.Int64
	at    func(read int64) error
}

func (f *faulty) fault() error { return f.at(f.reads.Add(1)) }

func (f *faulty) Account(address braid.Address) (braid.Account, bool, error) {
	if err := f.fault(); err != nil {
		return braid.Account{}, false, err
	}
	return f.Dump.Account(address)
}

func (f *faulty) Storage(address braid.Address, key braid.Hash) (braid.Hash, error) {
	if err := f.fault(); err != nil {
		return braid.Hash{}, err
	}
	return f.Dump.Storage(address, key)
}

func (f *faulty) Code(hash braid.Hash) ([]byte, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.Dump.Code(hash)
}

func (f *faulty) BlockHash(number uint64) (braid.Hash, error) {
	if err := f.fault(); err != nil {
		return braid.Hash{}, err
	}
	return f.Dump.BlockHash(number)
}

// sweep lets fail act from the k-th read on, for every k, until an execution needs fewer reads; a
// fresh executor each time knows no code. Each failure is given to check.
func sweep(t *testing.T, threads int, fail func() error, check func(error)) {
	block := small(t)
	with := request(t, block)
	failures := 0
	for k := int64(1); ; k++ {
		executor, err := braid.NewExecutor(braid.Options{Threads: threads, Forced: true})
		if err != nil {
			t.Fatal(err)
		}
		reader := &faulty{Dump: block, at: func(read int64) error {
			if read >= k {
				return fail()
			}
			return nil
		}}
		with.Reader = reader
		result, err := executor.Execute(context.Background(), with)
		if err == nil {
			if err := block.Check(result); err != nil {
				t.Fatal(err)
			}
		} else {
			failures++
			check(err)
			usable(t, executor, block)
		}
		executor.Close()
		if reader.reads.Load() < k {
			break
		}
	}
	if failures < 10 {
		t.Fatalf("only %d executions failed", failures)
	}
	t.Logf("%d threads: %d executions failed", threads, failures)
}

func TestReaderFailsAtEveryRead(t *testing.T) {
	for _, threads := range []int{1, 4} {
		sweep(t, threads, func() error { return errDisk }, func(err error) {
			var host *braid.Error
			if !errors.Is(err, errDisk) || !errors.Is(err, braid.ErrHost) ||
				errors.Is(err, braid.ErrInvalidBlock) || !errors.As(err, &host) ||
				host.Status != braid.StatusStateUnreadable {
				t.Fatal(err)
			}
		})
	}
}

func TestReaderPanicsAtEveryRead(t *testing.T) {
	for _, threads := range []int{1, 4} {
		sweep(t, threads, func() error { panic(errDisk) }, func(err error) {
			var panicked *braid.PanicError
			if !errors.As(err, &panicked) || !errors.Is(err, errDisk) ||
				!errors.Is(err, braid.ErrHost) ||
				!strings.Contains(string(panicked.Stack), "faults_test.go") {
				t.Fatal(err)
			}
		})
	}
}

// wrongCode gives each code another byte in front.
type wrongCode struct{ *dump.Dump }

func (w wrongCode) Code(hash braid.Hash) ([]byte, error) {
	code, err := w.Dump.Code(hash)
	return append([]byte{0}, code...), err
}

// noCode knows no code.
type noCode struct{ *dump.Dump }

func (noCode) Code(braid.Hash) ([]byte, error) { return nil, nil }

func TestWrongCodes(t *testing.T) {
	block := small(t)
	for _, reader := range []braid.Reader{wrongCode{block}, noCode{block}} {
		executor, with := newExecutor(t, 2), request(t, block)
		with.Reader = reader
		if _, err := executor.Execute(context.Background(), with); !errors.Is(err, braid.ErrHost) {
			t.Fatalf("%T: %v", reader, err)
		}
		usable(t, executor, block)
	}
}

func TestCancellation(t *testing.T) {
	block := small(t)
	executor := newExecutor(t, 2)
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errDisk)
		_, err := executor.Execute(ctx, request(t, block))
		if !errors.Is(err, errDisk) || !errors.Is(err, braid.ErrHost) {
			t.Fatal(err)
		}
	})
	t.Run("during", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		with := request(t, block)
		// The token is triggered on another goroutine: each read waits until that has been seen,
		// by giving it time, so that the engine looks at the token after it.
		with.Reader = &faulty{Dump: block, at: func(int64) error {
			cancel()
			time.Sleep(5 * time.Millisecond)
			return nil
		}}
		_, err := executor.Execute(ctx, with)
		var host *braid.Error
		if !errors.Is(err, context.Canceled) || !errors.As(err, &host) ||
			host.Status != braid.StatusCancelled {
			t.Fatal(err)
		}
	})
	t.Run("after", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		result, err := executor.Execute(ctx, request(t, block))
		cancel()
		if err == nil {
			err = block.Check(result)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("by a timeout", func(t *testing.T) {
		with := request(t, block)
		with.Timeout = time.Nanosecond
		_, err := executor.Execute(context.Background(), with)
		var host *braid.Error
		if !errors.As(err, &host) || host.Status != braid.StatusTimedOut ||
			!errors.Is(err, braid.ErrHost) {
			t.Fatal(err)
		}
	})
	usable(t, executor, block)
}

// reentrant executes a block inside a read, and closes the executor.
type reentrant struct {
	*dump.Dump
	executor *braid.Executor
	with     *braid.Request
}

func (r reentrant) Account(address braid.Address) (braid.Account, bool, error) {
	if _, err := r.executor.Execute(context.Background(), r.with); err != nil {
		return braid.Account{}, false, err
	}
	return r.Dump.Account(address)
}

func TestReentrantReader(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), request(t, block)
	inner := *with
	with.Reader = reentrant{block, executor, &inner}
	_, err := executor.Execute(context.Background(), with)
	if !errors.Is(err, braid.ErrHost) || !strings.Contains(err.Error(), "REENTRANT") {
		t.Fatal(err)
	}
	usable(t, executor, block)
}

func TestCloseDuringExecution(t *testing.T) {
	block := small(t)
	executor, with := newExecutor(t, 2), request(t, block)
	with.Reader = &faulty{Dump: block, at: func(int64) error {
		executor.Close()
		with.Chain.Close()
		return nil
	}}
	executed(t, executor, with, block)
	if _, err := executor.Execute(context.Background(), with); !errors.Is(err, braid.ErrClosed) {
		t.Fatal(err)
	}
}
