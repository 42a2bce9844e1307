package gethadapter

import (
	"crypto/sha256"
	"testing"

	"github.com/braid-evm/braid/bindings/go/gethadapter/internal/chains"
	bls12381 "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto/kzg4844"
)

// One program with geth's KZG code, which is C with the build tag ckzg, and with braid's: geth
// makes and checks a proof, and both execute blocks that check it again and add points of
// BLS12-381.
func TestCryptographyOfBothInOneProgram(t *testing.T) {
	if err := kzg4844.UseCKZG(true); err != nil {
		t.Logf("geth's KZG code is Go: %v", err)
	}
	var blob kzg4844.Blob
	for i := range 4096 {
		blob[32*i+31] = byte(i)
	}
	commitment, err := kzg4844.BlobToCommitment(&blob)
	if err != nil {
		t.Fatal(err)
	}
	point := kzg4844.Point{31: 7}
	proof, claim, err := kzg4844.ComputeProof(&blob, point)
	if err != nil {
		t.Fatal(err)
	}
	if err := kzg4844.VerifyProof(commitment, point, claim, proof); err != nil {
		t.Fatal(err)
	}
	hash := kzg4844.CalcBlobHashV1(sha256.New(), &commitment)
	input := append(hash[:], point[:]...)
	input = append(input, claim[:]...)
	input = append(input, commitment[:]...)
	input = append(input, proof[:]...)
	wrong := append([]byte(nil), input...)
	wrong[95]++
	_, _, generator, _ := bls12381.Generators()
	x, y := generator.X.Bytes(), generator.Y.Bytes()
	var affine []byte
	for _, coordinate := range [][48]byte{x, y} {
		affine = append(affine, make([]byte, 16)...)
		affine = append(affine, coordinate[:]...)
	}
	forks := chains.Forks()
	calls := []chains.Call{
		{To: common.BytesToAddress([]byte{0x0a}), Input: input, Succeeds: true},
		{To: common.BytesToAddress([]byte{0x0a}), Input: wrong},
		{To: common.BytesToAddress([]byte{0x0b}), Input: append(affine, affine...), Succeeds: true},
		{To: common.BytesToAddress([]byte{0x0b}), Input: affine},
	}
	chain := chains.Calls(forks[len(forks)-2], calls)
	for _, mode := range []Mode{On, Verify} {
		bc, p := newChain(t, chain, quiet(), Options{Mode: mode, Threads: 2, Forced: true})
		insert(t, bc, chain.Blocks)
		if p.Counters().Processed != uint64(len(chain.Blocks)) {
			t.Fatalf("%+v", p.Counters())
		}
		statedb, err := bc.State()
		if err != nil {
			t.Fatal(err)
		}
		for i, call := range calls {
			stored := statedb.GetState(chains.Forwarder, chains.Slot(i))
			if (stored != common.Hash{}) != call.Succeeds {
				t.Errorf("call %d: %v", i, stored)
			}
		}
	}
}
