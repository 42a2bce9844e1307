module github.com/braid-evm/braid/bindings/go

go 1.24.0
