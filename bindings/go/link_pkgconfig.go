//go:build cgo && !braid_stub && !braid_static && braid_pkgconfig

package braid

// #cgo pkg-config: braid
import "C"
