/* What Go cannot say: a table of callbacks with the ABI's types. */
#ifndef BRAID_GO_SHIM_H
#define BRAID_GO_SHIM_H

#include <braid.h>

/* The functions that execute one block. */
enum {
    BRAID_GO_EXECUTE,
    BRAID_GO_IMPORT,
    BRAID_GO_PRODUCE_ACCESS_LIST,
    BRAID_GO_WITH_ACCESS_LIST,
};

/* One of them; where `user` is not 0 with a reader whose callbacks are Go's. */
int32_t braid_go_execute(uint32_t function, const braid_executor *executor,
                         const braid_request *request, uintptr_t user, uint32_t reader_flags,
                         braid_result **out, braid_error **error);

/* braid_execute_range, with a callback for the blocks that is Go's; where `reads` is not 0 with
   such a reader too. */
int32_t braid_go_execute_range(const braid_executor *executor, const braid_range_request *range,
                               uintptr_t user, uint32_t reads, uint32_t reader_flags,
                               braid_error **error);

#endif
