/* Assertions that say where and what, and that no build flag turns off. */
#ifndef BRAID_TEST_CHECK_H
#define BRAID_TEST_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);         \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#define CHECK_EQUAL(actual, expected)                                                       \
    do {                                                                                    \
        int64_t actual_ = (int64_t)(actual), expected_ = (int64_t)(expected);               \
        if (actual_ != expected_) {                                                         \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %" PRId64 "\n", __FILE__,        \
                    __LINE__, #actual, actual_, expected_);                                 \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

/* An array without elements is NULL, one with elements is not. */
#define CHECK_ARRAY(first, count) CHECK(((first) == NULL) == ((count) == 0))

#endif
