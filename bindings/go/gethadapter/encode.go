package gethadapter

import (
	"fmt"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
)

// encode gives a block in braid's form, with its senders, which geth has mostly recovered before.
//
// An error is no verdict: what braid cannot be told, geth judges.
func (p *Processor) encode(block *types.Block) (*braid.Block, []common.Address, error) {
	header, err := rlp.EncodeToBytes(block.Header())
	if err != nil {
		return nil, nil, fmt.Errorf("gethadapter: header: %w", err)
	}
	encoded := &braid.Block{HeaderRLP: header}
	signer := types.MakeSigner(p.config, block.Number(), block.Time())
	var senders []common.Address
	for i, tx := range block.Transactions() {
		sender, err := types.Sender(signer, tx)
		if err != nil {
			return nil, nil, fmt.Errorf("gethadapter: sender of transaction %d: %w", i, err)
		}
		if tx.BlobTxSidecar() != nil {
			tx = tx.WithoutBlobTxSidecar()
		}
		text, err := tx.MarshalBinary()
		if err != nil {
			return nil, nil, fmt.Errorf("gethadapter: transaction %d: %w", i, err)
		}
		senders = append(senders, sender)
		encoded.Senders = append(encoded.Senders, braid.Address(sender))
		encoded.Transactions = append(encoded.Transactions, text)
	}
	if ommers := block.Uncles(); len(ommers) > 0 {
		if encoded.OmmersRLP, err = rlp.EncodeToBytes(ommers); err != nil {
			return nil, nil, fmt.Errorf("gethadapter: ommers: %w", err)
		}
	}
	if withdrawals := block.Withdrawals(); withdrawals != nil {
		if encoded.WithdrawalsRLP, err = rlp.EncodeToBytes(withdrawals); err != nil {
			return nil, nil, fmt.Errorf("gethadapter: withdrawals: %w", err)
		}
	}
	return encoded, senders, nil
}
