/* What the system may refuse, and what the library leaves alone: a small stack under the calling
   thread while calls are nested 1024 deep, no memory for further threads, the signal handlers. The
   argument is the dumped block with the deep calls. */

#define _XOPEN_SOURCE 700

#include "check.h"
#include "dump.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { STACK = 256 * 1024, SIGNALS = 32 };

typedef struct job {
    const dump *dump;
    braid_executor *executor;
    const braid_chain *chain;
    const braid_prestate *state;
} job;

static int32_t execute(const job *job, const braid_block *block) {
    braid_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.chain = job->chain;
    request.block = block;
    request.prestate = job->state;
    braid_result *result = NULL;
    int32_t status = braid_execute(job->executor, &request, &result, NULL);
    if (status == BRAID_OK) dump_check(job->dump, result);
    braid_result_free(result);
    return status;
}

static void *execute_whole(void *of) {
    const job *job = of;
    braid_block block = dump_whole(job->dump);
    CHECK_EQUAL(execute(job, &block), BRAID_OK);
    return NULL;
}

static void on_small_stack(const job *job) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(STACK >= PTHREAD_STACK_MIN);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, STACK) == 0);
    CHECK(pthread_create(&thread, &attributes, execute_whole, (void *)job) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
}

static uint64_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (uint64_t)pages * 4096;
}

/* Room for some hundred of the thousand stacks. The executor has the threads that it got. */
static void without_threads(job job) {
    struct rlimit before, tight;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    tight = before;
    tight.rlim_cur = address_space() + (256u << 20);
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
    braid_executor_options options = {sizeof options, 1024, BRAID_EXECUTOR_FORCED, 0};
    int32_t status = braid_executor_new(&options, &job.executor, NULL);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK_EQUAL(status, BRAID_OK);
    braid_block block = dump_whole(job.dump);
    CHECK_EQUAL(execute(&job, &block), BRAID_OK);
    braid_executor_free(job.executor);
}

static void read_handlers(struct sigaction handlers[SIGNALS]) {
    memset(handlers, 0, SIGNALS * sizeof *handlers);
    for (int number = 1; number < SIGNALS; number++) sigaction(number, NULL, &handlers[number]);
}

int main(int count, char **names) {
    static struct sigaction before[SIGNALS], after[SIGNALS];
    CHECK(count == 2);
    read_handlers(before);
    dump *dump = dump_read(names[1]);
    braid_chain *chain = dump_chain(dump);
    braid_prestate *state = dump_prestate(dump);
    for (uint32_t threads = 1; threads <= 4; threads *= 2) {
        braid_executor_options options = {sizeof options, threads, BRAID_EXECUTOR_FORCED, 0};
        braid_executor *executor = NULL;
        CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_OK);
        job job = {dump, executor, chain, state};
        on_small_stack(&job);
        braid_executor_free(executor);
    }
    job job = {dump, NULL, chain, state};
    without_threads(job);
    read_handlers(after);
    for (int number = 1; number < SIGNALS; number++) {
        CHECK(before[number].sa_handler == after[number].sa_handler);
        CHECK(before[number].sa_flags == after[number].sa_flags);
    }
    braid_prestate_free(state);
    braid_chain_free(chain);
    dump_free(dump);
    printf("deep calls on %d KiB of stack, refused threads, untouched signals: ok\n", STACK / 1024);
    return 0;
}
