/* Many small blocks: memory and threads do not pile up. `soak BLOCKS DUMP...` executes that many
   blocks in every way there is, failures among them, and compares the most resident memory and the
   most threads of the first tenth, looked at a hundred times, with those of the last tenth. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"
#include "dump.h"

#include <string.h>
#include <unistd.h>

typedef struct small {
    dump *dump;
    braid_chain *chain;
    braid_prestate *state;
} small;

typedef struct usage {
    long resident_kib, threads;
} usage;

/* So much is noise of the allocator: 5 bytes a block in a soak of 100,000. */
enum { NOISE_KIB = 512 };

static usage usage_now(void) {
    usage now = {0, 0};
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        (void)!sscanf(line, "VmRSS: %ld", &now.resident_kib);
        (void)!sscanf(line, "Threads: %ld", &now.threads);
    }
    fclose(file);
    CHECK(now.resident_kib > 0 && now.threads > 0);
    return now;
}

static void look(usage *most) {
    usage now = usage_now();
    if (now.resident_kib > most->resident_kib) most->resident_kib = now.resident_kib;
    if (now.threads > most->threads) most->threads = now.threads;
}

static int32_t count_commits(void *user, const braid_commit *commit) {
    (void)commit;
    ++*(int *)user;
    return BRAID_OK;
}

static int32_t refuse(void *user, const braid_commit *commit) {
    (void)user, (void)commit;
    return -1;
}

typedef int32_t function(const braid_executor *executor, const braid_request *request,
                         braid_result **out, braid_error **error);

/* Now and then another function that executes one block. */
static function *function_of(const braid_request *request, int way) {
    if (request->block->senders_count > 0) {
        int lists = request->commit == NULL && way % 9 == 4;
        return lists ? braid_produce_access_list : braid_execute;
    }
    return way % 9 == 4 ? braid_import : braid_execute;
}

static int32_t take(void *user, uint64_t index, braid_result *result) {
    (void)index;
    dump_check(user, result);
    braid_result_free(result);
    return BRAID_OK;
}

static int32_t refuse_block(void *user, uint64_t index, braid_result *result) {
    (void)user, (void)index;
    braid_result_free(result);
    return -1;
}

/* A range of one block, taken or refused, or of the same block twice. */
static void execute_range(const braid_executor *executor, const small *of, int way) {
    braid_block block = dump_parts(of->dump);
    const braid_block *blocks[] = {&block, &block};
    braid_range_request range;
    memset(&range, 0, sizeof range);
    range.struct_size = sizeof range;
    range.chain = of->chain;
    range.blocks = blocks;
    range.blocks_count = way % 4 == 3 ? 2 : 1;
    range.prestate = of->state;
    range.each = way % 4 == 2 ? refuse_block : take;
    range.each_user = of->dump;
    int32_t expected = way % 4 == 2   ? BRAID_BLOCK_REFUSED
                       : way % 4 == 3 ? BRAID_BROKEN_RANGE
                                      : BRAID_OK;
    braid_error *error = NULL;
    CHECK_EQUAL(braid_execute_range(executor, &range, &error), expected);
    braid_error_free(error);
}

static void execute(const braid_executor *executor, const small *of, int way) {
    if (way % 17 == 3) execute_range(executor, of, way / 17);
    braid_block block = way % 2 == 0 ? dump_parts(of->dump) : dump_whole(of->dump);
    braid_reader reader = dump_reader(of->dump);
    if (way % 4 == 1) reader.read_many = dump_read_many;
    int commits = 0;
    braid_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.flags = BRAID_WANT_RECEIPTS_RLP | BRAID_CHECK_HEADER;
    request.chain = of->chain;
    request.block = &block;
    if (way % 3 == 0) {
        request.prestate = of->state;
    } else {
        request.reader = &reader;
    }
    if (way % 5 == 0) {
        request.commit = count_commits;
        request.commit_user = &commits;
    }
    int32_t expected = BRAID_OK;
    if (way % 7 == 0) {
        request.commit = refuse;
        expected = BRAID_COMMIT_REFUSED;
    } else if (way % 11 == 0) {
        block.senders_count = 1;
        expected = way % 2 == 0 ? BRAID_INVALID_ARGUMENT : BRAID_NULL_ARGUMENT;
    }
    braid_result *result = NULL;
    braid_error *error = NULL;
    function *function = expected == BRAID_OK ? function_of(&request, way) : braid_execute;
    CHECK_EQUAL(function(executor, &request, &result, &error), expected);
    int listed = function == braid_produce_access_list;
    if (result != NULL) (listed ? dump_check_listed : dump_check)(of->dump, result);
    CHECK(way % 5 != 0 || expected != BRAID_OK || commits > 0);
    braid_result_free(result);
    braid_error_free(error);
}

int main(int count, char **arguments) {
    CHECK(count > 2);
    int blocks = atoi(arguments[1]), files = count - 2;
    CHECK(blocks >= 1000);
    small *smalls = calloc((size_t)files, sizeof *smalls);
    CHECK(smalls != NULL);
    for (int i = 0; i < files; i++) {
        smalls[i].dump = dump_read(arguments[2 + i]);
        smalls[i].chain = dump_chain(smalls[i].dump);
        smalls[i].state = dump_prestate(smalls[i].dump);
    }
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    braid_executor *executor = NULL;
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_OK);
    usage first = {0, 0}, last = {0, 0};
    for (int i = 0; i < blocks; i++) {
        execute(executor, &smalls[i % files], i);
        int tenth = (int)((int64_t)i * 10 / blocks);
        if (i % (blocks / 1000 + 1) != 0) continue;
        if (tenth == 0) look(&first);
        if (tenth == 9) look(&last);
    }
    long more = last.resident_kib - first.resident_kib;
    double growth = 100.0 * (double)more / (double)first.resident_kib;
    printf("%d blocks: first %ld KiB, %ld threads; last %ld KiB (%+.2f %%), %ld threads\n", blocks,
           first.resident_kib, first.threads, last.resident_kib, growth, last.threads);
    CHECK_EQUAL(last.threads, first.threads);
    CHECK(growth <= 2.0 || more <= NOISE_KIB);
    braid_executor_free(executor);
    for (int i = 0; i < files; i++) {
        braid_prestate_free(smalls[i].state);
        braid_chain_free(smalls[i].chain);
        dump_free(smalls[i].dump);
    }
    free(smalls);
    return 0;
}
