/* A host that has blst and c-kzg of its own, or other functions of those names, beside the library
   that has its copies inside. The first argument is the dumped block that calls the precompiles;
   with OWN_COPIES the second one is the trusted setup. */

#include "check.h"
#include "dump.h"

#include <string.h>

#ifdef OWN_COPIES
#include "blst.h"
#include "ckzg.h"

/* 5 times the generator, by multiplication and by addition. */
static void use_blst(void) {
    static const uint8_t FIVE[32] = {5};
    blst_p1 product, sum;
    blst_p1_mult(&product, blst_p1_generator(), FIVE, 8);
    blst_p1_double(&sum, blst_p1_generator());
    blst_p1_double(&sum, &sum);
    blst_p1_add_or_double(&sum, &sum, blst_p1_generator());
    CHECK(blst_p1_is_equal(&product, &sum));
    CHECK(blst_p1_in_g1(&product) && !blst_p1_is_equal(&product, blst_p1_generator()));
}

/* The zero polynomial is zero at every place, and 1 nowhere. */
static void use_kzg(const char *setup) {
    KZGSettings settings;
    FILE *file = fopen(setup, "r");
    CHECK(file != NULL);
    CHECK(load_trusted_setup_file(&settings, file, 0) == C_KZG_OK);
    fclose(file);
    Bytes48 infinity = {{0xc0}};
    Bytes32 place = {{0}}, value = {{0}};
    place.bytes[31] = 7;
    bool proven = false;
    CHECK(verify_kzg_proof(&proven, &infinity, &place, &value, &infinity, &settings) == C_KZG_OK);
    CHECK(proven);
    value.bytes[31] = 1;
    CHECK(verify_kzg_proof(&proven, &infinity, &place, &value, &infinity, &settings) == C_KZG_OK);
    CHECK(!proven);
    free_trusted_setup(&settings);
}
#else
/* A function of the other objects, so that they are linked. */
void blst_p1_add(void);
#endif

int main(int count, char **arguments) {
    CHECK(count >= 2);
    dump *dump = dump_read(arguments[1]);
    braid_chain *chain = dump_chain(dump);
    braid_prestate *state = dump_prestate(dump);
    braid_block block = dump_parts(dump);
    braid_executor_options options = {sizeof options, 2, BRAID_EXECUTOR_FORCED, 0};
    braid_executor *executor = NULL;
    CHECK_EQUAL(braid_executor_new(&options, &executor, NULL), BRAID_OK);
    for (int round = 0; round < 3; round++) {
#ifdef OWN_COPIES
        CHECK(count == 3);
        use_blst();
        use_kzg(arguments[2]);
#else
        void (*volatile decoy)(void) = blst_p1_add;
        CHECK(decoy != NULL);
#endif
        braid_request request;
        memset(&request, 0, sizeof request);
        request.struct_size = sizeof request;
        request.flags = BRAID_CHECK_HEADER;
        request.chain = chain;
        request.block = &block;
        request.prestate = state;
        braid_result *result = NULL;
        CHECK_EQUAL(braid_execute(executor, &request, &result, NULL), BRAID_OK);
        dump_check(dump, result);
        braid_result_free(result);
    }
    braid_executor_free(executor);
    braid_prestate_free(state);
    braid_chain_free(chain);
    dump_free(dump);
    return 0;
}
