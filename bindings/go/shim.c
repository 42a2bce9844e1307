//go:build cgo && !braid_stub

#include "_cgo_export.h"
#include "shim.h"

/* `user` is the number of a handle, never a pointer into Go's memory. */

static int32_t account(void *user, const braid_address *address, braid_account *to) {
    return braidGoAccount((uintptr_t)user, (braid_address *)address, to);
}

static int32_t storage(void *user, const braid_address *address, const braid_u256 *key,
                       braid_u256 *to) {
    return braidGoStorage((uintptr_t)user, (braid_address *)address, (braid_u256 *)key, to);
}

static int32_t code(void *user, const braid_hash *hash, braid_code_sink *sink) {
    return braidGoCode((uintptr_t)user, (braid_hash *)hash, sink);
}

static int32_t block_hash(void *user, uint64_t number, braid_hash *to) {
    return braidGoBlockHash((uintptr_t)user, number, to);
}

static int32_t each(void *user, uint64_t index, braid_result *result) {
    return braidGoBlock((uintptr_t)user, index, result);
}

static braid_reader reader_of(uintptr_t user, uint32_t flags) {
    braid_reader reader = {
        .struct_size = sizeof reader,
        .flags = flags,
        .user = (void *)user,
        .account = account,
        .storage = storage,
        .code = code,
        .block_hash = block_hash,
    };
    return reader;
}

int32_t braid_go_execute(uint32_t function, const braid_executor *executor,
                         const braid_request *request, uintptr_t user, uint32_t reader_flags,
                         braid_result **out, braid_error **error) {
    braid_request with = *request;
    braid_reader reader = reader_of(user, reader_flags);
    if (user != 0) with.reader = &reader;
    switch (function) {
    case BRAID_GO_IMPORT:
        return braid_import(executor, &with, out, error);
    case BRAID_GO_PRODUCE_ACCESS_LIST:
        return braid_produce_access_list(executor, &with, out, error);
    case BRAID_GO_WITH_ACCESS_LIST:
        return braid_execute_with_access_list(executor, &with, out, error);
    default:
        return braid_execute(executor, &with, out, error);
    }
}

int32_t braid_go_execute_range(const braid_executor *executor, const braid_range_request *range,
                               uintptr_t user, uint32_t reads, uint32_t reader_flags,
                               braid_error **error) {
    braid_range_request with = *range;
    braid_reader reader = reader_of(user, reader_flags);
    if (reads != 0) with.reader = &reader;
    with.each = each;
    with.each_user = (void *)user;
    return braid_execute_range(executor, &with, error);
}
