/* Blocks through `braid_import`. */
#ifndef BRAID_TEST_BLOCKS_IMPORT_H
#define BRAID_TEST_BLOCKS_IMPORT_H

#include "dump.h"

/* Imports a dumped block as one RLP and in parts; ends the process where the result is not the
   dump's, or where the header means another body and nothing says so. One of `reader` and `state`
   is NULL. */
void import_block(const braid_executor *executor, const braid_chain *chain, const char *name,
                  const dump *dump, const braid_reader *reader, const braid_prestate *state);

#endif
