/* Consecutive blocks through `braid_execute_range`. */
#ifndef BRAID_TEST_BLOCKS_RANGE_H
#define BRAID_TEST_BLOCKS_RANGE_H

#include "dump.h"

/* Executes the blocks on the state of the first one, in memory, through callbacks and batches; ends
   the process where a result is not that of its dump. */
void range_of_blocks(const braid_executor *executor, const braid_chain *chain, const char *name,
                     const dump *const *dumps, uint64_t count);

#endif
