/* Arguments with which every function of braid.h succeeds, under the names of its parameters, and
   places for what it makes. The program around it is generated from the header. */
#ifndef BRAID_TEST_NULLS_H
#define BRAID_TEST_NULLS_H

#include "check.h"
#include "dump.h"

#include <string.h>

static const char *name = "mainnet";
static const uint8_t *json = (const uint8_t *)"{\"chainId\":1}";
enum { len_json = 13, len_code = 1, count_slots = 1 };
static int32_t status = BRAID_OK;
static uint64_t number = 1;

static braid_chain *chain;
static braid_cancel *cancel;
static braid_error *error;
static braid_result *result;
static braid_executor *executor;
static braid_prestate *prestate;

static braid_address address_value;
static braid_account account_value;
static braid_slot slots_value;
static braid_hash hash_value;
static uint8_t code_value;
static braid_executor_options options_value;
static braid_block block_value;
static braid_request request_value;
static const braid_block *const range_blocks[] = {&block_value};
static braid_range_request range_value;
static const braid_address *const address = &address_value;
static const braid_account *const account = &account_value;
static const braid_slot *const slots = &slots_value;
static braid_hash *const hash = &hash_value;
static const uint8_t *const code = &code_value;
static const braid_executor_options *const options = &options_value;
static const braid_request *const request = &request_value;
static const braid_range_request *const range = &range_value;

/* What the functions under test make. */
static braid_chain *made_braid_chain;
static braid_cancel *made_braid_cancel;
static braid_error *made_braid_error;
static braid_result *made_braid_result;
static braid_executor *made_braid_executor;
static braid_prestate *made_braid_prestate;

static void discard(void) {
    braid_chain_free(made_braid_chain), made_braid_chain = NULL;
    braid_cancel_free(made_braid_cancel), made_braid_cancel = NULL;
    braid_error_free(made_braid_error), made_braid_error = NULL;
    braid_result_free(made_braid_result), made_braid_result = NULL;
    braid_executor_free(made_braid_executor), made_braid_executor = NULL;
    braid_prestate_free(made_braid_prestate), made_braid_prestate = NULL;
}

static void check_made_nothing(void) {
    CHECK(made_braid_chain == NULL && made_braid_cancel == NULL && made_braid_result == NULL);
    CHECK(made_braid_executor == NULL && made_braid_prestate == NULL);
}

static int32_t take(void *user, uint64_t index, braid_result *of) {
    (void)user, (void)index;
    braid_result_free(of);
    return BRAID_OK;
}

static void prepare(const dump *dump) {
    chain = dump_chain(dump);
    prestate = dump_prestate(dump);
    CHECK_EQUAL(braid_prestate_account(prestate, address, account, NULL), BRAID_OK);
    options_value.struct_size = sizeof options_value;
    options_value.threads = 2;
    CHECK_EQUAL(braid_executor_new(options, &executor, NULL), BRAID_OK);
    CHECK_EQUAL(braid_cancel_new(&cancel, NULL), BRAID_OK);
    CHECK_EQUAL(braid_chain_by_name("nowhere", &made_braid_chain, &error), BRAID_UNKNOWN_CHAIN);
    block_value = dump_whole(dump);
    block_value.access_list_rlp = dump->produced_list;
    request_value.struct_size = sizeof request_value;
    request_value.chain = chain;
    request_value.block = &block_value;
    request_value.prestate = prestate;
    CHECK_EQUAL(braid_execute(executor, request, &result, NULL), BRAID_OK);
    range_value.struct_size = sizeof range_value;
    range_value.chain = chain;
    range_value.blocks = range_blocks;
    range_value.blocks_count = 1;
    range_value.prestate = prestate;
    range_value.each = take;
}

static void finish(void) {
    braid_chain_free(chain);
    braid_cancel_free(cancel);
    braid_error_free(error);
    braid_result_free(result);
    braid_executor_free(executor);
    braid_prestate_free(prestate);
}

#endif
