//go:build cgo && !braid_stub

package braid

// #include "shim.h"
import "C"

import (
	"fmt"
	"slices"
	"time"
	"unsafe"
)

// decode copies a view into Go's memory, in few allocations: one for all slots, one for all topics,
// one for all data of logs.
func decode(view *C.braid_result_view) (*Result, error) {
	if view == nil || view.struct_size < C.sizeof_braid_result_view {
		return nil, fmt.Errorf("%w: its result is shorter than braid.h says", ErrUnavailable)
	}
	result := &Result{
		GasUsed:         uint64(view.gas_used),
		BlobGasUsed:     uint64(view.blob_gas_used),
		HasReceiptsRoot: view.flags&C.BRAID_HAS_RECEIPTS_ROOT != 0,
		ReceiptsRoot:    hashOf(view.receipts_root),
		LogsBloom:       *(*Bloom)(unsafe.Pointer(&view.logs_bloom)),
		RequestsHash:    hashOf(view.requests_hash),
		Receipts:        receipts(view),
		Accounts:        accounts(view),
		ReceiptsRLP:     bytesOf(&view.receipts_rlp),
		AccessListRLP:   bytesOf(&view.access_list_rlp),
		Statistics:      statistics(view.statistics),
	}
	if view.flags&C.BRAID_HAS_REQUESTS != 0 {
		result.Requests = make([][]byte, 0, view.requests_count)
	}
	requests := items(view.requests, view.requests_count)
	for i := range requests {
		result.Requests = append(result.Requests, bytesOf(&requests[i]))
	}
	codes := items(view.codes, view.codes_count)
	for i := range codes {
		result.Codes = append(result.Codes, Code{hashOf(codes[i].hash), bytesOf(&codes[i].bytes)})
	}
	return result, nil
}

func hashOf(hash C.braid_hash) Hash { return *(*Hash)(unsafe.Pointer(&hash)) }

// items are those of an array of a view, valid as long as the view is; nil where there are none.
func items[T any](first *T, count C.uint64_t) []T { return unsafe.Slice(first, count) }

// bytesOf copies; nil where there is nothing.
func bytesOf(bytes *C.braid_bytes) []byte {
	return slices.Clone(borrowed(bytes))
}

// borrowed is valid as long as the view is.
func borrowed(bytes *C.braid_bytes) []byte {
	return items((*byte)(unsafe.Pointer(bytes.ptr)), bytes.len)
}

func receipts(view *C.braid_result_view) []Receipt {
	all := logs(view)
	receipts := make([]Receipt, 0, view.receipts_count)
	each := items(view.receipts, view.receipts_count)
	for i := range each {
		from := &each[i]
		count := int(from.logs_count)
		receipts = append(receipts, Receipt{
			Type:              uint8(from.transaction_type),
			Success:           from.success != 0,
			CumulativeGasUsed: uint64(from.cumulative_gas_used),
			GasUsed:           uint64(from.gas_used),
			LogsBloom:         *(*Bloom)(unsafe.Pointer(&from.logs_bloom)),
			Logs:              all[:count:count],
		})
		all = all[count:]
	}
	return receipts
}

// logs are those of all receipts, one receipt after the other.
func logs(view *C.braid_result_view) []Log {
	from := items(view.logs, view.logs_count)
	var topicsCount, dataLength int
	for i := range from {
		topicsCount += int(from[i].topics_count)
		dataLength += int(from[i].data.len)
	}
	topics, data := make([]Hash, 0, topicsCount), make([]byte, 0, dataLength)
	logs := make([]Log, len(from))
	for i := range from {
		firstTopic, firstByte := len(topics), len(data)
		first := (*Hash)(unsafe.Pointer(from[i].topics))
		topics = append(topics, items(first, C.uint64_t(from[i].topics_count))...)
		data = append(data, borrowed(&from[i].data)...)
		logs[i] = Log{
			Address: *(*Address)(unsafe.Pointer(&from[i].address)),
			Topics:  topics[firstTopic:len(topics):len(topics)],
			Data:    data[firstByte:len(data):len(data)],
		}
	}
	return logs
}

func accounts(view *C.braid_result_view) []AccountChange {
	all := slices.Clone(items((*Slot)(unsafe.Pointer(view.slots)), view.slots_count))
	from := items(view.accounts, view.accounts_count)
	changes := make([]AccountChange, len(from))
	for i := range from {
		count := int(from[i].slots_count)
		changes[i] = AccountChange{
			Address:   *(*Address)(unsafe.Pointer(&from[i].address)),
			Created:   from[i].flags&C.BRAID_ACCOUNT_CREATED != 0,
			Destroyed: from[i].flags&C.BRAID_ACCOUNT_DESTROYED != 0,
			Wiped:     from[i].flags&C.BRAID_ACCOUNT_WIPED != 0,
			Before:    *(*Account)(unsafe.Pointer(&from[i].before)),
			After:     *(*Account)(unsafe.Pointer(&from[i].after)),
			Slots:     all[:count:count],
		}
		all = all[count:]
	}
	return changes
}

func statistics(from *C.braid_statistics) Statistics {
	return Statistics{
		Workers:      int(from.workers),
		Executions:   uint64(from.executions),
		Reexecutions: uint64(from.reexecutions),
		Direct:       uint64(from.direct),
		Discarded:    uint64(from.discarded),
		FellBack:     from.fell_back != 0,
		Reads:        uint64(from.reads),
		Decode:       time.Duration(from.decode_ns),
		Execute:      time.Duration(from.execute_ns),
		Result:       time.Duration(from.result_ns),
		Roots:        time.Duration(from.roots_ns),
	}
}
