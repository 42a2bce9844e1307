package chains

import (
	"crypto/ecdsa"
	"math/big"
	"math/rand"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// accountsCount is how many accounts send transactions.
const accountsCount = 24

// maxBlobs is how many blobs a block may have under Cancun's limit.
const maxBlobs = 6

// Chain is a generated chain.
type Chain struct {
	Fork
	// Genesis is what the chain begins with.
	Genesis *core.Genesis
	// Blocks are in order, from number 1 on.
	Blocks []*types.Block
	// Receipts are those of each block, as geth made them.
	Receipts []types.Receipts
}

// generator makes the transactions of one chain.
type generator struct {
	*rand.Rand
	config *params.ChainConfig
	keys   []*ecdsa.PrivateKey
	block  *core.BlockGen
	// blobs are those of the block so far.
	blobs     int
	addresses []common.Address
}

func newGenerator(fork Fork, seed int64) *generator {
	g := &generator{Rand: rand.New(rand.NewSource(seed)), config: fork.Config}
	for i := range accountsCount {
		key, err := crypto.ToECDSA(number(uint64(i + 1)).Bytes())
		if err != nil {
			panic(err) // The numbers from 1 on are keys.
		}
		g.keys = append(g.keys, key)
		g.addresses = append(g.addresses, crypto.PubkeyToAddress(key.PublicKey))
	}
	return g
}

func (g *generator) genesis() *core.Genesis {
	alloc := contracts()
	for _, address := range g.addresses {
		alloc[address] = types.Account{Balance: bigEther(1_000_000)}
	}
	if g.config.CancunTime != nil {
		alloc[params.BeaconRootsAddress] = types.Account{Nonce: 1, Code: params.BeaconRootsCode}
	}
	if g.config.PragueTime != nil {
		for address, code := range map[common.Address][]byte{
			params.HistoryStorageAddress:     params.HistoryStorageCode,
			params.WithdrawalQueueAddress:    params.WithdrawalQueueCode,
			params.ConsolidationQueueAddress: params.ConsolidationQueueCode,
		} {
			alloc[address] = types.Account{Nonce: 1, Code: code}
		}
	}
	difficulty := big.NewInt(131072)
	if g.config.TerminalTotalDifficulty != nil {
		difficulty = new(big.Int)
	}
	genesis := &core.Genesis{
		Config: g.config, Alloc: alloc, GasLimit: 30_000_000, Difficulty: difficulty,
	}
	if g.config.LondonBlock != nil {
		genesis.BaseFee = big.NewInt(params.InitialBaseFee)
	}
	return genesis
}

// Generate makes a chain of count blocks.
func Generate(fork Fork, count int, seed int64) *Chain {
	g := newGenerator(fork, seed)
	return g.chain(fork, count, g.mixed)
}

func (g *generator) chain(fork Fork, count int, fill func(int)) *Chain {
	chain := &Chain{Fork: fork, Genesis: g.genesis()}
	_, chain.Blocks, chain.Receipts = core.GenerateChainWithGenesis(
		chain.Genesis, fork.Engine(), count, func(i int, block *core.BlockGen) {
			g.block, g.blobs = block, 0
			beneficiary := common.Address{0xc0, byte(g.Intn(3))}
			if i%7 == 3 {
				// It sends transactions too.
				beneficiary = g.addresses[g.Intn(4)]
			}
			block.SetCoinbase(beneficiary)
			if g.config.IsCancun(block.Number(), block.Timestamp()) {
				block.SetParentBeaconRoot(number(g.Uint64()))
			}
			fill(i)
		})
	return chain
}

// mixed fills a block with all kinds of transactions that its fork knows.
func (g *generator) mixed(i int) {
	if g.config.IsShanghai(g.block.Number(), g.block.Timestamp()) {
		for range g.Intn(4) {
			g.block.AddWithdrawal(&types.Withdrawal{
				Validator: g.Uint64(), Address: g.anyAddress(), Amount: uint64(g.Intn(3)),
			})
		}
	}
	if i%11 == 5 {
		return // Withdrawals only, or nothing.
	}
	kinds := g.kinds()
	for range 1 + g.Intn(30) {
		kinds[g.Intn(len(kinds))]()
	}
}

// anyAddress is one that is used, one that is not, an empty account, or the beneficiary.
func (g *generator) anyAddress() common.Address {
	switch g.Intn(8) {
	case 0:
		return common.Address{0xfe, byte(g.Intn(256)), byte(g.Intn(256))}
	case 1:
		return emptyAddress
	case 2:
		return common.Address{0xc0, byte(g.Intn(3))}
	case 3:
		return mortalAddress(g.salt())
	default:
		return g.addresses[g.Intn(len(g.addresses))]
	}
}

func (g *generator) salt() common.Hash { return number(uint64(g.Intn(4))) }

// send adds a legacy or dynamic-fee transaction of a random sender.
func (g *generator) send(to *common.Address, value int64, gas uint64, data []byte) {
	g.sendFrom(g.Intn(len(g.keys)), to, value, gas, data)
}

func (g *generator) sendFrom(from int, to *common.Address, value int64, gas uint64, data []byte) {
	nonce := g.block.TxNonce(g.addresses[from])
	price := big.NewInt(params.GWei)
	var inner types.TxData
	if g.config.IsLondon(g.block.Number()) {
		fee := g.block.BaseFee()
		price = new(big.Int).Add(fee, big.NewInt(int64(100+g.Intn(1000))))
		inner = &types.DynamicFeeTx{
			ChainID: g.config.ChainID, Nonce: nonce, GasTipCap: big.NewInt(int64(g.Intn(100))),
			GasFeeCap: price, Gas: gas, To: to, Value: big.NewInt(value), Data: data,
		}
	}
	berlin := g.config.IsBerlin(g.block.Number())
	if inner == nil || g.Intn(3) == 0 {
		inner = &types.LegacyTx{
			Nonce: nonce, GasPrice: price, Gas: gas, To: to, Value: big.NewInt(value), Data: data,
		}
		if berlin && g.Intn(2) == 0 {
			inner = &types.AccessListTx{
				ChainID: g.config.ChainID, Nonce: nonce, GasPrice: price, Gas: gas + 10_000, To: to,
				Value: big.NewInt(value), Data: data,
				AccessList: types.AccessList{{
					Address: tokenAddress, StorageKeys: []common.Hash{{}, number(1)},
				}},
			}
		}
	}
	g.add(from, inner)
}

// add signs and adds a transaction, where the block has gas for it and the sender the money: one
// that delegated to a mortal contract may have lost all.
func (g *generator) add(from int, inner types.TxData) {
	tx := types.MustSignNewTx(g.keys[from], g.block.Signer(), inner)
	poor := g.block.GetBalance(g.addresses[from]).CmpBig(bigEther(10)) < 0
	if g.block.Gas() >= tx.Gas() && !poor {
		g.block.AddTx(tx)
	}
}

func (g *generator) authorization(authority int, to common.Address) types.SetCodeAuthorization {
	auth, err := types.SignSetCode(g.keys[authority], types.SetCodeAuthorization{
		ChainID: *uint256.MustFromBig(g.config.ChainID), Address: to,
		Nonce: g.block.TxNonce(g.addresses[authority]),
	})
	if err != nil {
		panic(err) // The key is good.
	}
	return auth
}
