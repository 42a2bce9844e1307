//go:build cgo && !braid_stub && linux

package braid_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// soakVariable says how many blocks the soak executes; the long form is 100,000.
const soakVariable = "BRAID_SOAK_BLOCKS"

// resident gives the resident memory in KiB and the number of threads of this process.
func resident(t *testing.T) (memory, threads int) {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		// A line of another form is not one of the two.
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &memory)
		_, _ = fmt.Sscanf(line, "Threads: %d", &threads)
	}
	return memory, threads
}

// jitter is how far two looks at the resident memory of this small process, of some 12 MiB, lie apart
// when nothing grows: the kernel and both allocators give pages back when they like. It is 4 %, so
// that 2 % alone could not be told here; over 75,000 blocks it still shows 14 bytes a block.
const jitter = 1 << 10

// Small blocks without end, in memory and through callbacks: memory stays within 2 %, but for the
// jitter, and there are never more threads.
func TestSoak(t *testing.T) {
	block, count := small(t), 4000
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
			request := with
			if i%2 == 1 {
				request = &inMemory
			}
			result, err := executor.Execute(ctx, request)
			if err == nil {
				err = block.Check(result)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	execute(count / 4)
	before, threadsBefore := resident(t)
	execute(count - count/4)
	after, threadsAfter := resident(t)
	t.Logf("%d blocks: %d KiB, then %d KiB; %d threads, then %d", count, before, after,
		threadsBefore, threadsAfter)
	if after > before+max(before/50, jitter) {
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	if threadsAfter > threadsBefore {
		t.Errorf("threads grew from %d to %d", threadsBefore, threadsAfter)
	}
}
