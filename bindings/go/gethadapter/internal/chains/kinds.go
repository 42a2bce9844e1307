package chains

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// kinds are the transactions that the block's fork knows.
func (g *generator) kinds() []func() {
	block, time := g.block.Number(), g.block.Timestamp()
	kinds := []func(){
		g.transfer, g.transfer, g.token, g.token, g.swap, g.create, g.observe, g.mortal, g.old,
		g.poor,
	}
	if g.config.IsConstantinople(block) {
		kinds = append(kinds, g.factory, g.factory)
	}
	if g.config.IsCancun(block, time) {
		kinds = append(kinds, g.blob)
	}
	if g.config.IsPrague(block, time) {
		kinds = append(kinds, g.delegate, g.delegate, g.request, g.deposit)
	}
	return kinds
}

// transfer also pays nothing, to touch an empty account, and the sender itself.
func (g *generator) transfer() {
	to := g.anyAddress()
	g.send(&to, int64(g.Intn(3)), 200_000, nil)
}

// token goes to few holders, so that their slots and the counter are hot.
func (g *generator) token() {
	to := common.BytesToHash(g.addresses[g.Intn(3)].Bytes())
	g.send(&tokenAddress, 0, 120_000, words(to, number(uint64(g.Intn(100)))))
}

func (g *generator) swap() {
	g.send(&poolAddress, 0, 150_000, words(number(uint64(1+g.Intn(1<<30)))))
}

// create creates a mortal contract, with or without value.
func (g *generator) create() { g.send(nil, int64(g.Intn(2)), 300_000, mortalInit()) }

func (g *generator) observe() {
	g.send(&observer, 0, 150_000, words(number(uint64(g.Intn(2)))))
}

// factory creates, and at times destroys in the same transaction.
func (g *generator) factory() {
	destroy := number(uint64(g.Intn(2)))
	g.send(&factoryAddress, int64(g.Intn(2)), 500_000, words(g.salt(), destroy))
}

// mortal pokes or destroys what the factory may have created.
func (g *generator) mortal() {
	to := mortalAddress(g.salt())
	g.send(&to, int64(g.Intn(2)), 150_000, make([]byte, g.Intn(2)))
}

// old pokes or, rarely, destroys a contract that was there before the first block.
func (g *generator) old() {
	var data []byte
	if g.Intn(10) == 0 {
		data = []byte{1}
	}
	g.send(&oldMortal, 0, 150_000, data)
}

// poor fails: the contract runs out of gas.
func (g *generator) poor() { g.send(&poolAddress, 0, 30_000, words(number(5))) }

// blob has no sidecar, as in a block.
func (g *generator) blob() {
	if g.blobs == maxBlobs {
		return
	}
	g.blobs++
	from := g.Intn(len(g.keys))
	g.add(from, &types.BlobTx{
		ChainID:    uint256.MustFromBig(g.config.ChainID),
		Nonce:      g.block.TxNonce(g.addresses[from]),
		GasFeeCap:  uint256.MustFromBig(new(big.Int).Mul(g.block.BaseFee(), big.NewInt(2))),
		Gas:        120_000,
		To:         tokenAddress,
		Data:       words(number(uint64(g.Intn(4))), number(1)),
		BlobFeeCap: uint256.NewInt(params.GWei),
		BlobHashes: []common.Hash{{0x01, byte(g.Intn(256))}},
	})
}

// delegate makes accounts delegate to contracts, and at times to nothing (EIP-7702).
func (g *generator) delegate() {
	from, authority := g.Intn(len(g.keys)), g.Intn(len(g.keys))
	if from == authority {
		return // Its nonce would be another one.
	}
	targets := []common.Address{{}, tokenAddress, poolAddress, observer}
	if authority < 3 {
		// It loses its money whenever it is called with data, so that few may do it.
		targets = append(targets, oldMortal)
	}
	to := g.addresses[authority]
	g.add(from, &types.SetCodeTx{
		ChainID:   uint256.MustFromBig(g.config.ChainID),
		Nonce:     g.block.TxNonce(g.addresses[from]),
		GasFeeCap: uint256.MustFromBig(new(big.Int).Mul(g.block.BaseFee(), big.NewInt(2))),
		Gas:       300_000,
		To:        to,
		Data:      words(number(uint64(1+g.Intn(3))), number(7)),
		AuthList: []types.SetCodeAuthorization{
			g.authorization(authority, targets[g.Intn(len(targets))]),
		},
	})
}

// request asks for a withdrawal (EIP-7002) or a consolidation (EIP-7251).
func (g *generator) request() {
	if g.Intn(2) == 0 {
		data := make([]byte, 56)
		g.Read(data)
		g.send(&params.WithdrawalQueueAddress, 1_000_000, 300_000, data)
		return
	}
	data := make([]byte, 96)
	g.Read(data)
	g.send(&params.ConsolidationQueueAddress, 1_000_000, 300_000, data)
}

// deposit logs a deposit event as the contract's interface encodes it: five fields of bytes.
func (g *generator) deposit() {
	lengths := []int{48, 32, 8, 96, 8}
	offset := uint64(32 * len(lengths))
	var head, tail []byte
	for _, length := range lengths {
		head = append(head, words(number(offset))...)
		field := make([]byte, (length+31)/32*32)
		g.Read(field[:length])
		tail = append(tail, words(number(uint64(length)))...)
		tail = append(tail, field...)
		offset += uint64(32 + len(field))
	}
	g.send(&depositAddress, 0, 200_000, append(head, tail...))
}

// Heavy makes a chain whose blocks are full of work, for measurements: computation on slots that
// mostly differ, tokens, swaps.
func Heavy(fork Fork, count int, seed int64) *Chain {
	g := newGenerator(fork, seed)
	return g.chain(fork, count, func(int) {
		for i := range 120 {
			switch {
			case i%12 == 0:
				g.swap()
			case i%6 == 0:
				g.token()
			default:
				slot := number(uint64(1 + g.Intn(1000)))
				g.sendFrom(i%accountsCount, &grinder, 0, 240_000, words(number(1500), slot))
			}
		}
	})
}

// Empty makes a chain of blocks without transactions.
func Empty(fork Fork, count int) *Chain {
	g := newGenerator(fork, 0)
	return g.chain(fork, count, func(int) {})
}

// Call is a call of [Forwarder].
type Call struct {
	// To is what is called, with Input as data.
	To    common.Address
	Input []byte
	// Succeeds is what the slot of the call must say.
	Succeeds bool
}

// Slot is where the result of a call is stored.
func Slot(call int) common.Hash { return number(uint64(call)) }

// Calls makes a chain of one block with these calls.
func Calls(fork Fork, calls []Call) *Chain {
	g := newGenerator(fork, 0)
	return g.chain(fork, 1, func(int) {
		for i, call := range calls {
			data := append(words(common.BytesToHash(call.To[:]), Slot(i)), call.Input...)
			g.sendFrom(i, &Forwarder, 0, 1_000_000, data)
		}
	})
}
