package gethadapter

import (
	"fmt"
	"math/big"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
)

// untold says why braid cannot be told of a block; geth judges it.
type untold struct {
	reason Reason
	err    error
}

func (u *untold) Error() string { return fmt.Sprintf("gethadapter: %s: %v", u.reason, u.err) }

func (u *untold) Unwrap() error { return u.err }

// maxFee is the first fee beyond 128 bits, which braid's transactions have for it.
var maxFee = new(big.Int).Lsh(big.NewInt(1), 128)

// tellable says why braid cannot be told of a transaction; nil where it can.
func tellable(tx *types.Transaction) error {
	if tx.GasFeeCapIntCmp(maxFee) >= 0 || tx.GasTipCapIntCmp(maxFee) >= 0 ||
		tx.Type() == types.BlobTxType && tx.BlobGasFeeCapIntCmp(maxFee) >= 0 {
		return &untold{HighFee, fmt.Errorf("%v wei", tx.GasFeeCap())}
	}
	return nil
}

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
			return nil, nil, &untold{NoSender, fmt.Errorf("transaction %d: %w", i, err)}
		}
		if err := tellable(tx); err != nil {
			return nil, nil, fmt.Errorf("transaction %d: %w", i, err)
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
