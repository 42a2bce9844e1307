//go:build cgo && !braid_stub && !braid_static && !braid_pkgconfig

package braid

// #cgo LDFLAGS: -lbraid
import "C"
