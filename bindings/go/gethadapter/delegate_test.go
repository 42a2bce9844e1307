package gethadapter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	braid "github.com/braid-evm/braid/bindings/go"
	"github.com/braid-evm/braid/bindings/go/gethadapter/internal/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/clique"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/stateless"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

// parentState is a fresh state before a block.
func parentState(bc *core.BlockChain, block *types.Block) (*state.StateDB, error) {
	parent := bc.GetHeader(block.ParentHash(), block.NumberU64()-1)
	return bc.StateAt(parent)
}

func processAgain(bc *core.BlockChain, p *Processor, block *types.Block) error {
	statedb, err := parentState(bc, block)
	if err != nil {
		return err
	}
	result, err := p.Process(context.Background(), block, statedb, nil, vm.Config{}, nil)
	if err != nil {
		return err
	}
	return bc.Validator().ValidateState(block, statedb, result, false)
}

// latest is a short chain of the newest fork.
func latest(seed int64) *chains.Chain {
	forks := chains.Forks()
	return chains.Generate(forks[len(forks)-2], 3, seed)
}

// Each reason to delegate that a block or its import can have; the result is geth's, and right.
func TestDelegation(t *testing.T) {
	chain := latest(7)
	bc, p := newChain(t, chain, quiet().WithArchive(true), Options{Mode: On, Threads: 2})
	insert(t, bc, chain.Blocks)
	block := chain.Blocks[0]
	before := p.Counters().Processed
	witnessed := func(statedb *state.StateDB) {
		witness, err := stateless.NewWitness(block.Header(), bc, false)
		if err != nil {
			t.Fatal(err)
		}
		statedb.StartPrefetcher("test", witness)
	}
	for _, test := range []struct {
		reason  Reason
		config  vm.Config
		prepare func(*state.StateDB)
	}{
		{Traced, vm.Config{Tracer: &tracing.Hooks{}}, nil},
		{Configured, vm.Config{NoBaseFee: true}, nil},
		{Configured, vm.Config{EnablePreimageRecording: true}, nil},
		{Witnessed, vm.Config{}, witnessed},
	} {
		statedb, err := parentState(bc, block)
		if err != nil {
			t.Fatal(err)
		}
		if test.prepare != nil {
			test.prepare(statedb)
		}
		count := p.Counters().Delegated[test.reason]
		result, err := p.Process(context.Background(), block, statedb, nil, test.config, nil)
		if err == nil {
			err = bc.Validator().ValidateState(block, statedb, result, false)
		}
		statedb.StopPrefetcher()
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
		}
		if p.Counters().Delegated[test.reason] != count+1 {
			t.Errorf("%s: %+v", test.reason, p.Counters())
		}
	}
	if p.Counters().Processed != before {
		t.Error("a delegated block was counted as processed")
	}
}

// The reasons that lie in a chain's config.
func TestDelegationByConfig(t *testing.T) {
	old := chains.Forks()[0]
	homestead := *old.Config
	homestead.ByzantiumBlock = big.NewInt(2)
	forks := chains.Forks()
	amsterdam := *forks[len(forks)-2].Config
	future := uint64(1 << 40)
	amsterdam.BogotaTime = &future
	for reason, config := range map[Reason]*params.ChainConfig{
		PreByzantium: &homestead, UnknownChain: &amsterdam,
	} {
		chain := chains.Empty(chains.Fork{Name: string(reason), Config: config}, 2)
		bc, p := newChain(t, chain, quiet(), Options{Mode: On, Threads: 2})
		insert(t, bc, chain.Blocks)
		if p.Counters().Delegated[reason] == 0 {
			t.Errorf("%s: %+v", reason, p.Counters())
		}
	}
}

// A chain on which Petersburg came later: geth executes the blocks in between, braid the others.
func TestDelegationBeforePetersburg(t *testing.T) {
	config := *chains.Forks()[2].Config
	config.ConstantinopleBlock, config.PetersburgBlock = big.NewInt(3), big.NewInt(6)
	chain := chains.Generate(chains.Fork{Name: "Ropsten", Config: &config}, 8, 12)
	bc, p := newChain(t, chain, quiet(), Options{Mode: Verify, Threads: 2, Forced: true})
	insert(t, bc, chain.Blocks)
	have := p.Counters()
	if have.Processed != 5 || have.Delegated[ForkUnsupported] != 3 || have.Differences != 0 {
		t.Errorf("%+v", have)
	}
}

// Transactions that braid cannot be told of: geth judges the block, and braid has not failed.
func TestDelegationByTransaction(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	high := new(big.Int).Lsh(big.NewInt(1), 130)
	for reason, test := range map[Reason]struct {
		fork chains.Fork
		tx   types.TxData
	}{
		NoSender: {chains.Forks()[0], &types.DynamicFeeTx{ChainID: big.NewInt(1337), Gas: 21_000}},
		HighFee:  {chains.Forks()[5], &types.LegacyTx{GasPrice: high, Gas: 21_000}},
	} {
		chain := chains.Empty(test.fork, 1)
		bc, p := newChain(t, chain, quiet(), Options{Mode: On, Threads: 2})
		tx := types.MustSignNewTx(key, types.LatestSignerForChainID(big.NewInt(1337)), test.tx)
		block := chain.Blocks[0].WithBody(types.Body{Transactions: types.Transactions{tx}})
		if err := processAgain(bc, p, block); err == nil {
			t.Errorf("%s: the block is valid", reason)
		}
		have := p.Counters()
		if have.Delegated[reason] != 1 || have.Failure != nil || have.Processed != 0 {
			t.Errorf("%s: %+v", reason, have)
		}
	}
}

// A clique chain pays no rewards; braid must not.
func TestDelegationOfClique(t *testing.T) {
	old := chains.Forks()[0]
	config := *old.Config
	config.Ethash, config.Clique = nil, &params.CliqueConfig{Period: 1, Epoch: 100}
	engine := clique.New(config.Clique, rawdb.NewMemoryDatabase())
	genesis := &core.Genesis{
		Config: &config, ExtraData: make([]byte, 32+20+65), Difficulty: big.NewInt(1),
		GasLimit: 30_000_000,
	}
	bc, err := core.NewBlockChain(rawdb.NewMemoryDatabase(), genesis, engine, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer bc.Stop()
	p, err := New(bc, Options{Mode: On, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	header := &types.Header{
		ParentHash: bc.CurrentBlock().Hash(), Number: big.NewInt(1), GasLimit: 30_000_000,
		Difficulty: big.NewInt(2), Time: 10,
	}
	statedb, err := bc.State()
	if err != nil {
		t.Fatal(err)
	}
	block := types.NewBlockWithHeader(header)
	if reason := p.delegates(block, statedb, vm.Config{}); reason != UnknownEngine {
		t.Errorf("reason %q", reason)
	}
}

// failingReader fails for one account.
type failingReader struct {
	state.Reader
	address common.Address
}

var errDisk = errors.New("the disk is on fire")

func (r failingReader) Account(address common.Address) (*types.StateAccount, error) {
	if address == r.address {
		return nil, errDisk
	}
	return r.Reader.Account(address)
}

// A failure of braid is no verdict: geth executes the block on an untouched state.
func TestFallback(t *testing.T) {
	chain := latest(8)
	options := Options{Mode: On, Threads: 2, Forced: true}
	bc, p := newChain(t, chain, quiet().WithArchive(true), options)
	insert(t, bc, chain.Blocks)
	block := chain.Blocks[1]
	p.executor.Close()
	if err := processAgain(bc, p, block); err != nil {
		t.Fatal(err)
	}
	if p.Counters().Delegated[BraidFailed] != 1 {
		t.Errorf("%+v", p.Counters())
	}
}

// An unreadable state makes braid fail with the reader's own error, and no block invalid by braid.
func TestUnreadableState(t *testing.T) {
	chain := latest(9)
	options := Options{Mode: On, Threads: 2, Forced: true}
	bc, p := newChain(t, chain, quiet().WithArchive(true), options)
	insert(t, bc, chain.Blocks)
	block := chain.Blocks[1]
	statedb, err := parentState(bc, block)
	if err != nil {
		t.Fatal(err)
	}
	reader := failingReader{statedb.Reader(), params.HistoryStorageAddress}
	_, err = p.execute(context.Background(), block, newStateReader(bc, block, reader))
	if !errors.Is(err, errDisk) || !errors.Is(err, braid.ErrHost) ||
		errors.Is(err, braid.ErrInvalidBlock) {
		t.Fatal(err)
	}
}

// A cancelled context neither stops an import nor makes a block bad, as with geth's processor.
func TestCancelledContext(t *testing.T) {
	chain := latest(10)
	bc, p := newChain(t, chain, quiet().WithArchive(true), Options{Mode: On, Threads: 2})
	insert(t, bc, chain.Blocks)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	statedb, err := parentState(bc, chain.Blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Process(ctx, chain.Blocks[0], statedb, nil, vm.Config{}, nil); err != nil {
		t.Fatal(err)
	}
}

// lyingReader gives an account more than it has, so that braid computes something else than geth.
type lyingReader struct {
	state.Reader
	address common.Address
}

func (r lyingReader) Account(address common.Address) (*types.StateAccount, error) {
	account, err := r.Reader.Account(address)
	if account != nil && address == r.address {
		account.Balance.AddUint64(account.Balance, 1)
	}
	return account, err
}

// A difference is found, counted, and recorded so that `braid replay` reads it. In shadow mode
// geth's result is used, in verify mode the block is refused.
func TestDifference(t *testing.T) {
	chain := latest(11)
	folder := t.TempDir()
	for _, mode := range []Mode{Shadow, Verify} {
		options := Options{Mode: mode, Threads: 2, Forced: true, Folder: folder}
		bc, p := newChain(t, chain, quiet().WithArchive(true), options)
		insert(t, bc, chain.Blocks)
		block := chain.Blocks[0]
		sender, err := types.Sender(types.LatestSigner(bc.Config()), block.Transactions()[0])
		if err != nil {
			t.Fatal(err)
		}
		geth, err := parentState(bc, block)
		if err != nil {
			t.Fatal(err)
		}
		// The lie is told to braid's copy alone.
		p.lie = func(reader state.Reader) state.Reader { return lyingReader{reader, sender} }
		result, err := p.Process(context.Background(), block, geth, nil, vm.Config{}, nil)
		if have := p.Counters().Differences; have != 1 {
			t.Fatalf("%d differences", have)
		}
		if mode == Verify {
			if !errors.Is(err, ErrDifference) {
				t.Fatal(err)
			}
			continue
		}
		if err == nil {
			err = bc.Validator().ValidateState(block, geth, result, false)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replay(t, filepath.Join(folder, "1.json.zst"), 1)
}

// binaryVariable names the command line, with which recorded blocks are replayed.
const binaryVariable = "BRAID_BINARY"

// replay executes a recorded block again; the lie in it may make it differ from its header.
func replay(t *testing.T, file string, transactions int) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		t.Logf("SKIPPED: the replay: %s is not set; `cargo xtask test go` sets it", binaryVariable)
		return
	}
	output, err := exec.Command(binary, "replay", "--json", "--rounds", "1", file).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var line struct {
		Match   bool `json:"match"`
		GasUsed bool `json:"gas_used"`
		Txs     int  `json:"txs"`
	}
	if err := json.NewDecoder(bytes.NewReader(output)).Decode(&line); err != nil {
		t.Fatal(err)
	}
	if !line.Match || !line.GasUsed || line.Txs < transactions {
		t.Fatal(fmt.Sprintf("%s", output))
	}
}
