// Command replay executes dumped blocks and says whether each is what its header says.
//
//	replay [-threads N] FILE.block...
//
// It ends with 1 where a block is not, with 2 where it is used wrongly.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/internal/dump"
)

func main() {
	threads := flag.Int("threads", 0, "threads that execute a block; 0: one per core")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	executor, err := braid.NewExecutor(braid.Options{Threads: *threads})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer executor.Close()
	failed := false
	for _, path := range flag.Args() {
		if err := replay(executor, path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func replay(executor *braid.Executor, path string) error {
	block, err := dump.Read(path)
	if err != nil {
		return err
	}
	chain, err := block.Chain()
	if err != nil {
		return err
	}
	defer chain.Close()
	result, err := executor.Execute(context.Background(), &braid.Request{
		Chain:       chain,
		Block:       block.Parts(),
		Reader:      block,
		CheckHeader: true,
	})
	if err != nil {
		return err
	}
	if err := block.Check(result); err != nil {
		return err
	}
	fmt.Printf("%s: gas %d, %d transactions, %d executions, %v\n", path, result.GasUsed,
		len(result.Receipts), result.Statistics.Executions, result.Statistics.Execute)
	return nil
}
