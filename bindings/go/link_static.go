//go:build cgo && !braid_stub && braid_static

package braid

// What a static library of Rust needs on Linux follows its name.

// #cgo LDFLAGS: -l:libbraid.a -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
