/* What the ABI costs: `cost THREADS ROUNDS BLOCK...`. For each way to feed a block the sums, over
   all blocks, of the medians over the rounds. Inside of a call, `execute` is what the Rust API does
   too, and so are the roots; the rest of the result, and decoding the block, is the ABI's. The last
   columns compare the whole call, and the call without decoding, with execution and roots in
   memory, which is what a caller of the Rust API would wait for. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "dump.h"

#include <string.h>
#include <time.h>

enum { MODES = 5, TIMES = 5, MAX_ROUNDS = 99 };

static const char *const MODE_NAMES[MODES] = {"in memory", "callbacks", "serial callbacks",
                                              "batched reads", "commit stream"};

static int32_t on_commit(void *user, const braid_commit *commit) {
    *(uint64_t *)user += commit->accounts_count;
    return BRAID_OK;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int ascending(const void *left, const void *right) {
    uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;
    return (l > r) - (l < r);
}

static void execute(const braid_executor *executor, const braid_request *request,
                    uint64_t times[TIMES]) {
    braid_result *result = NULL;
    uint64_t start = now_ns();
    CHECK_EQUAL(braid_execute(executor, request, &result, NULL), BRAID_OK);
    const braid_statistics *statistics = braid_result_get(result)->statistics;
    times[1] = statistics->decode_ns;
    times[2] = statistics->execute_ns;
    times[3] = statistics->result_ns;
    times[4] = statistics->roots_ns;
    braid_result_free(result);
    times[0] = now_ns() - start;
}

int main(int count, char **arguments) {
    CHECK(count > 3);
    int rounds = atoi(arguments[2]);
    CHECK(rounds > 0 && rounds <= MAX_ROUNDS);
    braid_executor_options options = {sizeof options, (uint32_t)atoi(arguments[1]), 0, 0};
    braid_executor *executor = NULL;
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_OK);
    uint64_t sums[MODES][TIMES] = {{0}};
    for (int file = 3; file < count; file++) {
        static uint64_t samples[MODES][TIMES][MAX_ROUNDS];
        dump *dump = dump_read(arguments[file]);
        braid_chain *chain = dump_chain(dump);
        braid_prestate *state = dump_prestate(dump);
        braid_block block = dump_parts(dump);
        braid_reader reader = dump_reader(dump), serial = reader;
        serial.flags = BRAID_READER_SERIAL;
        braid_reader batched = reader;
        batched.read_many = dump_read_many;
        const braid_reader *readers[MODES] = {NULL, &reader, &serial, &batched, NULL};
        uint64_t changes = 0;
        /* The modes take turns; the round before the first one warms up. */
        for (int round = -1; round < rounds; round++) {
            for (int mode = 0; mode < MODES; mode++) {
                braid_request request;
                memset(&request, 0, sizeof request);
                request.struct_size = sizeof request;
                request.chain = chain;
                request.block = &block;
                request.reader = readers[mode];
                request.prestate = readers[mode] == NULL ? state : NULL;
                request.commit = mode == 4 ? on_commit : NULL;
                request.commit_user = &changes;
                uint64_t times[TIMES];
                execute(executor, &request, times);
                for (int t = 0; t < TIMES && round >= 0; t++) samples[mode][t][round] = times[t];
            }
        }
        for (int mode = 0; mode < MODES; mode++) {
            for (int t = 0; t < TIMES; t++) {
                qsort(samples[mode][t], (size_t)rounds, sizeof(uint64_t), ascending);
                sums[mode][t] += samples[mode][t][rounds / 2];
            }
        }
        braid_prestate_free(state);
        braid_chain_free(chain);
        dump_free(dump);
    }
    for (int mode = 0; mode < MODES; mode++) {
        printf("%-16s", MODE_NAMES[mode]);
        static const char *const NAMES[TIMES] = {
            "whole call", "decode", "execute", "result", "of it roots"};
        for (int t = 0; t < TIMES; t++) {
            printf("  %s %.3f ms", NAMES[t], (double)sums[mode][t] / 1e6);
        }
        double rust = (double)(sums[0][2] + sums[0][4]), decode = (double)sums[mode][1];
        printf("  over Rust: %+.2f %%, without decoding %+.2f %%\n",
               100 * ((double)sums[mode][0] / rust - 1),
               100 * (((double)sums[mode][0] - decode) / rust - 1));
    }
    braid_executor_free(executor);
    return 0;
}
