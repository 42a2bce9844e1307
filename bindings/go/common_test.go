//go:build cgo && !braid_stub

package braid_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

// blocksVariable names the folder of dumped blocks; `cargo xtask test go` makes it.
const blocksVariable = "BRAID_BLOCKS"

// folder of dumped blocks; a test without one is skipped.
func folder(t testing.TB) string {
	t.Helper()
	folder := os.Getenv(blocksVariable)
	if folder == "" {
		t.Skipf("SKIPPED: %s is not set; `cargo xtask test go` sets it", blocksVariable)
	}
	return folder
}

func read(t testing.TB, path string) *dump.Dump {
	t.Helper()
	block, err := dump.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// small is the small block that is always there.
func small(t testing.TB) *dump.Dump { return read(t, filepath.Join(folder(t), "synthetic.block")) }

// everyBlock gives every dumped block to executors with these numbers of threads; it returns how many
// blocks there are.
func everyBlock(
	t *testing.T, threads []int,
	try func(t *testing.T, executor *braid.Executor, name string, block *dump.Dump),
) int {
	files, err := dump.Files(folder(t))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dumped block: %v", err)
	}
	blocks := make([]*dump.Dump, len(files))
	for i, file := range files {
		blocks[i] = read(t, file)
	}
	for _, count := range threads {
		t.Run(fmt.Sprintf("%d threads", count), func(t *testing.T) {
			executor := newExecutor(t, count)
			for i, block := range blocks {
				try(t, executor, filepath.Base(files[i]), block)
			}
		})
	}
	return len(files)
}

func newExecutor(t testing.TB, threads int) *braid.Executor {
	t.Helper()
	executor, err := braid.NewExecutor(braid.Options{Threads: threads, Forced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(executor.Close)
	return executor
}

func chainOf(t testing.TB, block *dump.Dump) *braid.Chain {
	t.Helper()
	chain, err := block.Chain()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chain.Close)
	return chain
}

// request reads the state of a block through its own methods.
func request(t testing.TB, block *dump.Dump) *braid.Request {
	return &braid.Request{
		Chain: chainOf(t, block), Block: block.Parts(), Reader: block, CheckHeader: true,
	}
}

// executed fails the test where the executor does not give the block's result.
func executed(
	t testing.TB, executor *braid.Executor, with *braid.Request, block *dump.Dump,
) {
	t.Helper()
	result, err := executor.Execute(context.Background(), with)
	if err == nil {
		err = block.Check(result)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// usable fails the test where the executor does not execute a good block.
func usable(t testing.TB, executor *braid.Executor, block *dump.Dump) {
	t.Helper()
	result, err := executor.Execute(context.Background(), request(t, block))
	if err != nil {
		t.Fatalf("the executor is not usable afterwards: %v", err)
	}
	if err := block.Check(result); err != nil {
		t.Fatal(err)
	}
}
