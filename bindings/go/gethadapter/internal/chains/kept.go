package chains

import (
	"bytes"
	"fmt"
	"os"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
)

// Maker makes a chain, as [Generate] and [Heavy] do.
type Maker func(fork Fork, count int, seed int64) *Chain

// recover finds the senders, which transactions remember, as those of a made chain do: whoever
// imports the chain first would have to find them otherwise.
func (c *Chain) recover() error {
	for _, block := range c.Blocks {
		signer := types.MakeSigner(c.Config, block.Number(), block.Time())
		for i, tx := range block.Transactions() {
			if _, err := types.Sender(signer, tx); err != nil {
				return fmt.Errorf("block %d, transaction %d: %w", block.NumberU64(), i, err)
			}
		}
	}
	return nil
}

// Kept gives the chain in a file, without its receipts, or makes it and writes it there; without a
// file it only makes it. A file that holds a chain of another length or fork is replaced. The file
// does not tell what filled the blocks: each maker needs one of its own.
func Kept(file string, make Maker, fork Fork, count int, seed int64) (*Chain, error) {
	if file == "" {
		return make(fork, count, seed), nil
	}
	text, err := os.ReadFile(file)
	if err == nil {
		chain := &Chain{Fork: fork, Genesis: newGenerator(fork, seed).genesis()}
		if err := rlp.DecodeBytes(text, &chain.Blocks); err != nil {
			return nil, fmt.Errorf("%s: %w; delete it to generate the chain again", file, err)
		}
		parent := chain.Genesis.ToBlock().Hash()
		if count > 0 && len(chain.Blocks) == count && chain.Blocks[0].ParentHash() == parent {
			return chain, chain.recover()
		}
	} else if !os.IsNotExist(err) {
		return nil, err
	}
	chain := make(fork, count, seed)
	var encoded bytes.Buffer
	if err := rlp.Encode(&encoded, types.Blocks(chain.Blocks)); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return chain, os.WriteFile(file, encoded.Bytes(), 0o644)
}
