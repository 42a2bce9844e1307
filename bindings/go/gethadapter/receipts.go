package gethadapter

import (
	"math/big"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip4844"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/types/bal"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

// processResult gives a result in geth's form, with every field that geth's processor fills.
func (p *Processor) processResult(
	block *types.Block, senders []common.Address, from *braid.Result,
) *core.ProcessResult {
	into := &core.ProcessResult{
		Receipts: make(types.Receipts, len(from.Receipts)),
		Requests: from.Requests,
		GasUsed:  from.GasUsed,
		Bal:      bal.NewConstructionBlockAccessList(),
	}
	header := block.Header()
	var blobPrice *big.Int
	if header.ExcessBlobGas != nil {
		blobPrice = eip4844.CalcBlobFee(p.config, header)
	}
	for i, tx := range block.Transactions() {
		receipt := consensusReceipt(&from.Receipts[i])
		receipt.TxHash = tx.Hash()
		receipt.BlockHash, receipt.BlockNumber = block.Hash(), block.Number()
		receipt.TransactionIndex = uint(i)
		if tx.Type() == types.BlobTxType {
			receipt.BlobGasUsed = uint64(len(tx.BlobHashes()) * params.BlobTxBlobGasPerBlob)
			receipt.BlobGasPrice = blobPrice
		}
		if tx.To() == nil {
			receipt.ContractAddress = crypto.CreateAddress(senders[i], tx.Nonce())
		}
		for _, log := range receipt.Logs {
			log.BlockNumber, log.BlockHash = block.NumberU64(), block.Hash()
			log.BlockTimestamp = block.Time()
			log.TxHash, log.TxIndex = tx.Hash(), uint(i)
			log.Index = uint(len(into.Logs))
			into.Logs = append(into.Logs, log)
		}
		into.Receipts[i] = receipt
	}
	return into
}

// consensusReceipt holds what the receipts root is made of, and the gas of the transaction.
func consensusReceipt(from *braid.Receipt) *types.Receipt {
	receipt := &types.Receipt{
		Type:              from.Type,
		CumulativeGasUsed: from.CumulativeGasUsed,
		Bloom:             types.Bloom(from.LogsBloom),
		GasUsed:           from.GasUsed,
	}
	if from.Success {
		receipt.Status = types.ReceiptStatusSuccessful
	}
	for i := range from.Logs {
		log := &types.Log{
			Address: common.Address(from.Logs[i].Address),
			Topics:  make([]common.Hash, len(from.Logs[i].Topics)),
			Data:    from.Logs[i].Data,
		}
		for j, topic := range from.Logs[i].Topics {
			log.Topics[j] = common.Hash(topic)
		}
		receipt.Logs = append(receipt.Logs, log)
	}
	return receipt
}
