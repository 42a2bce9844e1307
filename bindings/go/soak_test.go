//go:build cgo && !braid_stub && linux

package braid_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// soakVariable says how many blocks the soak executes after it has warmed up; the long form is
// 100,000.
const soakVariable = "BRAID_SOAK_BLOCKS"

// warmUp is after how many blocks the allocators have what they need, and Go its threads.
const warmUp = 10_000

// resident gives the resident memory in KiB and the number of threads of this process. The pages
// that Go's heap keeps free are left out: each processor's cache holds up to half a MiB of them,
// which comes and goes and would hide what grows.
func resident(t *testing.T) (memory, threads int) {
	debug.FreeOSMemory()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		// A line of another form is not one of the two.
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &memory)
		_, _ = fmt.Sscanf(line, "Threads: %d", &threads)
	}
	return memory - int((heap.HeapIdle-heap.HeapReleased)>>10), threads
}

// Small blocks without end, in memory and through callbacks: memory stays within 2 %, and there are
// never more threads. The caller is one thread: glibc gives each thread that executes a block some
// 350 KiB of its own, once, so that a goroutine that moves between threads would add that for each.
func TestSoak(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	block, count := small(t), 5000
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s is %q, not a number of blocks", soakVariable, text)
		}
	}
	executor, with := newExecutor(t, 2), request(t, block)
	state, err := block.Prestate()
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	inMemory := *with
	inMemory.Reader, inMemory.Prestate = nil, state
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	execute := func(blocks int) {
		for i := range blocks {
			if t.Failed() {
				return
			}
			request := with
			if i%2 == 1 {
				request = &inMemory
			}
			result, err := executor.Execute(ctx, request)
			if err == nil {
				err = block.Check(result)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	// Go starts its threads when it wants them; here it wants more than it will later.
	var group sync.WaitGroup
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			execute(200)
		}()
	}
	group.Wait()
	execute(max(count/4, warmUp))
	before, threadsBefore := resident(t)
	execute(count)
	after, threadsAfter := resident(t)
	t.Logf("%d blocks: %d KiB, then %d KiB; %d threads, then %d", count, before, after,
		threadsBefore, threadsAfter)
	if after > before+before/50 {
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	if threadsAfter > threadsBefore {
		t.Errorf("threads grew from %d to %d", threadsBefore, threadsAfter)
	}
}
