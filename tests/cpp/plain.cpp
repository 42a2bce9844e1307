// braid.hpp without exceptions and without run-time type information.

#include "common.hpp"

#if defined(__cpp_exceptions)
#error "compiled with exceptions"
#endif

int main(int count, char **names) {
    CHECK(count > 1);
    const Dump of = read_dump(names[1]);
    const auto chain = braid::Chain::by_name("mainnet");
    const auto executor = braid::Executor::make({.threads = 2, .forced = true});
    CHECK(chain && executor);
    Reader reader(*of, [] { return true; }, 0);
    const auto outcome = executor->execute(*chain, whole(*of), reader, {.check_header = true});
    CHECK(outcome.has_value());
    check(*of, *outcome);
    const auto refused = executor->execute(
        *chain, whole(*of), reader, {.commit = [](const braid::Commit &) { return -7; }});
    CHECK(!refused && refused.error().status == BRAID_COMMIT_REFUSED);
    CHECK(refused.error().host_code == -7);
    const auto imported = executor->import_block(*chain, whole(*of), reader);
    CHECK(imported.has_value() && imported->senders().size() == of->transactions_count);
    check(*of, *imported);
    auto block = parts(*of);
    block.access_list(braid::bytes(of->produced_list));
    const auto listed = executor->execute_with_access_list(*chain, block, reader);
    CHECK(listed.has_value() && listed->matches());
    const std::array blocks{whole(*of)};
    const auto done = executor->execute_range(
        *chain, blocks, reader, [&](std::size_t index, braid::Outcome result) {
            CHECK_EQUAL(index, 0);
            check(*of, result);
            return true;
        });
    CHECK(done.has_value());
    reader.fail_at = 1;
    const auto failed = executor->execute(*chain, whole(*of), reader);
    CHECK(!failed && failed.error().host_code == -42);
    return 0;
}
