/* Blocks with their access lists. */
#ifndef BRAID_TEST_BLOCKS_LIST_H
#define BRAID_TEST_BLOCKS_LIST_H

#include "dump.h"

/* Produces the list of a dumped block, then executes the block with it; ends the process where a
   result or the list is not the dump's. One of `reader` and `state` is NULL. */
void list_block(const braid_executor *executor, const braid_chain *chain, const char *name,
                const dump *dump, const braid_reader *reader, const braid_prestate *state);

#endif
