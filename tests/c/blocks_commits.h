/* The commit stream, folded: the steps of a block applied one after the other must give what its
   result says. */
#ifndef BRAID_TEST_BLOCKS_COMMITS_H
#define BRAID_TEST_BLOCKS_COMMITS_H

#include "dump.h"

typedef struct fold fold;

fold *fold_new(const dump *dump);
void fold_free(fold *fold);
/* The callback; `user` is the fold. */
int32_t fold_commit(void *user, const braid_commit *commit);
/* Ends the process where the steps do not add up to the result. */
void fold_check(const fold *fold, const braid_result *result);

#endif
