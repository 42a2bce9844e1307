// Package chains generates chains with geth, for differential tests and measurements.
//
// Actors: a [Fork] names the rules; [Generate] makes blocks from seeded random numbers, so that the
// same seed gives the same chain. The transactions of a block depend on each other in many ways:
// hot slots, a market, contracts that are created, destroyed and created again, delegations, the
// beneficiary as sender. geth executes them sequentially while it generates; its headers are what
// another executor is compared with.
package chains

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

// Fork is a chain's rules.
type Fork struct {
	// Name is the fork's, or Transition for a chain that passes through them.
	Name string
	// Config is what geth knows the rules by.
	Config *params.ChainConfig
}

var names = []string{
	"Byzantium", "Constantinople", "Petersburg", "Istanbul", "Berlin", "London", "Paris",
	"Shanghai", "Cancun", "Prague", "Osaka",
}

// Forks are all forks from Byzantium to Osaka, and a chain through the last four of them.
func Forks() []Fork {
	var forks []Fork
	for i, name := range names {
		forks = append(forks, Fork{name, config(i, func(int) uint64 { return 0 })})
	}
	// A fork each 40 seconds, which are four blocks.
	last := len(names) - 1
	transition := config(last, func(fork int) uint64 { return uint64(40 * (fork - 6)) })
	return append(forks, Fork{"Transition", transition})
}

// config has the forks up to one of names, those after the merge at the times that at gives.
func config(last int, at func(int) uint64) *params.ChainConfig {
	zero := big.NewInt(0)
	c := &params.ChainConfig{
		ChainID:                big.NewInt(1337),
		HomesteadBlock:         zero,
		EIP150Block:            zero,
		EIP155Block:            zero,
		EIP158Block:            zero,
		ByzantiumBlock:         zero,
		DepositContractAddress: depositAddress,
		Ethash:                 new(params.EthashConfig),
	}
	byBlock := []**big.Int{
		&c.ConstantinopleBlock, &c.PetersburgBlock, &c.IstanbulBlock, &c.BerlinBlock,
		&c.LondonBlock, &c.TerminalTotalDifficulty,
	}
	byTime := []**uint64{&c.ShanghaiTime, &c.CancunTime, &c.PragueTime, &c.OsakaTime}
	for i := 1; i <= last; i++ {
		if i <= len(byBlock) {
			*byBlock[i-1] = zero
		} else {
			time := at(i)
			*byTime[i-1-len(byBlock)] = &time
		}
	}
	if names[last] == "Constantinople" {
		// A missing Petersburg would come with Constantinople.
		c.PetersburgBlock = big.NewInt(1 << 40)
	}
	c.BlobScheduleConfig = &params.BlobScheduleConfig{
		Cancun: params.DefaultCancunBlobConfig,
		Prague: params.DefaultPragueBlobConfig,
	}
	return c
}

// Engine is what pays the rewards on a chain.
func (f Fork) Engine() consensus.Engine {
	if f.Config.TerminalTotalDifficulty == nil {
		return ethash.NewFaker()
	}
	return beacon.New(ethash.NewFaker())
}

func bigEther(count int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(count), big.NewInt(params.Ether))
}

func create2(from common.Address, salt common.Hash, init []byte) common.Address {
	return crypto.CreateAddress2(from, salt, crypto.Keccak256(init))
}
