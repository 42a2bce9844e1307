// Package braid executes whole Ethereum blocks in parallel, byte for byte equal to sequential
// execution, through the C ABI of the braid library.
//
// Actors: an [Executor] owns the threads and may be shared; a [Chain] holds the rules; the parent
// state is either a [Reader], which the executor's threads call at the same time, or a [Prestate],
// which holds all of it and calls nothing back; [Executor.Execute] gives a [Result] whose values
// are copies and outlive every handle. [Executor.Import] also verifies what a block says of itself,
// [Executor.ExecuteWithAccessList] and [Executor.ProduceAccessList] take and give block access
// lists (EIP-7928), [Executor.ExecuteRange] overlaps consecutive blocks.
//
// Invariants:
//   - Only an error for which errors.Is(err, ErrInvalidBlock) holds says that a block is invalid.
//     After any other error nothing is known about it, and the executor is usable.
//   - A handle is freed once, after its last user; Close may be called twice and at any time, also
//     by a callback. What is used after Close answers [ErrClosed].
//   - No Go pointer stays in the library after a call, and a panic of a callback never leaves Go.
//
// # Linking
//
// The package needs cgo, the header braid.h and the library, which `cargo xtask install --prefix
// DIR` writes. By default it links -lbraid and takes the folders from the environment:
//
//	CGO_CFLAGS=-IDIR/include CGO_LDFLAGS=-LDIR/lib go build
//
// With the build tag braid_static the static library is linked, so that the program needs no
// libbraid at run time; with braid_pkgconfig the flags come from pkg-config. A linker that says
// "cannot find -lbraid", or a compiler that does not find "braid.h", was not told DIR.
//
// Without cgo, or with the build tag braid_stub, the package builds on its own, and everything that
// needs the library answers [ErrUnavailable].
package braid
