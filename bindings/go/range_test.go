//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

// lineLength is how many consecutive blocks there are.
const lineLength = 4

func line(t testing.TB) []*dump.Dump {
	blocks := make([]*dump.Dump, lineLength)
	for i := range blocks {
		blocks[i] = read(t, filepath.Join(folder(t), fmt.Sprintf("line-%d.block", i)))
	}
	return blocks
}

// rangeOf reads the state before the line through the methods of its first block.
func rangeOf(t testing.TB, line []*dump.Dump) *braid.RangeRequest {
	with := &braid.RangeRequest{Chain: chainOf(t, line[0]), Reader: line[0], CheckHeader: true}
	for _, block := range line {
		with.Blocks = append(with.Blocks, block.Parts())
	}
	return with
}

// taking compares each block, and counts them.
func taking(line []*dump.Dump, count *int) func(int, *braid.Result) error {
	return func(index int, result *braid.Result) error {
		if index != *count {
			return fmt.Errorf("block %d after %d", index, *count)
		}
		*count++
		return line[index].Check(result)
	}
}

func TestRange(t *testing.T) {
	line := line(t)
	state, err := line[0].Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	for _, threads := range []int{1, 2, 4, 8} {
		executor := newExecutor(t, threads)
		for way := range 4 {
			with := rangeOf(t, line)
			with.ReceiptsRLP, with.Serial, with.SlowReads = true, way == 1, way == 3
			if way == 2 {
				with.Reader, with.Prestate = nil, state
			}
			if way == 3 {
				for i, block := range line {
					with.Blocks[i] = block.Whole()
				}
			}
			count := 0
			take := taking(line, &count)
			err := executor.ExecuteRange(context.Background(), with,
				func(index int, result *braid.Result) error {
					if result.ReceiptsRLP == nil {
						return errors.New("no receipts RLP")
					}
					return take(index, result)
				})
			if err != nil || count != lineLength {
				t.Fatalf("%d threads, way %d: %d blocks, %v", threads, way, count, err)
			}
		}
		if err := executor.ExecuteRange(context.Background(), &braid.RangeRequest{
			Chain: chainOf(t, line[0]), Prestate: state,
		}, func(int, *braid.Result) error { return errDisk }); err != nil {
			t.Fatalf("an empty range: %v", err)
		}
	}
}

func TestRangeOfBadBlocks(t *testing.T) {
	line := line(t)
	for bad := range line {
		executor := newExecutor(t, 1+bad%3)
		for name, spoil := range map[string]func(*braid.RangeRequest){
			"invalid":     func(r *braid.RangeRequest) { r.Blocks[bad].Senders[2] = braid.Address{9} },
			"undecodable": func(r *braid.RangeRequest) { r.Blocks[bad].HeaderRLP = []byte{0xc0} },
			"broken":      func(r *braid.RangeRequest) { r.Blocks[bad] = r.Blocks[(bad+2)%4] },
		} {
			with := rangeOf(t, line)
			for i := range with.Blocks {
				with.Blocks[i].Senders = append([]braid.Address(nil), with.Blocks[i].Senders...)
			}
			spoil(with)
			count := 0
			err := executor.ExecuteRange(context.Background(), with, taking(line, &count))
			var failed *braid.RangeError
			var invalid *braid.BlockInvalidError
			var other *braid.Error
			if name == "broken" && bad == 0 {
				// The first block follows none: it is executed, and is another one.
				if err == nil {
					t.Fatal("another first block")
				}
				continue
			}
			if !errors.As(err, &failed) || failed.Index != bad {
				t.Fatalf("%s, block %d: %v", name, bad, err)
			}
			given, fits := bad, false
			switch name {
			case "invalid":
				fits = errors.Is(err, braid.ErrInvalidBlock) && errors.As(err, &invalid) &&
					invalid.TxIndex == 2
			case "undecodable":
				fits, given = errors.Is(err, braid.ErrDecode), 0
			case "broken":
				fits = errors.As(err, &other) && other.Status == braid.StatusBrokenRange &&
					errors.Is(err, braid.ErrCaller)
			}
			if !fits || count != given {
				t.Fatalf("%s, block %d, %d given: %v", name, bad, count, err)
			}
		}
		usable(t, executor, small(t))
	}
}

func TestRangeAnswers(t *testing.T) {
	line := line(t)
	executor := newExecutor(t, 2)
	for k := range line {
		for _, answer := range []func() error{
			func() error { return errDisk },
			func() error { panic(errDisk) },
			func() error { return fmt.Errorf("%w, and thanks", braid.ErrStopRange) },
		} {
			count := 0
			take := taking(line, &count)
			err := executor.ExecuteRange(context.Background(), rangeOf(t, line),
				func(index int, result *braid.Result) error {
					if err := take(index, result); err != nil {
						return err
					}
					if index == k {
						return answer()
					}
					return nil
				})
			if count != k+1 {
				t.Fatalf("%d blocks, not %d: %v", count, k+1, err)
			}
			var failed *braid.RangeError
			var host *braid.Error
			refused := errors.Is(err, errDisk) && errors.Is(err, braid.ErrHost) &&
				errors.As(err, &failed) && failed.Index == k && errors.As(err, &host) &&
				host.Status == braid.StatusBlockRefused
			if err != nil && !refused {
				t.Fatal(err)
			}
		}
	}
	usable(t, executor, small(t))
}

func TestRangeReaderFailsAtEveryRead(t *testing.T) {
	line := line(t)
	for _, threads := range []int{1, 4} {
		failures := 0
		for k := int64(1); ; k++ {
			executor, err := braid.NewExecutor(braid.Options{Threads: threads, Forced: true})
			if err != nil {
				t.Fatal(err)
			}
			reader := &faulty{Dump: line[0], at: func(read int64) error {
				if read >= k {
					return errDisk
				}
				return nil
			}}
			with := rangeOf(t, line)
			with.Reader = reader
			count := 0
			err = executor.ExecuteRange(context.Background(), with, taking(line, &count))
			executor.Close()
			var failed *braid.RangeError
			if err != nil && (!errors.Is(err, errDisk) || !errors.Is(err, braid.ErrHost) ||
				!errors.As(err, &failed) || failed.Index != count) {
				t.Fatalf("read %d, %d given: %v", k, count, err)
			}
			if err != nil {
				failures++
			} else if count != lineLength {
				t.Fatalf("read %d: %d given", k, count)
			}
			if reader.reads.Load() < k {
				break
			}
		}
		if failures < 10 {
			t.Fatalf("only %d ranges failed", failures)
		}
	}
}

func TestRangeMistakes(t *testing.T) {
	line := line(t)
	executor := newExecutor(t, 2)
	state, err := line[0].Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	none := func(int, *braid.Result) error { return errDisk }
	for name, spoil := range map[string]func(*braid.RangeRequest){
		"no chain":         func(r *braid.RangeRequest) { r.Chain = nil },
		"no block":         func(r *braid.RangeRequest) { r.Blocks[1] = nil },
		"no state":         func(r *braid.RangeRequest) { r.Reader = nil },
		"two states":       func(r *braid.RangeRequest) { r.Prestate = state },
		"negative timeout": func(r *braid.RangeRequest) { r.Timeout = -time.Second },
	} {
		with := rangeOf(t, line)
		spoil(with)
		err := executor.ExecuteRange(context.Background(), with, none)
		if !errors.Is(err, braid.ErrCaller) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = executor.ExecuteRange(context.Background(), rangeOf(t, line), nil)
	if !errors.Is(err, braid.ErrCaller) {
		t.Error(err)
	}
	err = executor.ExecuteRange(context.Background(), nil, none)
	if !errors.Is(err, braid.ErrCaller) {
		t.Error(err)
	}
	executor.Close()
	err = executor.ExecuteRange(context.Background(), rangeOf(t, line), none)
	if !errors.Is(err, braid.ErrClosed) {
		t.Error(err)
	}
}

func TestRangeCancellation(t *testing.T) {
	line := line(t)
	executor := newExecutor(t, 2)
	ctx, cancel := context.WithCancelCause(context.Background())
	count := 0
	take := taking(line, &count)
	with := rangeOf(t, line)
	// A read that waits gives the trigger time to be seen.
	with.Reader = &faulty{Dump: line[0], at: func(int64) error {
		cancel(errDisk)
		time.Sleep(5 * time.Millisecond)
		return nil
	}}
	err := executor.ExecuteRange(ctx, with, take)
	var host *braid.Error
	if !errors.Is(err, errDisk) || !errors.As(err, &host) || host.Status != braid.StatusCancelled {
		t.Fatal(err)
	}
	if err := executor.ExecuteRange(ctx, rangeOf(t, line), take); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	with = rangeOf(t, line)
	with.Timeout = time.Nanosecond
	err = executor.ExecuteRange(context.Background(), with, take)
	if !errors.As(err, &host) || host.Status != braid.StatusTimedOut {
		t.Fatal(err)
	}
	if count != 0 {
		t.Fatalf("%d blocks were given", count)
	}
	usable(t, executor, small(t))
}

// A block inside the function that takes the blocks is answered by an error; Close waits.
func TestRangeReentrantAndClose(t *testing.T) {
	line := line(t)
	executor, block := newExecutor(t, 2), small(t)
	inner, count := request(t, block), 0
	take := taking(line, &count)
	err := executor.ExecuteRange(context.Background(), rangeOf(t, line),
		func(index int, result *braid.Result) error {
			_, err := executor.Execute(context.Background(), inner)
			var failed *braid.Error
			if !errors.As(err, &failed) || failed.Status != braid.StatusReentrant {
				return fmt.Errorf("not reentrant: %w", err)
			}
			executor.Close()
			return take(index, result)
		})
	// Closed by now, which the second call finds before the library does.
	if err == nil || count != 1 || !errors.Is(err, braid.ErrClosed) {
		t.Fatalf("%d blocks: %v", count, err)
	}
}
