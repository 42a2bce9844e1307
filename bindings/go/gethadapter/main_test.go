package gethadapter

import (
	"io"
	"os"
	"testing"

	"github.com/ethereum/go-ethereum/log"
)

// geth reports each invalid block, of which the tests have many.
func TestMain(m *testing.M) {
	log.SetDefault(log.NewLogger(log.NewTerminalHandlerWithLevel(io.Discard, log.LevelCrit, false)))
	os.Exit(m.Run())
}
